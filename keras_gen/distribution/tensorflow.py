"""Several devices on TensorFlow: `tf.distribute`, in one process, or with TF_CONFIG in several."""

import contextlib
import inspect
import json
import os

import keras
import numpy as np
import tensorflow as tf

from keras_gen.data.mapped import MappedDataset
from keras_gen.distribution.noise import different_noise

no_jit_compile = "XLA does not support variables that lie on several devices"
no_gradient_accumulation = "it has a branch, and replicas cannot exchange gradients within one"


@contextlib.contextmanager
def data_parallel():
    if "TF_CONFIG" in os.environ:
        cluster = json.loads(os.environ["TF_CONFIG"])
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        process, processes = cluster["task"]["index"], len(cluster["cluster"].get("worker", ()))
        if "chief" in cluster["cluster"]:  # A chief is not among the workers, and comes first.
            process, processes = process + (cluster["task"]["type"] != "chief"), processes + 1
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        process, processes = 0, 1
    with different_noise(_seed_of_replica), strategy.scope():
        yield strategy.num_replicas_in_sync, process, processes


def count_devices(model):
    return model.distribute_strategy.num_replicas_in_sync


def process():
    return 0, 1


def with_copied_batches(data):
    """Return `data` whose batches are copies.

    TensorFlow does not copy the NumPy arrays that Python code passes to a `tf.data` pipeline, and
    under `tf.distribute` a replica may write over its part of them. If they are views, that would
    change the user's arrays.
    """
    if isinstance(data, keras.utils.PyDataset):
        return MappedDataset(data, _copy)
    return (_copy(batch) for batch in data) if inspect.isgenerator(data) else data


def synchronize(variables):
    """Do nothing: `tf.distribute` makes variables equal."""


def gathers_predictions():
    return True


def replica():
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return 0
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def _seed_of_replica(state):
    # TensorFlow hashes seeds, so the streams of neighbouring seeds have nothing in common.
    return state + tf.cast(tf.stack([replica() * 1_000_003, 0]), state.dtype)


def _copy(batch):
    return keras.tree.map_structure(lambda a: a.copy() if isinstance(a, np.ndarray) else a, batch)
