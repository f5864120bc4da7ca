"""Training on several devices: each gets a part of every batch, and all make the same step."""

import contextlib
import dataclasses
import warnings

import keras

from keras_gen.borrowed import all_layers
from keras_gen.data.ordered import OrderedDataset
from keras_gen.layers import BatchNormalization

if keras.config.backend() == "tensorflow":
    from keras_gen.distribution import tensorflow as engine
elif keras.config.backend() == "jax":
    from keras_gen.distribution import jax as engine
else:
    from keras_gen.distribution import torch as engine

count_devices = engine.count_devices  # Of a model: how many share a batch, over all processes.
process = engine.process  # The number of this process, from 0, and the number of processes.
# Whether Keras's `predict` gives every process the predictions for the whole batch.
gathers_predictions = engine.gathers_predictions


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, over all its processes.

    Attributes:
        count: Number of devices, by which every batch is divided.
        process: Number of this process, from 0.
        processes: Number of processes that run the script.
    """

    count: int = 1
    process: int = 0
    processes: int = 1

    @property
    def is_chief(self):
        """True in the one process that writes files and shows progress."""
        return self.process == 0


_devices = Devices()


@contextlib.contextmanager
def data_parallel():
    """Train models on all devices: those that are made and trained within the `with` block.

    The same script runs on one device and on several, on all backends:

    * TensorFlow: `MirroredStrategy` over the visible GPUs, or CPUs. With the environment variable
      `TF_CONFIG` it is `MultiWorkerMirroredStrategy`, and the block must begin before anything is
      computed.
    * JAX: `keras.distribution.DataParallel` over `jax.devices()`. The devices of several processes
      are used with the environment variables `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
      `JAX_PROCESS_ID`, or with Keras's, such as `KERAS_DISTRIBUTION_JOB_ADDRESSES`.
    * PyTorch: the processes that torchrun started, each with one device, as for
      `DistributedDataParallel`.

    The batch size counts the examples of all devices together, and must be divisible by their
    number. Losses, gradients, `kg.layers.BatchNormalization` and logs are the same as on one device
    with that batch; each device draws noise and dropout of its own.

    Every process runs the whole script. If `fit` or `evaluate` gets a `kg.data.ArrayDataset` or a
    batched `tf.data.Dataset`, each process reads its part. `train_on_batch` expects the part of
    this process. The callbacks of `kg.callbacks` write files only in the chief process; other code
    that writes must ask `devices.is_chief`.

    Yields:
        `Devices`.

    Example:

    ```python
    with kg.distribution.data_parallel() as devices:
        vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=20))
        vae.compile(optimizer="adam")
        vae.fit(train, epochs=20)
        vae.save("vae.keras")  # All processes call it; the first one writes the file.
    ```
    """
    global _devices
    if _devices != Devices():
        raise RuntimeError("One `data_parallel()` is within another. Leave the inner one out.")
    with engine.data_parallel() as counts:
        _devices = Devices(*counts)
        try:
            yield _devices
        finally:
            _devices = Devices()


def is_chief():
    """Return True in the process that writes files and shows progress, and if there is only one."""
    return _devices.is_chief


def processes():
    """Return how many processes train together."""
    return _devices.processes


def check_compiled(model):
    """Raise ValueError if this backend does not support a `compile` option on several devices."""
    name = keras.config.backend()
    if name != "jax" and keras.distribution.distribution() is not None:
        raise ValueError(
            f"A `keras.distribution` is set, which keras_gen does not support on {name}. Use "
            f"`kg.distribution.data_parallel()`."
        )
    if engine.count_devices(model) == 1:
        return
    optimizers = [getattr(o, "inner_optimizer", o) for o, _ in model.optimized()]
    accumulates = any(optimizer.gradient_accumulation_steps for optimizer in optimizers)
    refused = {
        "jit_compile=True": (model._jit_compile_argument is True, engine.no_jit_compile),
        "gradient_accumulation_steps": (accumulates, engine.no_gradient_accumulation),
    }
    for argument, (asked, reason) in refused.items():
        if asked and reason:
            raise ValueError(
                f"{name} has no `{argument}` on several devices: {reason}. Compile without it."
            )


def check_trained(model):
    """Check a model before it is trained or evaluated, and give all processes the same weights."""
    check_compiled(model)
    if engine.count_devices(model) > 1 and keras.config.backend() != "jax":
        _warn_of_batch_norm(model)
    engine.synchronize([*model.variables, *model.optimizer.variables])


def check_batch_size(n, batch_size, devices):
    """Raise ValueError if `n` examples give a batch that `devices` cannot share equally."""
    for size in (min(n, batch_size), n % batch_size or batch_size):
        if size % devices:
            raise ValueError(
                f"A batch of {size} examples cannot be shared equally by {devices} devices. There "
                f"are {n} examples in batches of {batch_size}: pass a batch size that is a "
                f"multiple of {devices}, and leave examples out of the last batch "
                f"(`ArrayDataset(x, drop_remainder=True)`, or its `multiple_of = {devices}`)."
            )


def own_part(model, data):
    """Return the part of the data of `fit` or `evaluate` that this process reads."""
    part, parts = engine.process()
    devices = engine.count_devices(model)
    if isinstance(data, OrderedDataset):
        data.part = (part, parts)
        return engine.with_copied_batches(data) if devices > 1 else data
    if hasattr(data, "element_spec"):  # tf.data
        if devices > 1:
            _check_stream(data, devices)
        if parts == 1:
            return data
        own = data.map(
            lambda *batch: keras.tree.map_structure(
                lambda a: a[part::parts], batch if len(batch) > 1 else batch[0]
            )
        )
        own.order = getattr(data, "order", None)  # For a checkpoint.
        return own
    if parts > 1:
        raise ValueError(
            f"The data are a {type(data).__name__}, and each of {parts} processes must read a part "
            f"of it. Pass `kg.data.ArrayDataset(x, batch_size=...)`, whose order is the same in "
            f"all of them, or a batched tf.data.Dataset."
        )
    return engine.with_copied_batches(data) if devices > 1 else data


def _check_stream(data, devices):
    sizes = {spec.shape[0] for spec in keras.tree.flatten(data.element_spec)}
    if any(size is None or size % devices for size in sizes):
        raise ValueError(
            f"The batches of the tf.data.Dataset have the sizes {sizes}, and {devices} devices "
            f"must share each equally. Make them by `.batch(n, drop_remainder=True)`, with n a "
            f"multiple of {devices}."
        )


def _warn_of_batch_norm(model):
    for layer in all_layers(model):
        plain = isinstance(layer, keras.layers.BatchNormalization)
        if plain and not layer.synchronized and not isinstance(layer, BatchNormalization):
            warnings.warn(
                f"{layer.name!r} normalises the part of each device by itself. To normalise the "
                f"whole batch, use `kg.layers.BatchNormalization`.",
                stacklevel=2,
            )
            return
