import keras
import tensorflow as tf

# They have no public names.
from keras.src.trainers.data_adapters import ArrayDataAdapter, TFDatasetAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


def feed(adapter, model):
    if isinstance(adapter, TFDatasetAdapter):  # A tf.data.Dataset is the user's own.
        return adapter
    return _Direct(adapter) if _is_read_at_once(adapter, model) else _Untuned(adapter)


def _is_read_at_once(adapter, model):
    """Whether the next batch is there at once, and nothing of TensorFlow's has to have it."""
    dataset = getattr(adapter, "py_dataset", None)
    in_memory = isinstance(adapter, ArrayDataAdapter) or getattr(dataset, "in_memory", False)
    workers = getattr(adapter, "enqueuer", None) is not None
    # Beside a GPU there is time to read the next batch, and several steps in one read it there.
    one_cpu = not (
        tf.config.list_logical_devices("GPU")
        or tf.distribute.has_strategy()
        or model._distribute_strategy
    )
    return in_memory and not workers and one_cpu and model.steps_per_execution == 1


class _Fed(DataAdapter):
    """An adapter of Keras's whose batches come to TensorFlow in another way."""

    def __init__(self, adapter):
        self.adapter = adapter

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


class _Untuned(_Fed):
    """Through a pipeline that tf.data does not tune.

    Where it does, the end of the pipeline, which comes with every epoch, waits for the tuner: a
    tenth of a second every other time.
    """

    def get_tf_dataset(self):
        options = tf.data.Options()
        options.autotune.enabled = False
        return self.adapter.get_tf_dataset().with_options(options)


class _Direct(_Fed):
    """Without a pipeline, whose threads take longer than they save where a batch is a copy.

    What Keras's step is handed is any iterator; for that of a pipeline it has a second function
    around that of the step.
    """

    def get_tf_dataset(self):
        return self

    def __iter__(self):
        return _Tensors(iter(self.adapter.get_numpy_iterator()))


class _Tensors:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return self

    def __next__(self):
        for batch in self.batches:
            return keras.tree.map_structure(tf.convert_to_tensor, batch, none_is_leaf=False)
        # Not StopIteration: Keras takes a step's batches by `zip`, which would swallow it.
        raise tf.errors.OutOfRangeError(None, None, "The data are read to their end.")
