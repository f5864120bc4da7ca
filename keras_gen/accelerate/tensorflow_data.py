"""A `tf.data` pipeline for data in memory, made once and without a tuner.

Keras makes one in every `fit`, which takes a tenth of a second, and has it tuned by `tf.data`, for
which short epochs wait. Both read one batch after the other, by `data[i]`.
"""

import weakref

import keras
import tensorflow as tf

from keras_gen.accelerate.callbacks import callbacks as lazy_callbacks
from keras_gen.data import ArrayDataset

AHEAD = 2  # Batches that are read before they are needed.

_pipelines = weakref.WeakKeyDictionary()


def callbacks(model, method, arguments):
    """Return the callbacks for "fit" or "evaluate", and put pipelines in the place of the data."""
    read = {"train": arguments["x"], "test": arguments.get("validation_data")}
    given = arguments.get("callbacks")
    finished = isinstance(given, keras.callbacks.CallbackList)  # It would not tell of epochs.
    if not finished and read["train"] is not read["test"] and not tf.distribute.has_strategy():
        arguments["x"] = _pipeline(read["train"])
        if read["test"] is not None:
            arguments["validation_data"] = _pipeline(read["test"])
        if method == "evaluate":
            read = {"train": None, "test": read["train"]}
        arguments["callbacks"] = [CountPasses(**read), *keras.tree.flatten(given or [])]
    return lazy_callbacks(model, method, arguments)


class CountPasses(keras.callbacks.Callback):
    """Tell data of their epochs, as Keras does where it makes the pipeline."""

    def __init__(self, train, test):
        super().__init__()
        self.train, self.test = (data if _is_replaced(data) else None for data in (train, test))

    def on_epoch_begin(self, epoch, logs=None):
        if self.train is not None:
            self.train.on_epoch_begin()

    def on_epoch_end(self, epoch, logs=None):
        if self.train is not None:
            self.train.on_epoch_end()

    def on_test_begin(self, logs=None):
        if self.test is not None:
            self.test.on_epoch_begin()

    def on_test_end(self, logs=None):
        if self.test is not None:
            self.test.on_epoch_end()


def _is_replaced(data):
    # A subclass may read otherwise, and several workers read by Keras's queue.
    return type(data) is ArrayDataset and data.workers <= 1


def _pipeline(data):
    if not _is_replaced(data):
        return data
    made = _pipelines.setdefault(data, {})
    if data.labels not in made:
        made[data.labels] = _make(weakref.ref(data))
    # Here, as `data.batch_size` may have changed.
    return made[data.labels].apply(tf.data.experimental.assert_cardinality(len(data)))


def _make(data):
    """Return a pipeline that reads `data()`; it does not keep the data alive."""
    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), _as_tuple(data().arrays)
    )
    pipeline = tf.data.Dataset.from_generator(
        lambda: (_as_tuple(data()[index]) for index in range(len(data()))),
        output_signature=signature,
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    return pipeline.prefetch(AHEAD).with_options(options)


def _as_tuple(batch):
    return batch if isinstance(batch, tuple) else (batch,)
