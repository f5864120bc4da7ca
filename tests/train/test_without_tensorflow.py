"""What runs on JAX and torch where TensorFlow is not installed."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]

PROGRAM = """
import sys

import tests.without_tensorflow
from train import evaluate, gan, vae

vae.main("--hidden 8 --latent-dim 3 --epochs 1 --out vae".split())
gan.main("--filters 2 2 --epochs 1 --out gan".split())

from keras_gen.data import loading

loading.IN_MEMORY_BYTES = 0  # From here on the digits are a stream.
vae.main("--hidden 8 --conditional --epochs 1 --out stream".split())
quick = "--num-samples 5 --num-examples 10 --samples 50 --features pixels".split()
for run in ("vae", "gan", "stream"):
    evaluate.main([run, *quick])
assert "tensorflow" not in sys.modules
"""


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="Keras runs on TensorFlow")
def test_scripts_train_evaluate_and_stream(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    metrics = {
        run: json.loads((tmp_path / run / "metrics.json").read_text())
        for run in ("vae", "gan", "stream")
    }
    # One epoch at least beats a coin for every pixel, 784 log 2 nats.
    for run in ("vae", "stream"):
        assert metrics[run]["elbo"] > -543
    assert metrics["stream"]["evaluation"]["test_examples"] == 297
    assert metrics["gan"]["evaluation"]["data_set"] == "digits"
