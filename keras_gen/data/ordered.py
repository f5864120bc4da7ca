import copy
import threading

import keras
import numpy as np

from keras_gen.arguments import check_integer

# Keras may read batches in several threads. Held while one of them is counted.
_counting = threading.Lock()


def order_of(data):
    """Return the object whose `epoch` says what `data` read next, or None if there is none."""
    for order in (data, getattr(data, "order", None)):
        if hasattr(order, "epoch"):
            return order
    return None


class OrderedDataset(keras.utils.PyDataset):
    """Examples in batches whose order is a function of (seed, epoch) alone, as in `ArrayDataset`.

    `data[i]` is batch i of the current epoch. With `steps_per_epoch` a pass goes on in the next
    epoch of `fit`. Reading batches outside an epoch counts as nothing.

    A subclass writes `examples(rows)`: one batch, the examples at `rows`, a slice or an array
    of indices. What is drawn again in every epoch, from (seed, epoch) alone, it draws in `change`.

    Attributes:
        multiple_of: number that divides the size of every batch. The rest of the last batch, fewer
            examples than this, is left out. For several devices, which read equal parts.
        part: `(index, count)`. Where `count` processes read one batch together, indexing, which is
            how Keras reads, returns part `index` of it. A model's `fit` sets it. A process that
            reads whole batches of its own, because Keras divides the batches among the processes,
            keeps `(0, 1)`.
    """

    def __init__(self, num_examples, batch_size, shuffle, seed, drop_remainder):
        super().__init__()
        self.num_examples = num_examples
        self.batch_size = check_integer("batch_size", batch_size)
        self.shuffle = shuffle
        self.seed = check_integer("seed", seed, least=0) if shuffle else seed
        self.drop_remainder = drop_remainder
        self.multiple_of = 1
        self.part = (0, 1)
        self.epoch = 0
        self._order = None  # (seed, epoch) and its permutation.
        self._in_epoch = False
        self._read = set()  # The batches of this pass that were read.
        self._ahead = False  # Whether this pass began before the last epoch of `fit` had ended.
        self._unfinished = False  # Whether the last epoch of `fit` ended within this pass.
        if len(self) == 0:
            raise ValueError(
                f"There are {num_examples} examples, too few for one batch. Pass at least "
                f"{batch_size if drop_remainder else 1}."
            )

    def examples(self, rows):
        raise NotImplementedError

    def change(self, batch, rows, epoch):
        """Return a batch of `fit` with what is drawn for these examples in this epoch."""
        return batch

    @property
    def num_read(self):
        """Number of examples in an epoch, without those that are left out."""
        rest = self.num_examples % self.batch_size
        return self.num_examples - (rest if self.drop_remainder else rest % self.multiple_of)

    @property
    def use_multiprocessing(self):
        return False

    @use_multiprocessing.setter
    def use_multiprocessing(self, value):
        if value:
            raise ValueError(
                "`use_multiprocessing` was set to True, but other processes would not count the "
                "epochs. Set `workers` alone: its threads read in parallel."
            )

    def in_order(self):
        """Return the same examples, all and in their order, without what `change` draws."""
        data = copy.copy(self)
        data.shuffle = data.drop_remainder = data._in_epoch = False
        data.multiple_of, data.part, data._read = 1, (0, 1), set()
        data.change = lambda batch, *_: batch
        return data

    def check_steps(self, steps_per_epoch):
        """Raise ValueError if `fit` would not read the batches in their order."""
        if steps_per_epoch is not None and self.workers > 1:
            raise ValueError(
                f"`fit` got steps_per_epoch={steps_per_epoch}, and the data have {self.workers} "
                f"workers, which Keras starts from batch 0 in every epoch. Leave out one of them."
            )

    def __len__(self):
        return -(-self.num_read // self.batch_size)

    def __iter__(self):
        return (self._batch(index, self.epoch) for index in range(len(self)))

    def __getitem__(self, index):
        return self._batch(index, self._counted(index), self.part)

    def on_epoch_begin(self):
        with _counting:
            # All was read before: by hand, or by tf.data, which `fit` has dropped and reads again.
            # But with several workers Keras 3.15 itself reads before it calls this.
            if self._is_complete() and self.workers <= 1:
                self._read.clear()
            self._in_epoch = True
            self._ahead = self._unfinished = False

    def on_epoch_end(self):
        # Keras also calls this when it starts to read, without an epoch that could end.
        with _counting:
            completed = self._in_epoch and self._is_complete() and not self._ahead
            if completed or (self._unfinished and not self._in_epoch):
                self._begin_pass()
            elif not self._in_epoch:
                self._read.clear()
            self._unfinished = self._in_epoch and bool(self._read) and not self._ahead
            self._in_epoch = False

    def _counted(self, index):
        with _counting:
            if index == 0 and self._in_epoch and self._is_complete():  # tf.data reads ahead.
                self._begin_pass()
                self._ahead = True
            self._read.add(index)
            return self.epoch

    def _is_complete(self):
        return len(self._read) == len(self)

    def _begin_pass(self):
        self.epoch += 1
        self._read.clear()

    def _batch(self, index, epoch, part=(0, 1)):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} was asked for; there are {len(self)}.")
        start = index * self.batch_size
        size = min(self.batch_size, self.num_read - start) // part[1]
        rows = slice(start + part[0] * size, start + (part[0] + 1) * size)
        if self.shuffle:
            rows = self._permutation(epoch)[rows]
        return self.change(self.examples(rows), rows, epoch)

    def _permutation(self, epoch):
        key, order = (self.seed, epoch), self._order
        if order is None or order[0] != key:
            order = self._order = key, np.random.default_rng(key).permutation(self.num_examples)
        return order[1]
