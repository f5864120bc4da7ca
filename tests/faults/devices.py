"""Does training on two devices end where training on one does? Small models, given noise.

`two_devices` starts programs on two virtual devices of this machine or in two processes, depending
on the backend; no GPU is needed.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

# The ways to two devices, by backend.
ENGINES = {
    "tensorflow": ("tensorflow", "tensorflow workers"),  # Mirrored, and in two processes
    "jax": ("jax", "jax processes"),
    "torch": ("torch",),
}
TOLERANCE = 1e-5
BATCH, EXAMPLES, IMAGE_SHAPE = 8, 24, (8, 8, 1)

# TensorFlow has no environment variable for virtual devices.
TWO_CPUS = """
import runpy, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def two_devices(backend, model, folder):
    """Train "vae" or "gan" on one device, and on two in every way that `backend` has.

    Files are written to `folder`.

    Returns:
        `(good, tried)`: in how many ways logs and weights agree within `TOLERANCE` in every
        process, and how many were tried.
    """
    good = 0
    for engine in ENGINES[backend]:
        results = pathlib.Path(folder) / f"{model} on {engine}"
        results.mkdir(parents=True, exist_ok=True)
        ended = launch(engine, "tests.faults.devices", model, results)
        if all(code == 0 for code, _ in ended):
            found = [json.loads(path.read_text()) for path in results.glob("*.json")]
            good += bool(found) and all(
                each["devices"] == 2 and max(each["logs"], each["weights"]) < TOLERANCE
                for each in found
            )
    return good, len(ENGINES[backend])


def launch(engine, module, *arguments, timeout=600):
    """Run `python -m module arguments` on two devices; return exit code and output of each process.

    A process that has not ended after `timeout` seconds is killed.
    """
    root = pathlib.Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    # Threads that spin for two devices on few cores slow each other down a lot.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        processes = []
        for command, added in _commands(engine, [module, *map(str, arguments)]):
            process = subprocess.Popen(
                command,
                env={**environment, **added},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            processes.append(process)
            stack.callback(process.kill)
        outputs = [process.communicate(timeout=timeout)[0] for process in processes]
        return [(p.returncode, output) for p, output in zip(processes, outputs, strict=True)]


def _commands(engine, arguments):
    """Return pairs of a command and the environment variables that it needs."""
    backend = {"KERAS_BACKEND": engine.split()[0]}
    plain = [sys.executable, "-m", *arguments]
    if engine == "tensorflow":
        return [([sys.executable, "-c", TWO_CPUS, *arguments], backend)]
    if engine == "jax":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
        return [(plain, {**backend, "XLA_FLAGS": flags})]
    if engine == "torch":
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
        return [([sys.executable, *torchrun, *arguments], backend)]
    ports = _free_ports(2)
    if engine == "tensorflow workers":
        workers = {"worker": [f"localhost:{port}" for port in ports]}
        tasks = [{"type": "worker", "index": index} for index in range(2)]
        configs = [json.dumps({"cluster": workers, "task": task}) for task in tasks]
        return [(plain, {**backend, "TF_CONFIG": config}) for config in configs]
    coordinator = {"JAX_COORDINATOR_ADDRESS": f"localhost:{ports[0]}", "JAX_NUM_PROCESSES": "2"}
    ids = [{"JAX_PROCESS_ID": str(index)} for index in range(2)]
    return [(plain, {**backend, **coordinator, **one}) for one in ids]


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def vae():
    """Return a VAE with a regulariser, and free bits, which apply to a mean over the batch."""
    import keras

    import keras_gen as kg

    x = keras.Input(IMAGE_SHAPE)
    h = keras.layers.Dense(6, activation="relu", kernel_regularizer="l2")(keras.layers.Flatten()(x))
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    model = kg.VAE(encoder, decoder, free_bits=0.05, seed=1)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def gan():
    """Return a GAN with batch norm in both players, a penalty, and layers that compare examples."""
    import keras

    import keras_gen as kg

    z = keras.Input((2,))
    h = keras.layers.ReLU()(kg.layers.BatchNormalization()(keras.layers.Dense(6)(z)))
    h = keras.layers.Dense(64, activation="sigmoid")(h)
    generator = keras.Model(z, keras.layers.Reshape(IMAGE_SHAPE)(h))
    x = keras.Input(IMAGE_SHAPE)
    h = kg.layers.BatchNormalization(epsilon=0.1)(keras.layers.Dense(6)(keras.layers.Flatten()(x)))
    h = kg.layers.MinibatchStdDev()(keras.layers.LeakyReLU(0.2)(h))
    h = kg.layers.MinibatchDiscrimination(3, 2)(h)
    discriminator = keras.Model(x, keras.layers.Dense(1)(h))
    penalties = [kg.losses.GradientPenalty(0.02)]
    model = kg.GAN(generator, discriminator, 2, penalties=penalties, d_steps=2, seed=1)
    model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
    return model


def vqvae():
    """Return a VQ-VAE in the middle of its training, whose codebook draws nothing more."""
    import keras
    import numpy as np

    import keras_gen as kg

    quantizer = kg.layers.VectorQuantizer(4, decay=0.8, revive_below=0)
    quantizer.build((None, 3))
    quantizer.codebook.assign(np.random.default_rng(2).standard_normal((4, 3)))
    quantizer.started.assign(1.0)
    networks = kg.networks.vqvae(IMAGE_SHAPE, 3, filters=(4, 6))
    prior = kg.networks.code_transformer(4, length=4, width=4, depth=1, heads=2)
    model = kg.VQVAE(*networks, quantizer, prior=kg.priors.CodePrior(prior), seed=1)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def vaegan():
    """Return a VAE-GAN, whose adaptive weight is a ratio of the whole batch's slopes."""
    import keras

    import keras_gen as kg

    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    discriminator = kg.networks.patch_discriminator(IMAGE_SHAPE, filters=(4,))
    model = kg.VAEGAN(*networks, discriminator, seed=1)
    model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
    return model


MODELS = {"vae": vae, "gan": gan, "vqvae": vqvae, "vaegan": vaegan}


def images(n=EXAMPLES):
    import numpy as np

    return np.random.default_rng(0).random((n, *IMAGE_SHAPE), dtype="float32")


def give_noise(model):
    """Make every stream return rows of one array, on each device those of its part of the batch."""
    import numpy as np

    import keras_gen as kg

    if isinstance(model, kg.VQVAE):  # It draws none.
        return
    random = np.random.default_rng(9)
    normal = random.standard_normal((BATCH, 3)).astype("float32")
    uniform = random.random((BATCH, 3), dtype="float32")
    if isinstance(model, kg.GAN):
        streams = [model.noise, model.evaluation_noise]
    else:
        streams = [model.sampling, model.evaluation_sampling]
    for stream in streams:
        stream.normal, stream.uniform = _rows_of(normal), _rows_of(uniform)


def _rows_of(array):
    from keras import ops

    from keras_gen.distribution import engine

    def draw(shape):
        rows, *rest = shape
        columns = rest[0] if len(rest) == 1 else 1
        own = ops.slice(array[:, :columns], (engine.replica() * rows, 0), (rows, columns))
        return ops.reshape(own, shape)

    return draw


def train(build, folder=None, epochs=2):
    """Return the model, its last logs, and its weights; pictures go to `folder`."""
    import keras
    import numpy as np

    import keras_gen as kg

    keras.utils.set_random_seed(3)
    model = build()
    give_noise(model)
    data = kg.data.ArrayDataset(images(), batch_size=BATCH, seed=4)
    held_out = kg.data.ArrayDataset(1 - images(), batch_size=BATCH, shuffle=False)
    callbacks = [kg.callbacks.SampleGrid(folder, num_samples=4)] if folder else []
    history = model.fit(
        data, validation_data=held_out, epochs=epochs, verbose=0, callbacks=callbacks
    ).history
    logs = {name: values[-1] for name, values in history.items()}
    logs.update(model.evaluate(held_out, return_dict=True, verbose=0))
    return model, logs, [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def differences(one, other):
    """Return the greatest differences of two results of `train`, in logs and in weights.

    They are relative if a number is above 1.
    """
    import numpy as np

    def greatest(pairs):
        return max(float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))) for a, b in pairs)

    (_, logs, weights), (_, other_logs, other_weights) = one, other
    assert logs.keys() == other_logs.keys()
    return {
        "logs": greatest((logs[name], other_logs[name]) for name in logs),
        "weights": greatest(zip(weights, other_weights, strict=True)),
    }


def main(model, folder):
    """Train on the devices there are and on one, and write how far apart they end."""
    import keras_gen as kg

    with kg.distribution.data_parallel() as devices:
        together = train(MODELS[model])
    found = {"devices": devices.count, **differences(together, train(MODELS[model]))}
    (pathlib.Path(folder) / f"{devices.process}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
