"""Settings that change after `compile`: the step is made again."""

import keras

from keras_gen import borrowed, configs


class Compiled(configs.TakesVariables):
    """Mixin of models before Keras's trainer: a step is made again if a setting has changed."""

    def make_train_function(self, force=False):
        super().make_train_function(configs.has_changed(self, "train") or force)

    def make_test_function(self, force=False):
        super().make_test_function(configs.has_changed(self, "test") or force)

    def make_predict_function(self, force=False):
        super().make_predict_function(configs.has_changed(self, "predict") or force)

    def keep_trainable(self):
        """Keep the `trainable` of all layers, as the model is compiled."""
        self._trainable_when_compiled = self._trainable_now()

    def check_trainable(self):
        """Raise ValueError if a layer was frozen or thawed since the model was compiled."""
        if not (self.compiled and self.optimizer.built):
            return
        same = all(
            {id(v) for v in borrowed.variables_of(optimizer)} == {id(v) for v in variables}
            for optimizer, variables in self.optimized()
        )
        # A layer without trainable variables has the flag too, such as batch norm.
        flags = self._trainable_now()
        if not same or any(
            flags.get(key, was) != was for key, was in self._trainable_when_compiled.items()
        ):
            raise ValueError(
                f"The trainable variables of {type(self).__name__} are not those that it was "
                f"compiled with: a layer's `trainable` has changed. Compile again, with a new "
                f"optimizer."
            )

    def _trainable_now(self):
        return {id(layer): layer.trainable for layer in borrowed.all_layers(self)}


class CheckEpoch(keras.callbacks.Callback):
    """Looks before each epoch at what other callbacks have changed: it has to be the last one."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.check_trainable()
        self.model.make_train_function()
