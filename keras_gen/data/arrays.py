import keras
import numpy as np


class ArrayDataset(keras.utils.PyDataset):
    """Arrays in memory, in batches whose order is a function of (seed, epoch) alone.

    The order is fresh in every epoch and the same on every backend, whatever `fit` is told
    about shuffling and whatever else draws random numbers. Every pass that Keras completes over
    the batches, in `fit`, `evaluate` or `predict`, counts as an epoch.

    Args:
        x: images (n, height, width, channels) or other examples (n, ...): uint8, which is
            divided by 255, or float32.
        y: integer labels (n,), or None.
        batch_size: examples per batch; the last one may hold fewer.
        shuffle: `False` keeps the order of the arrays.
        seed: integer, not negative.
        drop_remainder: leave out the last batch of an epoch if it is not full.
        labels: batches are `(x, y)` where there is a `y`. `False`: `x` alone.

    Attributes:
        epoch: the epoch that is being read, or is read next. Set it to resume:
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
        super().__init__()
        self.x = _as_float(np.asarray(x))
        self.y = None if y is None else np.asarray(y)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.labels = labels
        self.epoch = 0
        self._order = None  # (seed, epoch) and its permutation
        self._in_epoch = False
        self._places = None  # a pass of Keras: the index asked for -> its place in the order
        if self.y is not None and len(self.y) != len(self.x):
            raise ValueError(
                f"`x` has {len(self.x)} examples and `y` {len(self.y)}. Pass one label per example."
            )
        if batch_size < 1:
            raise ValueError(f"`batch_size` is {batch_size}. Pass 1 or more.")
        if len(self) == 0:
            raise ValueError(
                f"`x` has {len(self.x)} examples, too few for one batch. Pass at least "
                f"{batch_size if drop_remainder else 1}."
            )

    def __len__(self):
        whole, rest = divmod(len(self.x), self.batch_size)
        return whole + bool(rest and not self.drop_remainder)

    def __iter__(self):
        return (self._batch(index) for index in range(len(self)))

    def __getitem__(self, index):
        # `fit` asks for the indices in an order drawn from Python's global generator, so within
        # a pass of Keras the k-th batch asked for is the k-th of our order, whatever its index.
        if self._places is not None:
            index = self._places.setdefault(index, len(self._places))
        return self._batch(index)

    @property
    def num_batches(self):
        # Keras reads this wherever it starts a pass, and nowhere within one: with
        # `steps_per_epoch` a pass goes on in the next epoch. What it reads outside an epoch
        # (shapes), or starts in one and drops (to build a model), is no pass.
        self._end_pass()
        if self._in_epoch:
            self._places = {}
        return len(self)

    def on_epoch_begin(self):
        self._in_epoch = True

    def on_epoch_end(self):
        self._in_epoch = False
        if not self._places or len(self._places) == len(self):
            self._end_pass()

    def _end_pass(self):
        # Complete, or left unfinished by a `fit` that is over.
        if self._places and (len(self._places) == len(self) or not self._in_epoch):
            self.epoch += 1
        self._places = None

    def _batch(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} was asked for; there are {len(self)}.")
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        if self.shuffle:
            rows = self._permutation()[rows]
        return (self.x[rows], self.y[rows]) if self.labels and self.y is not None else self.x[rows]

    def _permutation(self):
        key = (self.seed, self.epoch)
        if self._order is None or self._order[0] != key:
            self._order = key, np.random.default_rng(key).permutation(len(self.x))
        return self._order[1]


def _as_float(x):
    if x.ndim == 0 or not (x.dtype == np.uint8 or np.issubdtype(x.dtype, np.floating)):
        raise ValueError(
            f"`x` has shape {x.shape} and type {x.dtype}. Pass examples (n, ...) as uint8, "
            "which is divided by 255, or as floats in [0, 1]."
        )
    if x.dtype == np.uint8:
        return np.divide(x, 255, dtype="float32")
    return x.astype("float32", copy=False)
