"""Files that version 0.1 wrote are loaded: old classes, their numbers, and their training.

`files_of_0_1/NAME.keras` was saved by 0.1 after two steps on 16 examples of 8 x 8 pixels: `vae`
and `gan` on PyTorch, `conv_vae` on JAX, the conditional ones on TensorFlow. `NAME.npz` holds
inputs and what 0.1 made of them.
"""

import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

FOLDER = pathlib.Path(__file__).with_name("files_of_0_1")
VAES, GANS = ["vae", "conv_vae", "conditional_vae"], ["gan", "conditional_gan"]
LOADERS = [keras.models.load_model, kg.saving.load_model]


def load(name, loader=keras.models.load_model):
    return loader(FOLDER / f"{name}.keras"), np.load(FOLDER / f"{name}.npz")


def labels(numbers):
    return {"y": numbers["y"]} if "y" in numbers else {}


@pytest.mark.parametrize("loader", LOADERS, ids=["keras", "keras_gen"])
@pytest.mark.parametrize("name", VAES)
def test_a_vae_encodes_and_reconstructs_as_it_did(name, loader):
    vae, numbers = load(name, loader)
    assert type(vae) is kg.VAE and vae.num_classes == (3 if labels(numbers) else None)
    mean, log_var = vae.encode(numbers["x"], **labels(numbers))
    np.testing.assert_allclose(mean, numbers["mean"], atol=1e-5)
    np.testing.assert_allclose(log_var, numbers["log_var"], atol=1e-5)
    outputs = vae.reconstruct(numbers["x"], **labels(numbers))
    np.testing.assert_allclose(outputs, numbers["outputs"], atol=1e-5)


@pytest.mark.parametrize("loader", LOADERS, ids=["keras", "keras_gen"])
@pytest.mark.parametrize("name", GANS)
def test_a_gan_generates_and_discriminates_as_it_did(name, loader):
    gan, numbers = load(name, loader)
    assert type(gan) is kg.GAN and gan.num_classes == (3 if labels(numbers) else None)
    outputs = gan.generate(numbers["z"], **labels(numbers))
    np.testing.assert_allclose(outputs, numbers["outputs"], atol=1e-5)
    inputs = [numbers["x"], numbers["y"]] if labels(numbers) else numbers["x"]
    logits = gan.discriminator.predict_on_batch(inputs)
    np.testing.assert_allclose(logits, numbers["logits"], atol=1e-5)


@pytest.mark.parametrize("name", [*VAES, *GANS])
def test_training_goes_on_with_the_optimizers_it_had(name, tmp_path):
    model, _ = load(name)
    optimizers = [model.optimizer]
    if isinstance(model, kg.GAN):
        optimizers = [model.optimizer.generator, model.optimizer.discriminator]
    for optimizer in optimizers:
        assert ops.convert_to_numpy(optimizer.iterations) == 2
        assert any(np.any(ops.convert_to_numpy(v)) for v in optimizer.variables[2:])  # Moments.
    x = np.random.default_rng(0).random((8, 8, 8, 1), dtype="float32")
    y = None if model.num_classes is None else np.arange(8) % 3
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    model.fit(x, y, batch_size=8, verbose=0)
    assert all(ops.convert_to_numpy(optimizer.iterations) == 3 for optimizer in optimizers)
    steps = [
        np.abs(ops.convert_to_numpy(v) - b).max()
        for v, b in zip(model.trainable_variables, before, strict=True)
    ]
    assert 1e-4 < max(steps) < 1e-2  # Adam's steps of 1e-3.
    model.save(tmp_path / "model.keras")  # Under the names of today.
    assert type(keras.models.load_model(tmp_path / "model.keras")) is type(model)


def test_the_schedule_of_beta_goes_on():
    vae, _ = load("vae")
    x = np.random.default_rng(0).random((8, 8, 8, 1), dtype="float32")
    vae.fit(x, batch_size=8, verbose=0)  # Its third step of a warm-up of ten.
    np.testing.assert_allclose(ops.convert_to_numpy(vae.current_beta()), 0.2, rtol=1e-6)
