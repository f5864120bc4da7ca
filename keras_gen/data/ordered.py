import keras
import numpy as np


def order_of(data):
    """What has the `epoch` that `data` read next, to be read and set; None if nothing has it."""
    for order in (data, getattr(data, "order", None)):
        if hasattr(order, "epoch"):
            return order
    return None


class OrderedDataset(keras.utils.PyDataset):
    """Examples in batches whose order is a function of (seed, epoch) alone.

    The order is fresh in every epoch and the same on every backend, whatever `fit` is told
    about shuffling and whatever else draws random numbers. Every pass that Keras completes over
    the batches, in `fit`, `evaluate` or `predict`, counts as an epoch.

    A subclass writes `examples(rows)`: one batch, the examples at `rows`, a slice or an array
    of indices.

    Attributes:
        multiple_of: What the size of every batch is a multiple of; the rest of the last one, fewer
            examples than this, is left out. For several devices, which take equal parts.
        part: `(index, count)`. Indexing, which is how Keras reads, gives of every batch this part,
            where each of `count` processes reads one. A model's `fit` sets it.
    """

    in_memory = False  # Whether `examples` is a copy from memory, and takes next to no time.

    def __init__(self, num_examples, batch_size, shuffle, seed, drop_remainder):
        super().__init__()
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.multiple_of = 1
        self.part = (0, 1)
        self.epoch = 0
        self._order = None  # (seed, epoch) and its permutation
        self._in_epoch = False
        self._places = None  # a pass of Keras: the index asked for -> its place in the order
        if batch_size < 1:
            raise ValueError(f"`batch_size` is {batch_size}. Pass 1 or more.")
        if len(self) == 0:
            raise ValueError(
                f"There are {num_examples} examples, too few for one batch. Pass at least "
                f"{batch_size if drop_remainder else 1}."
            )

    def examples(self, rows):
        raise NotImplementedError

    @property
    def num_read(self):
        """The examples of an epoch, without those that are left out."""
        rest = self.num_examples % self.batch_size
        return self.num_examples - (rest if self.drop_remainder else rest % self.multiple_of)

    def __len__(self):
        return -(-self.num_read // self.batch_size)

    def __iter__(self):
        return (self._batch(index) for index in range(len(self)))

    def __getitem__(self, index):
        # `fit` asks for the indices in an order drawn from Python's global generator, so within
        # a pass of Keras the k-th batch asked for is the k-th of our order, whatever its index.
        if self._places is not None:
            index = self._places.setdefault(index, len(self._places))
        return self._batch(index, self.part)

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

    def _batch(self, index, part=(0, 1)):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} was asked for; there are {len(self)}.")
        start = index * self.batch_size
        size = min(self.batch_size, self.num_read - start) // part[1]
        rows = slice(start + part[0] * size, start + (part[0] + 1) * size)
        if self.shuffle:
            rows = self._permutation()[rows]
        return self.examples(rows)

    def _permutation(self):
        key = (self.seed, self.epoch)
        if self._order is None or self._order[0] != key:
            self._order = key, np.random.default_rng(key).permutation(self.num_examples)
        return self._order[1]
