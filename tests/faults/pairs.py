"""Model files that one backend writes and another goes on with.

    KERAS_BACKEND=jax python -m tests.faults.pairs write FOLDER
    KERAS_BACKEND=torch python -m tests.faults.pairs read FOLDER

The first trains each of `MODELS`, saves it and takes one more step; the second loads what all
backends have written, compares the optimizers' state, takes the same step and compares again.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

BACKENDS = ("tensorflow", "jax", "torch")
# How far a weight may be off after the step, and a logged number relative to its size.
TOLERANCE = 1e-5


def cross_backend(backend, model, folder):
    """Return (good, tried): how many backends go on with the "vae" or "gan" that one has written.

    All installed backends write and read in one go, in a process each, and their results stay in
    `folder`: asked again, for another backend or model, it answers from there.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if not all((folder / f"{name}.json").exists() for name in installed):
        for what in ("write", "read"):
            for name in installed:
                start(what, folder, name)
    results = [json.loads((folder / f"{reader}.json").read_text()) for reader in installed]
    passed = [all(not faults for faults in result[backend][model].values()) for result in results]
    return sum(passed), len(passed)


def start(what, folder, backend):
    """Run "write" or "read" of this script in a process of its own."""
    root = pathlib.Path(__file__).parents[2]
    folder = os.fspath(pathlib.Path(folder).absolute())
    process = subprocess.run(
        [sys.executable, "-m", "tests.faults.pairs", what, folder],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"tests.faults.pairs {what} on {backend} failed:\n{process.stderr}")


def vae_of_adamw():
    """Return a VAE with AdamW on a schedule, averages, a learned sigma, a growing beta, a flow."""
    import keras

    import keras_gen as kg

    flow = kg.posteriors.InverseAutoregressiveFlow(steps=2, hidden=5, seed=1)
    vae = kg.VAE(
        *kg.networks.conv_vae((8, 8, 1), 3, filters=(4,), posterior=flow),
        posterior=flow,
        likelihood=kg.likelihoods.Gaussian(0.5, learn_sigma=True),
        beta=kg.schedules.LinearWarmUp(10),
        seed=1,
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 100)
    vae.compile(optimizer=keras.optimizers.AdamW(schedule, use_ema=True))
    return vae


def vae_of_scaled_adam():
    """Return a VAE with a prior that has weights, a full covariance, and loss scaling of Adam."""
    import keras

    import keras_gen as kg

    prior, posterior = kg.priors.VampPrior(3, seed=1), "full_covariance"
    networks = kg.networks.mlp_vae((8, 8, 1), 3, hidden=(6,), posterior=posterior)
    vae = kg.VAE(*networks, seed=1, prior=prior, posterior=posterior)
    adam = keras.optimizers.Adam(0.01)
    vae.compile(optimizer=keras.optimizers.LossScaleOptimizer(adam, initial_scale=1024.0))
    return vae


def vqvae_of_adam():
    """Return a VQ-VAE with a prior of its codes, which does not train with it."""
    import keras

    import keras_gen as kg

    networks = kg.networks.vqvae((8, 8, 1), 3, filters=(4, 6))
    prior = kg.networks.code_transformer(5, length=4, width=4, depth=1, heads=2)
    quantizer = kg.layers.VectorQuantizer(5, revive_below=0, seed=1)
    vqvae = kg.VQVAE(*networks, quantizer, prior=kg.priors.CodePrior(prior), seed=1)
    vqvae.compile(optimizer=keras.optimizers.Adam(0.01))
    return vqvae


def gan_of_adam():
    """Return a GAN with batch norm, averages of the generator, a schedule, two steps of D."""
    import keras

    import keras_gen as kg

    networks = kg.networks.dcgan((8, 8, 1), 3, filters=(4, 6))
    gan = kg.GAN(*networks, latent_dim=3, d_steps=2, seed=1)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, 100)
    gan.compile(
        keras.optimizers.Adam(schedule, beta_1=0.5, use_ema=True, ema_momentum=0.9),
        keras.optimizers.Adam(1e-3, beta_1=0.5),
    )
    return gan


def gan_of_scaled_adamw():
    """Return a WGAN-GP with layer norm, loss scaling for one player, AdamW for the other."""
    import keras

    import keras_gen as kg

    networks = kg.networks.dcgan((8, 8, 1), 3, filters=(4, 6), discriminator_norm="layer")
    gan = kg.GAN(*networks, 3, loss="wasserstein", penalties=["gradient_penalty"], seed=1)
    adam = keras.optimizers.Adam(1e-3)
    gan.compile(
        keras.optimizers.AdamW(1e-3),
        keras.optimizers.LossScaleOptimizer(adam, initial_scale=1024.0),
    )
    return gan


MODELS = {
    "vae": (vae_of_adamw, vae_of_scaled_adam, vqvae_of_adam),
    "gan": (gan_of_adam, gan_of_scaled_adamw),
}


def write(folder):
    """Write a file of each model, its optimizer's state, and the result of a further step."""
    import keras
    import numpy as np

    for build in (build for builds in MODELS.values() for build in builds):
        keras.utils.set_random_seed(0)
        model = build()
        model.fit(examples(48), batch_size=8, epochs=2, verbose=0)
        path = folder / f"{build.__name__}.{keras.config.backend()}.keras"
        model.save(path)
        state = numbers(model.optimizer.variables)
        np.savez(path.with_suffix(".npz"), **state, **step(model))


def read(folder):
    """Write what is wrong with each file of each backend, an empty list if nothing is."""
    import keras

    backend = keras.config.backend()
    result = {}
    for writer in BACKENDS:
        for model, builds in MODELS.items():
            for build in builds:
                path = folder / f"{build.__name__}.{writer}.keras"
                if path.exists():
                    files = result.setdefault(writer, {}).setdefault(model, {})
                    files[build.__name__] = faults(path)
    unfinished = folder / f".{backend}.json"
    unfinished.write_text(json.dumps(result, indent=2))
    unfinished.replace(folder / f"{backend}.json")


def faults(path):
    """Return in words what differs from where the file was written."""
    import numpy as np

    import keras_gen as kg

    model = kg.saving.load_model(path)
    with np.load(path.with_suffix(".npz")) as file:
        expected = dict(file)
    found = []
    if not model.compiled:
        return ["it is not compiled"]
    if model.get_compile_config()["jit_compile"] != "auto":
        found.append("what another backend compiles by itself is set")
    for name, value in numbers(model.optimizer.variables).items():
        if not np.array_equal(value, expected[name]):
            found.append(f"{name} of the optimizer is not what was saved")
    after = step(model)
    if after.keys() | numbers(model.optimizer.variables).keys() != expected.keys():
        found.append("it has other variables")
        return found
    for name, value in after.items():
        scale = abs(expected[name]) if name.startswith("log") else 1.0
        off = np.max(np.abs(value - expected[name]) / scale)
        if not off <= TOLERANCE:
            found.append(f"{name} is off by {off:.2g} after a step")
    return found


def step(model):
    """Return logs and weights after one more step, with noise that is the same everywhere."""
    import keras

    import keras_gen as kg

    streams = {kg.GAN: "noise", kg.VAE: "sampling", kg.VQVAE: "user_sampling"}
    stream = getattr(model, next(name for kind, name in streams.items() if isinstance(model, kind)))
    stream.normal = lambda shape: recorded(shape, "standard_normal")
    stream.uniform = lambda shape: recorded(shape, "random")
    logs = model.train_on_batch(examples(8), return_dict=True)
    weights = [w for w in model.weights if keras.backend.is_float_dtype(w.dtype)]
    logs = {f"log_{name}": value for name, value in logs.items()}
    return {**logs, **numbers(weights, "weight")}


def recorded(shape, distribution):
    import numpy as np
    from keras import ops

    draws = getattr(np.random.default_rng(5), distribution)([int(size) for size in shape])
    return ops.convert_to_tensor(draws.astype("float32"))


def examples(n):
    import numpy as np

    return np.random.default_rng(0).random((n, 8, 8, 1), dtype="float32")


def numbers(variables, kind="variable"):
    from keras import ops

    # By place, because names count how many layers of a kind were made before.
    return {f"{kind}_{i}": ops.convert_to_numpy(v) for i, v in enumerate(variables)}


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
