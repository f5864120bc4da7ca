import keras
import tensorflow as tf

# It has no public name.
from keras.src.trainers.data_adapters import TFDatasetAdapter

from keras_gen.backend.feeding import Fed, holds_arrays, is_in_memory

MOST = 8  # Of sizes that have a trace each.


def feed(adapter, model):
    if isinstance(adapter, TFDatasetAdapter):  # A tf.data.Dataset is the user's own.
        return adapter
    return _Direct(adapter) if _is_read_at_once(adapter, model) else _Untuned(adapter)


def _is_read_at_once(adapter, model):
    """Whether the next batch is there at once, and nothing gains by a pipeline."""
    # Beside a GPU there is time to read the next batch, and several steps in one read it there.
    one_cpu = not (tf.config.list_logical_devices("GPU") or _has_strategy(model))
    at_once = holds_arrays(adapter) or is_in_memory(adapter)
    return at_once and one_cpu and model.steps_per_execution == 1


def _has_strategy(model):
    return bool(tf.distribute.has_strategy() or model._distribute_strategy)


class _Untuned(Fed):
    """Through a pipeline that tf.data does not tune.

    Where it does, the end of the pipeline, which comes with every epoch, waits for the tuner: a
    tenth of a second every other time.
    """

    def get_tf_dataset(self):
        options = tf.data.Options()
        options.autotune.enabled = False
        return self.adapter.get_tf_dataset().with_options(options)


class _Direct(Fed):
    """Without a pipeline, whose threads take longer than they save where a batch is a copy."""

    def get_tf_dataset(self):
        return self

    def __iter__(self):
        return iter(self.adapter.get_numpy_iterator())


class FasterFit:
    """What comes without a pipeline is handed to the step, not to Keras's functions around it."""

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self._direct_or(self.train_function, self.train_step)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = self._direct_or(self.test_function, self.test_step)

    def _direct_or(self, function, step):
        if self.run_eagerly or self.steps_per_execution > 1 or _has_strategy(self):
            return function
        compiled = _Compiled(step, self.jit_compile)

        def one_or_the_other(iterator):
            if isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
                return function(iterator)
            return compiled(next(iterator))

        return one_or_the_other


class _Compiled:
    """A step compiled for every size of a batch, the sizes beyond `MOST` as one.

    `tf.function`, as Keras sets it, changes from the first size to any at the second, and with it
    the rounding: a run that goes on from a checkpoint would not be the run that was not stopped.
    """

    def __init__(self, step, jit_compile):
        self.function = tf.function(step, jit_compile=jit_compile, autograph=False)
        self.traces = {}

    def __call__(self, data):
        data = keras.tree.map_structure(tf.convert_to_tensor, data, none_is_leaf=False)
        if tf.config.functions_run_eagerly():
            return self.function(data)
        key = _key(data)
        if key not in self.traces and len(self.traces) >= MOST:
            key = _key(keras.tree.map_structure(_of_any_size, data, none_is_leaf=False))
        if key not in self.traces:
            structure, *specs = key
            self.traces[key] = self.function.get_concrete_function(
                keras.tree.pack_sequence_as(data, specs)
            )
        return self.traces[key](data)


def _key(data):
    """The structure, in which `x` and `(x,)` are two, and a leaf's size and type."""
    structure = str(keras.tree.map_structure(lambda leaf: None, data))
    leaves = keras.tree.flatten(data)
    return structure, *(x if x is None else tf.TensorSpec(x.shape, x.dtype) for x in leaves)


def _of_any_size(x):
    return tf.TensorSpec([None, *x.shape[1:]], x.dtype)
