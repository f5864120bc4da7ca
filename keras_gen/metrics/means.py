import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable("keras_gen")
class Means(keras.metrics.Metric):
    """Running means of several scalars in one vector, so that a step updates all of them at once.

    Args:
        names: Names of the scalars; `result()` is a dictionary in their order.

    Example:

    ```python
    means = Means(["loss", "kl"])
    means.update_state({"loss": 3.0, "kl": 1.0}, count=128)
    means.result()  # {"loss": 3.0, "kl": 1.0}
    ```
    """

    def __init__(self, names, name="means", **kwargs):
        super().__init__(name=name, **kwargs)
        self.names = list(names)
        self.totals = self.add_variable((len(self.names),), "zeros", name="totals")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values, count):
        """Add scalars, by name: means over `count` examples, the part of a batch on this device."""
        count = ops.cast(count, self.dtype)
        stacked = ops.stack([ops.cast(values[name], self.dtype) for name in self.names])
        total, count = backend.sum_over_processes([stacked * count, count])
        self.totals.assign_add(total)
        self.count.assign_add(count)

    def result(self):
        means = ops.divide_no_nan(self.totals.value, self.count.value)
        return dict(zip(self.names, ops.unstack(means), strict=True))

    def get_config(self):
        return {**super().get_config(), "names": self.names}
