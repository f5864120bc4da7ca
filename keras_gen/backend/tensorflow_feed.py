import tensorflow as tf

# There is no public name for what `fit` reads through, and takes in place of data.
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


def feed(data, batch_size, steps, shuffle):
    x, y, sample_weight = data
    if hasattr(x, "element_spec"):  # A tf.data.Dataset is the user's own.
        return data
    adapter = get_data_adapter(x, y, sample_weight, batch_size, steps, shuffle)
    return _Untuned(adapter), None, None


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
