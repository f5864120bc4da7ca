"""Several devices on JAX: `keras.distribution.DataParallel`.

Inside a step an array is a whole batch, although its parts lie on several devices: means, batch
normalisation and noise are the same as on one device.
"""

import contextlib
import os

import jax
import keras

no_jit_compile = None
no_gradient_accumulation = None


@contextlib.contextmanager
def data_parallel():
    if "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
        keras.distribution.initialize()
    elif "JAX_COORDINATOR_ADDRESS" in os.environ:
        # JAX reads the first of these three by itself.
        jax.distributed.initialize(
            num_processes=int(os.environ["JAX_NUM_PROCESSES"]),
            process_id=int(os.environ["JAX_PROCESS_ID"]),
        )
    # Each process reads its own part of a batch. Keras can divide only `tf.data`.
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    with distribution.scope():
        yield jax.device_count(), jax.process_index(), jax.process_count()


def count_devices(model):
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        return 1
    return distribution.device_mesh.devices.size


def process():
    if keras.distribution.distribution() is None:
        return 0, 1
    return jax.process_index(), jax.process_count()


def with_copied_batches(data):
    return data


def synchronize(variables):
    """Do nothing: the same seed made them equal in every process."""


def gathers_predictions():
    return process()[1] == 1


def replica():
    return 0
