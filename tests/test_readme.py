"""The README's code runs as it stands there."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_gen as kg

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(program, folder):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(folder / "tfds")},
        capture_output=True,
        text=True,
    )


def test_the_script_of_ones_own(tmp_path):
    (program,) = [block for block in BLOCKS if 'vae.save("vae.keras")' in block]
    (load,) = [block for block in BLOCKS if "kg.saving.load_model(" in block]
    check = "\nassert strips.shape == (8, 8, 28, 28, 1) and vae.sample(2).shape == (2, 28, 28, 1)"
    process = run(program + load + check, tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "runs/mine/samples/epoch_0020.png").exists()


@pytest.mark.once
def test_the_run_that_goes_on(tmp_path):
    (program,) = [block for block in BLOCKS if "kg.callbacks.Checkpoint(" in block]
    for said in ("Epoch 1/5", "Resumed from runs/mine/checkpoint, after epoch 5."):
        process = run(program, tmp_path)
        assert process.returncode == 0, process.stderr
        assert said in process.stdout


def test_the_models_of_ones_own(tmp_path):
    (program,) = [block for block in BLOCKS if "class TwiceVAE" in block]
    check = """
import math
import numpy as np
x = np.random.default_rng(0).random((64, 28, 28, 1), "float32")
for model, scale in ((BitsVAE, 784 * math.log(2)), (TwiceVAE, 1)):
    vae = model(*kg.networks.mlp_vae((28, 28, 1), 2))
    vae.compile("adam")
    history = vae.fit(x, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    last = {name: values[-1] for name, values in history.items()}
    expected = (last["reconstruction"] + last["kl"]) / scale
    assert abs(last["loss"] / expected - 1) < 1e-4
    steps = keras.ops.convert_to_numpy(vae.optimizer.iterations)
    assert steps == 4 * 2 * (2 if model is TwiceVAE else 1)
"""
    process = run(program + check, tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.once
def test_the_gan(tmp_path):
    (program,) = [block for block in BLOCKS if "gan.sample(64)" in block]
    (recipes,) = [block for block in BLOCKS if "r3gan = dict(" in block]
    check = """
assert images.shape == (64, 28, 28, 1) and strips.shape == (4, 8, 28, 28, 1)
for recipe in (r3gan, wgan_gp, smoothed, pacgan):
    packing = recipe.get("packing", 1)
    kg.GAN(*kg.networks.mlp_gan((28, 28, 1), 4, packing=packing), latent_dim=4, **recipe)
"""
    process = run(program + recipes + check, tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.once
def test_labels(tmp_path):
    (program,) = [block for block in BLOCKS if "sevens = gan.sample(" in block]
    check = """
assert sevens.shape == (8, 28, 28, 1) and digits.shape == (10, 28, 28, 1)
"""
    process = run(program + check, tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.once
def test_the_uses_of_a_vae_and_the_devices_there_are(tmp_path):
    (program,) = [block for block in BLOCKS if "vae.inpaint(" in block]
    (devices,) = [block for block in BLOCKS if "data_parallel()" in block]
    check = """
assert nats.shape == scores.shape == (8,) and whole.shape == x.shape
assert np.array_equal(whole[:, :14], x[:, :14])
"""
    process = run(program + check + devices, tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "shared.keras").exists()


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="the files are the same")
def test_what_is_exported_is_used_without_the_library(tmp_path):
    vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=10, hidden=(8,)))
    players = kg.networks.mlp_gan((28, 28, 1), 32, generator_hidden=(8,), discriminator_hidden=(8,))
    gan = kg.GAN(*players, latent_dim=32)
    for name, model in (("vae", vae), ("gan", gan)):
        model.export(tmp_path / "runs" / name / "saved_model", verbose=False)
        if importlib.util.find_spec("onnxruntime"):
            model.export(tmp_path / "runs" / name / "onnx", format="onnx", verbose=False)
    alone = "import sys\nsys.modules['keras_gen'] = None\n"
    (program,) = [block for block in BLOCKS if "tf.saved_model.load(" in block]
    # The request that the README sends, to the function that would answer it.
    request = json.loads(re.search(r"-d '(\{.*\})'", README).group(1))
    check = f"""
request = {request!r}
inputs = {{name: tf.constant(value) for name, value in request["inputs"].items()}}
outputs = vae.signatures[request["signature_name"]](**inputs)
assert [value.shape for value in outputs.values()] == [(3, 28, 28, 1)]
assert images.shape == (64, 28, 28, 1) and mean.shape == (64, 10)
"""
    process = run(alone + program + check, tmp_path)
    assert process.returncode == 0, process.stderr
    if not importlib.util.find_spec("onnxruntime"):
        pytest.skip("onnxruntime is not installed: `pip install onnx onnxruntime`")
    (program,) = [block for block in BLOCKS if "InferenceSession" in block]
    check = "\nassert images.shape == (64, 28, 28, 1) and mean.shape == (64, 10)"
    process = run(alone + program + check, tmp_path)
    assert process.returncode == 0, process.stderr
