"""Keras's adapters of data, and what comes to a backend from one in another way than Keras's."""

# They have no public names.
from keras.src.trainers.data_adapters import ArrayDataAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


class Fed(DataAdapter):
    """An adapter whose batches a backend reads in its own way, and nothing else changes."""

    def __init__(self, adapter):
        self.adapter = adapter

    def get_numpy_iterator(self):
        return self.adapter.get_numpy_iterator()

    num_batches = property(lambda self: self.adapter.num_batches)
    batch_size = property(lambda self: self.adapter.batch_size)
    has_partial_batch = property(lambda self: self.adapter.has_partial_batch)
    partial_batch_size = property(lambda self: self.adapter.partial_batch_size)

    def on_epoch_begin(self):
        self.adapter.on_epoch_begin()

    def on_epoch_end(self):
        self.adapter.on_epoch_end()


def holds_arrays(adapter):
    """Whether the data are arrays as `fit` is given them."""
    return isinstance(adapter, ArrayDataAdapter)


def is_in_memory(adapter):
    """Whether the data are a data set whose next batch is there at once."""
    dataset = getattr(adapter, "py_dataset", None)
    return getattr(dataset, "in_memory", False) and getattr(adapter, "enqueuer", None) is None
