"""The norm of a player's gradient, in the logs of `fit`."""

import keras
from keras import ops


class MeasuredAdam(keras.optimizers.Adam):
    """Adam that adds up the norms of its gradients, |g| over all of its variables."""

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.sum_of_norms = self.add_variable((), name="sum_of_norms")

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
        self.sum_of_norms.assign_add(norm)


class GradientNorm(keras.callbacks.Callback):
    """Adds `g_gradient` to the logs: the mean norm of the generator's gradients in an epoch.

    The optimizer of the model's generator is a `MeasuredAdam`.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.read()

    def on_epoch_end(self, epoch, logs=None):
        (sum_before, steps_before), (total, steps) = self.before, self.read()
        logs["g_gradient"] = (total - sum_before) / max(1, steps - steps_before)

    def read(self):
        optimizer = self.model.optimizer.generator
        return float(ops.convert_to_numpy(optimizer.sum_of_norms)), int(optimizer.iterations)
