import keras
import numpy as np
from keras import ops

from keras_gen.models.reports import advice, made_updates, skipped_updates


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops `fit` after an epoch in which a loss or gradient was not finite, and goes back.

    The step itself left that update out. But its cause may already be in the weights, perhaps
    since the end of the epoch before. So at the end of `fit` the weights and optimizers are those
    from the start of the last epoch whose losses were all finite, or those from before `fit`. The
    model can then be saved, or trained on with a smaller learning rate.

    Attributes:
        message: Text that names the epoch and the player whose update was not finite, or None.

    Example:

    ```python
    vae.fit(x, epochs=100, callbacks=[kg.callbacks.StopAtNonFinite()])
    ```
    """

    checkpointed = ("kept",)

    def __init__(self):
        super().__init__()
        self.message = None

    def on_train_begin(self, logs=None):
        self.message = None
        self.kept = self.copies()

    def on_epoch_begin(self, epoch, logs=None):
        self.beginning = self.copies()
        self.skipped_before = skipped_updates(self.model)

    def on_epoch_end(self, epoch, logs=None):
        counts = skipped_updates(self.model) - self.skipped_before
        players = [p for p, count in zip(self.model.players, counts, strict=True) if count]
        if not players:
            self.kept = self.beginning
            return
        self.message = (
            f"Epoch {epoch + 1}: a loss or gradient of the {' and the '.join(players)} was not "
            f"finite. The weights are those with which the last finite epoch began. "
        )
        self.message += advice(self.model, has_learned=any(made_updates(self.model)))
        if self.model.num_classes is not None:
            # If the data are a stream, only its first batch was checked before training.
            last = self.model.num_classes - 1
            self.message += f" Or look at the labels, where perhaps one is not in 0 to {last}."
        print(f"\n{self.message}")
        self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.message:
            for variable, value in zip(self.variables(), self.kept, strict=True):
                if variable is not self.model.skipped_updates:  # A count is not undone.
                    variable.assign(value)
        self.kept = self.beginning = None

    def copies(self):
        return [np.array(ops.convert_to_numpy(variable)) for variable in self.variables()]

    def variables(self):
        return [*self.model.weights, *self.model.optimizer.variables]
