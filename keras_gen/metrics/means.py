import keras
from keras import ops

from keras_gen import backend

SPARE = 32


@keras.saving.register_keras_serializable("keras_gen")
class Means(keras.metrics.Metric):
    """Running means of several scalars in one vector, so that a step updates all of them at once.

    Args:
        names: Names of the scalars; `result()` is a dictionary in their order. Up to 32 more may
            come with a step and follow after them.

    Example:

    ```python
    means = Means(["loss", "kl"])
    means.update_state({"loss": 3.0, "kl": 1.0}, count=128)
    means.result()  # {"loss": 3.0, "kl": 1.0}
    ```
    """

    def __init__(self, names, name="means", **kwargs):
        super().__init__(name=name, **kwargs)
        self.names, self.more_names = list(names), []
        self.updates = 0  # Calls of `update_state`, traced ones too.
        self.newest = self.names  # Those of the last update, or of the last one that was traced.
        self.totals = self.add_variable((len(self.names),), "zeros", name="totals")
        self.more_totals = self.add_variable((SPARE,), "zeros", name="more_totals")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values, count):
        """Add scalars, by name: means over `count` examples, the part of a batch on this device.

        Of one value for each example, (batch,), the mean is taken. Arrays of more axes are left
        out.
        """
        self.updates += 1
        values = {k: v for k, v in values.items() if len(getattr(v, "shape", ())) <= 1}
        values = {k: ops.mean(ops.cast(v, self.dtype)) for k, v in values.items()}
        self.newest = list(values)
        self.more_names += [k for k in values if k not in [*self.names, *self.more_names]]
        if len(self.more_names) > SPARE:
            raise ValueError(
                f"A step logs {len(self.more_names)} scalars more than the model's `logged`, and "
                f"{SPARE} are possible. Add their names to `logged`."
            )
        count = ops.cast(count, self.dtype)
        zero = ops.zeros((), self.dtype)
        sums = [ops.stack([values.get(name, zero) for name in self.names]) * count, count]
        if self.more_names:
            more = [values.get(name, zero) for name in self.more_names]
            sums.append(ops.stack(more + [zero] * (SPARE - len(more))) * count)
        variables = self.totals, self.count, self.more_totals
        for variable, total in zip(variables, backend.sum_over_processes(sums), strict=False):
            variable.assign_add(total)

    def result(self):
        means = dict(zip(self.names, self._means(self.totals), strict=True))
        if self.more_names:
            means.update(zip(self.more_names, self._means(self.more_totals), strict=False))
        return {name: mean for name, mean in means.items() if name in self.newest}

    def _means(self, totals):
        return ops.unstack(ops.divide_no_nan(totals.value, self.count.value))

    def save_own_variables(self, store):
        pass  # An epoch begins with zeros.

    def load_own_variables(self, store):
        pass

    def get_config(self):
        return {**super().get_config(), "names": self.names}
