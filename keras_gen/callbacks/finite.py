import keras
import numpy as np
from keras import ops


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops `fit` after an epoch in which a loss or gradient was not finite, and goes back.

    The step itself left that update out, but what it came from may be in the weights already,
    perhaps since the end of the epoch before. So at the end of `fit` weights and optimizers are
    those with which the last epoch of finite losses began, or those from before `fit`: the
    model can be saved, or trained on with a smaller learning rate.

    Attributes:
        message: Which update of which player it was, and the epoch; None if all were finite.

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
        weight = self.model.first_bad_updates
        weight.assign(ops.zeros(weight.shape, weight.dtype))
        self.kept = self.copies()

    def on_epoch_begin(self, epoch, logs=None):
        self.beginning = self.copies()

    def on_epoch_end(self, epoch, logs=None):
        updates = np.array(ops.convert_to_numpy(self.model.first_bad_updates))
        bad = {
            player: update
            for player, update in zip(self.model.players, updates, strict=True)
            if update
        }
        if not bad:
            self.kept = self.beginning
            return
        said = " and ".join(f"update {update} of the {player}" for player, update in bad.items())
        self.message = (
            f"Epoch {epoch + 1}: {said} had a loss or gradient that is not finite. The weights are "
            f"those with which the last finite epoch began. Try a smaller learning rate."
        )
        if self.model.num_classes is not None:
            # Of a stream only the first batch was checked: see `checks.mark_unknown_labels`.
            last = self.model.num_classes - 1
            self.message += f" Or look at the data, where perhaps a label is not in 0 to {last}."
        print(f"\n{self.message}")
        self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.message:
            for variable, value in zip(self.variables(), self.kept, strict=True):
                variable.assign(value)
        self.kept = self.beginning = None

    def copies(self):
        return [np.array(ops.convert_to_numpy(variable)) for variable in self.variables()]

    def variables(self):
        return [*self.model.weights, *self.model.optimizer.variables]
