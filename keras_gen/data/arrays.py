import keras
import numpy as np

from keras_gen.arguments import as_one_array, check_unmasked
from keras_gen.data.ordered import OrderedDataset


class ArrayDataset(OrderedDataset):
    """Arrays in memory, in batches whose order is a function of (seed, epoch) alone.

    The order is new in every epoch. The models of keras_gen read the batches in this order on
    every backend, whatever `fit` is told about shuffling and whatever else draws random numbers.
    A plain Keras model does so with `fit(train, shuffle=False)`; with `shuffle=True` it reads the
    same batches in an order that Keras draws. Every pass that Keras completes over the batches
    counts as an epoch. The `predict` of our models reads the examples in order, and counts nothing.

    Args:
        x: images (n, height, width, channels) or other examples (n, ...): float32, or uint8,
            which is divided by 255, and refused if small: 0 and 1, or a table below 128.
        y: integer labels (n,), or None.
        batch_size: examples per batch; the last batch may hold fewer.
        shuffle: `False` keeps the order of the arrays.
        seed: integer, not negative.
        drop_remainder: leave out the last batch of an epoch if it is not full.
        labels: batches are `(x, y)` if there is a `y`; with `False`, `x` alone.

    Attributes:
        epoch: number of the epoch that is read now, or next. Set it to resume:
            `train.epoch = 5; model.fit(train, initial_epoch=5, epochs=10)`.

    Example:

    ```python
    train = ArrayDataset(np.random.rand(1000, 28, 28, 1).astype("float32"), batch_size=100)
    first = train[0]                  # (100, 28, 28, 1): batch 0 of epoch 0
    model.fit(train, epochs=10)
    ```
    """

    def __init__(
        self, x, y=None, batch_size=128, shuffle=True, seed=0, drop_remainder=False, labels=True
    ):
        check_unmasked("x", x)
        check_unmasked("y", y)
        self.x = as_float(as_one_array("x", x))
        self.y = None if y is None else np.asarray(y)
        self.labels = labels
        if self.y is not None and len(self.y) != len(self.x):
            raise ValueError(
                f"`x` has {len(self.x)} examples and `y` {len(self.y)}. Pass one label per example."
            )
        super().__init__(len(self.x), batch_size, shuffle, seed, drop_remainder)

    @property
    def arrays(self):
        """The arrays that the batches are taken from: `(x, y)`, or `x` alone."""
        return (self.x, self.y) if self.labels and self.y is not None else self.x

    def examples(self, rows):
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


def as_float(x):
    """Return examples as float32: uint8 is divided by 255, floats are kept."""
    if x.ndim == 0 or not (x.dtype == np.uint8 or np.issubdtype(x.dtype, np.floating)):
        raise ValueError(
            f"`x` has shape {x.shape} and type {x.dtype}. Pass examples (n, ...) as floats, "
            f'`x.astype("float32")`; images in [0, 1], or as uint8, which is divided by 255.'
        )
    if x.dtype == np.uint8:
        if x.size and 0 < x.max() <= (127 if x.ndim < 3 else 1):
            raise ValueError(
                f"`x` is uint8, which is divided by 255, and reaches only {x.max()}. Pass "
                f'`x.astype("float32")`, or pixels from 0 to 255.'
            )
        return np.divide(x, 255, dtype="float32")
    return x.astype("float32", copy=False)
