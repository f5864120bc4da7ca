"""What conditional models share: labels, from the door of `fit` to the networks."""

import keras
import numpy as np
from keras import ops


class Labelled:
    """Mixed into a model, before it: integer labels go with every example.

    The model has `num_classes`.
    """

    def check_labels(self, y, n):
        if y is None:
            raise ValueError(
                f"The labels are missing: {type(self).__name__} learns from pairs. Pass "
                f"`fit(x, y)`, or data in batches of (x, y)."
            )
        y = ops.convert_to_numpy(y)
        if y.shape != (n,) or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"The labels have shape {y.shape} and type {y.dtype} for {n} examples. Pass one "
                f"integer for each, ({n},); for one-hot labels `y.argmax(-1)`."
            )
        if y.min() < 0 or y.max() >= self.num_classes:
            raise ValueError(
                f"The labels go from {y.min()} to {y.max()}. {type(self).__name__} was built with "
                f"num_classes={self.num_classes}: pass 0 to {self.num_classes - 1}."
            )

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: Keras would call the model without labels. The door of `fit` builds it."""

    def labels(self, y, n):
        """`y` as an array (n,), int32: a number stands for `n` of the same."""
        y = np.asarray(y) if y is not None else None
        y = np.full(n, y) if y is not None and y.ndim == 0 else y
        self.check_labels(y, n)
        return y.astype("int32")

    def beside_labels(self, x, packing=1):
        shape = (None,) if packing == 1 else (None, packing)
        return [x, keras.KerasTensor(shape, dtype="int32")]

    def example_input(self, network, default):
        shape = getattr(network, "input_shape", [default, None])
        if not isinstance(shape, list) or len(shape) != 2:
            raise ValueError(
                f"{type(self).__name__} gives {network.name!r} two inputs, examples or z and "
                f"their labels y, and it takes {shape}. Build it with `num_classes`, or as a Keras "
                f"model of [x, y]."
            )
        return shape[0]


def check_num_classes(num_classes):
    if num_classes < 1:
        raise ValueError(f"`num_classes` is {num_classes}. Pass at least 1.")


def label_tensor(y):
    """Labels from what `fit` hands over, int32 (batch,)."""
    if y is None:
        raise ValueError("The labels are missing. Pass data in batches of (x, y).")
    return ops.cast(ops.reshape(y, (-1,)), "int32")
