"""Several devices on TensorFlow: `tf.distribute`, in one process or, by TF_CONFIG, in several."""

import contextlib
import functools
import inspect
import json
import os

import keras
import numpy as np
import tensorflow as tf

no_jit_compile = "XLA refuses variables that lie on several devices"
no_gradient_accumulation = "it branches, and replicas cannot meet within a branch"


@contextlib.contextmanager
def data_parallel():
    if "TF_CONFIG" in os.environ:
        cluster = json.loads(os.environ["TF_CONFIG"])
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        process, processes = cluster["task"]["index"], len(cluster["cluster"].get("worker", ()))
        if "chief" in cluster["cluster"]:  # It is no worker there, and comes before them.
            process, processes = process + (cluster["task"]["type"] != "chief"), processes + 1
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        process, processes = 0, 1
    give_each_its_noise()
    with strategy.scope():
        yield strategy.num_replicas_in_sync, process, processes


def devices_of(model):
    return model.distribute_strategy.num_replicas_in_sync


def part():
    return 0, 1


def unaliased(data):
    """`data` whose batches are copies.

    TensorFlow does not copy the NumPy arrays that Python code hands to a `tf.data` pipeline, and
    under `tf.distribute` a replica may write over its part of them: where they are views, into
    the arrays of the user.
    """
    if isinstance(data, keras.utils.PyDataset):
        return _Copies(data)
    if inspect.isgenerator(data):
        return (_copy(batch) for batch in data)
    return data


def same_on_all(variables):
    """Nothing: `tf.distribute` makes variables equal."""


def gathers_predictions():
    return True


def mean_over_replicas(x):
    context = _context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def gather_from_replicas(x):
    context = _context()
    return x if context is None else context.all_gather(x, axis=0)


def sum_over_processes(tensors):
    return tensors  # Keras's metrics add their variables up when they are read.


def replica():
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def give_each_its_noise():
    """Seed generators, a user's Dropout included, give each replica numbers of its own.

    They have one state, as all variables do, and so would draw the same on every replica.
    """
    plain = keras.random.SeedGenerator.next
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def next_of_replica(self, ordered=True):
        state = plain(self, ordered)
        if _context() is None:
            return state
        # Streams of neighbouring seeds have nothing in common here: TensorFlow hashes them.
        return state + tf.cast(tf.stack([replica() * 1_000_003, 0]), state.dtype)

    keras.random.SeedGenerator.next = next_of_replica


def over_workers(logs):
    """Logs as `fit` of Keras 3.15 wants them with several workers, and else as they are.

    It takes their mean over an axis that scalars do not have:
    https://github.com/tensorflow/tensorflow/issues/72388
    """
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}


class _Copies(keras.utils.PyDataset):
    def __init__(self, data):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data = data
        self.order = data  # For a checkpoint.

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        return _copy(self.data[index])

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()


def _copy(batch):
    return keras.tree.map_structure(lambda a: a.copy() if isinstance(a, np.ndarray) else a, batch)


def _context():
    """The replica, where there are several and this is one of them."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return None
    return tf.distribute.get_replica_context()
