import tensorflow as tf

# They have no public names.
from keras.src.trainers.data_adapters import TFDatasetAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


def feed(adapter):
    # A tf.data.Dataset is the user's own.
    return adapter if isinstance(adapter, TFDatasetAdapter) else _Untuned(adapter)


class _Untuned(DataAdapter):
    """An adapter of Keras's whose pipeline tf.data does not tune.

    Where it does, the end of the pipeline, which comes with every epoch, waits for the tuner: a
    tenth of a second every other time.
    """

    def __init__(self, adapter):
        self.adapter = adapter

    def get_tf_dataset(self):
        options = tf.data.Options()
        options.autotune.enabled = False
        return self.adapter.get_tf_dataset().with_options(options)

    def get_numpy_iterator(self):  # When run eagerly.
        return self.adapter.get_numpy_iterator()

    num_batches = property(lambda self: self.adapter.num_batches)
    batch_size = property(lambda self: self.adapter.batch_size)
    has_partial_batch = property(lambda self: self.adapter.has_partial_batch)
    partial_batch_size = property(lambda self: self.adapter.partial_batch_size)

    def on_epoch_begin(self):
        self.adapter.on_epoch_begin()

    def on_epoch_end(self):
        self.adapter.on_epoch_end()
