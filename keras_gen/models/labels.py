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

    def label_specs(self, packing=1):
        shape = (None,) if packing == 1 else (None, packing)
        return [keras.InputSpec(shape=shape, dtype="int32", name="y")]

    def signatures(self):
        return {
            name: signature._replace(function=self._of_known_labels(signature))
            for name, signature in super().signatures().items()
        }

    def _of_known_labels(self, signature):
        """Its function; NaN where a label is out of range, as a served model raises nothing."""
        names = [spec.name for spec in signature.inputs]
        place = names.index("y" if "y" in names else "like")

        def function(*inputs):
            y = inputs[place]
            inputs = list(inputs)
            inputs[place] = ops.clip(y, 0, self.num_classes - 1)
            known = ops.cast(ops.reshape(inputs[place] == y, (ops.shape(y)[0], -1)), "float32")
            # sqrt(0) is 0, and sqrt(-1) is NaN. Not `where`: tf2onnx makes a product of it, and
            # NaN times 0 is NaN.
            nothing = ops.sqrt(ops.min(known, axis=1) - 1)
            return {
                name: value + ops.reshape(nothing, (-1, *[1] * (len(value.shape) - 1)))
                for name, value in signature.function(*inputs).items()
            }

        return function

    def example_input(self, network, default):
        shape = getattr(network, "input_shape", [default, None])
        if not isinstance(shape, list) or len(shape) != 2:
            raise ValueError(
                f"{type(self).__name__} gives {network.name!r} two inputs, examples or z and "
                f"their labels y, and it takes {shape}. Build it with `num_classes`, or as a Keras "
                f"model of [x, y]."
            )
        for operation in getattr(network, "operations", []):
            classes = getattr(operation, "num_classes", self.num_classes)
            if type(operation).__name__ == "OneHot" and classes != self.num_classes:
                raise ValueError(
                    f"`num_classes` is {self.num_classes}, and {network.name!r} was built with "
                    f"num_classes={classes}. Pass the same to both."
                )
        return shape[0]


def check_num_classes(num_classes):
    if num_classes < 1:
        raise ValueError(f"`num_classes` is {num_classes}. Pass at least 1.")


def checked_pair(x, y, num_classes):
    """Examples and labels, int32 (batch,), from what `fit` hands over.

    Of a stream the door sees the first batch alone. Where a later one has a label out of range
    its example becomes NaN, and so the update is left out and noted.
    """
    if y is None:
        raise ValueError("The labels are missing. Pass data in batches of (x, y).")
    if len(y.shape) > 1 and tuple(y.shape[1:]) != (1,):
        raise ValueError(
            f"The labels have shape {tuple(y.shape)}. Pass one integer for each example, (n,)."
        )
    y = ops.cast(ops.reshape(y, (-1,)), "int32")
    in_range = ops.logical_and(y >= 0, y < num_classes)
    in_range = ops.reshape(in_range, (-1, *[1] * (len(x.shape) - 1)))
    x = ops.where(in_range, x, ops.full_like(x, float("nan")))
    return x, ops.clip(y, 0, num_classes - 1)


def pair(inputs):
    """The two inputs of a call; ValueError for one."""
    if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
        raise ValueError(
            "A conditional model is called on two inputs: pass a list [x, y], or [z, y] to a GAN."
        )
    return inputs
