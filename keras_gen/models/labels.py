"""Labels of a model with classes: their checks, and the inputs of its networks."""

import keras
import numpy as np
from keras import ops

from keras_gen.arguments import check_integer
from keras_gen.door import as_labels, as_numpy, axes_of


class Labels:
    """Mixin of a model. Without `num_classes` there are no labels, and y is None everywhere."""

    def set_num_classes(self, num_classes):
        if num_classes is not None:
            num_classes = check_integer("num_classes", num_classes)
        self.num_classes = num_classes

    def check_labels(self, y, n):
        """Return the labels of `n` examples that `fit` was given, int32 (n,); ValueError if bad."""
        if y is None:
            raise ValueError(
                f"The labels are missing: this {type(self).__name__} was built with "
                f"num_classes={self.num_classes} and learns from pairs. Pass `fit(x, y)`, or data "
                f"in batches of (x, y)."
            )
        return as_labels(y, n, self.num_classes, type(self).__name__)

    def labels(self, y, n):
        """Return labels given to a public method as int32 (n,), or None without classes.

        `y` holds integers (n,), or is one integer for all; ValueError for anything else.
        """
        owner = type(self).__name__
        if self.num_classes is None:
            if y is not None:
                raise ValueError(
                    f"`y` was given, but this {owner} has no classes. Build the model and its "
                    f"networks with `num_classes`, or leave `y` out."
                )
            return None
        if y is None:
            raise ValueError(
                f"The labels are missing: this {owner} was built with "
                f"num_classes={self.num_classes}. Pass `y=`, integers (n,) or one for all."
            )
        if isinstance(y, str):
            raise ValueError(
                f"`y` is {y!r}. Pass the number of the class, from 0 to {self.num_classes - 1}."
            )
        y = as_numpy(y, "y")
        return as_labels(np.full(n, y) if y.ndim == 0 else y, n, self.num_classes, owner)

    def __call__(self, inputs, *args, y=None, **kwargs):
        """Call the model as Keras does; `y=` is another way to say [x, y], or [z, y] of a GAN."""
        if y is not None:
            inputs = [inputs, self.labels(y, len(inputs))]
        return super().__call__(inputs, *args, **kwargs)

    def split_labels(self, inputs):
        """Return `(x, y)` from the inputs of a call: [x, y] with classes, else x itself."""
        if self.num_classes is None:
            return inputs, None
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                "A model with `num_classes` is called on two inputs: pass a list [x, y], or [z, y] "
                "to a GAN."
            )
        return inputs

    def mark_unknown_labels(self, x, y):
        """Return a step's examples, and its labels clipped to those that exist, int32 (batch,).

        The data of a stream are checked before training in its first batch alone. Where a later
        batch has a label out of range, or no integer, its example becomes NaN: then the update is
        left out and noted.
        """
        if self.num_classes is None:
            return x, None
        if y is None:
            raise ValueError("The labels are missing. Pass data in batches of (x, y).")
        if axes_of(y) not in ((), (1,)):
            raise ValueError(
                f"The labels have shape {tuple(y.shape)}. Pass one integer for each example, (n,)."
            )
        given = ops.reshape(y, (-1,))
        y = ops.cast(given, "int32")
        in_range = ops.logical_and(y >= 0, y < self.num_classes)
        in_range = ops.logical_and(in_range, ops.cast(y, given.dtype) == given)
        in_range = ops.reshape(in_range, (-1, *[1] * (len(x.shape) - 1)))
        x = ops.where(in_range, x, ops.full_like(x, float("nan")))
        return x, ops.clip(y, 0, self.num_classes - 1)

    def symbolic_inputs(self, x, packing=1):
        """Return the inputs of a network: `x`, a KerasTensor, and with classes its labels."""
        if self.num_classes is None:
            return x
        return [x, keras.KerasTensor(_shape(packing), dtype="int32")]

    def label_specs(self, packing=1):
        """Return the inputs of a signature next to x or z: a list of one, or none."""
        if self.num_classes is None:
            return []
        return [keras.InputSpec(shape=_shape(packing), dtype="int32", name="y")]

    def input_shape_of(self, network, default):
        """Return the shape that a network expects for examples or z; `default` if not built.

        ValueError if the network and the model do not agree about labels.
        """
        owner = type(self).__name__
        if self.num_classes is None:
            shape = getattr(network, "input_shape", default)
            if not isinstance(shape, tuple) or isinstance(shape[0], (list, tuple)):
                raise ValueError(
                    f"{owner} gives {network.name!r} one input, but it has {len(shape)}. For "
                    f"labels next to the examples pass `num_classes`."
                )
            return shape
        shape = getattr(network, "input_shape", [default, None])
        if not isinstance(shape, list) or len(shape) != 2:
            raise ValueError(
                f"{owner} with `num_classes` gives {network.name!r} two inputs, examples or z and "
                f"their labels y, but it has {shape}. Build it with `num_classes`, or as a Keras "
                f"model of [x, y]."
            )
        of_labels = () if shape[1] is None else tuple(shape[1][1:])  # None: not built yet.
        if of_labels not in ((), (1,), (getattr(self, "packing", 1),)):
            raise ValueError(
                f"{network.name!r} expects labels of shape {of_labels}, and {owner} gives it "
                f'integers: let it begin with `y = keras.Input((), dtype="int32")`, and make them '
                f'one-hot inside, `CategoryEncoding({self.num_classes}, output_mode="one_hot")(y)`.'
            )
        for operation in getattr(network, "operations", []):
            classes = getattr(operation, "num_classes", self.num_classes)
            if type(operation).__name__ == "OneHot" and classes != self.num_classes:
                raise ValueError(
                    f"`num_classes` is {self.num_classes}, but {network.name!r} was built with "
                    f"num_classes={classes}. Pass the same to both."
                )
        return shape[0]


def _shape(packing):
    return (None,) if packing == 1 else (None, packing)
