"""The script as a person runs it; once in a process of its own."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from matplotlib import image as png
from PIL import Image

import keras_gen as kg
from train import gan

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, tmp_path_factory):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "train.gan", *map(str, arguments)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TFDS_DATA_DIR": str(tmp_path_factory.getbasetemp() / "tfds_gan"),
            },
            capture_output=True,
            text=True,
        )

    return run


def test_a_run_on_digits_leaves_pictures_and_a_model_that_loads(run, tmp_path):
    process = run(
        *("--network", "mlp", "--epochs", 2, "--batch-size", 256, "--sample-every", 1),
        *("--loss", "wasserstein", "--penalty", "gradient_penalty", "--no-conditional"),
    )
    assert process.returncode == 0, process.stderr
    out = tmp_path / "runs" / "gan"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics.keys() == {"loss", "d_loss", "g_loss", "d_real", "d_fake", "penalty"}
    for name in ("epoch_0002", "interpolation_0002"):
        assert png.imread(out / "samples" / f"{name}.png").std() > 0
    with Image.open(out / "samples.gif") as animation:
        assert animation.n_frames == 3  # The first is from before training.
    arguments = json.loads((out / "config.json").read_text())["arguments"]
    assert (arguments["loss"], arguments["latent_dim"]) == ("wasserstein", 32)
    loaded = keras.saving.load_model(out / "model.keras", safe_mode=True)
    (penalty,) = loaded.penalties
    assert penalty.weight == 10.0  # The paper's, as none was asked for.
    assert loaded.sample(3).shape == (3, 28, 28, 1)


@pytest.mark.once
def test_a_run_on_the_ring_counts_its_modes(run_here, tmp_path):
    arguments = ("--dataset", "ring", "--epochs", 1, "--batch-size", 2048, "--packing", 2)
    process = run_here(gan, *arguments)
    assert process.returncode == 0, process.stderr
    out = tmp_path / "runs" / "gan"
    metrics = json.loads((out / "metrics.json").read_text())
    with open(out / "history.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    for name in ("modes", "modes_near", "high_quality", "mode_sd", "mode_kl"):
        # JSON has null for NaN: no sample may be of high quality so early.
        expected = np.array(metrics[name], float)
        np.testing.assert_allclose(expected, float(row[name]), rtol=1e-6)
    assert "of 8 modes" in process.stdout
    model = keras.saving.load_model(out / "model.keras")
    assert isinstance(model, kg.GAN)
    assert [type(penalty) for penalty in model.penalties] == [kg.losses.R1, kg.losses.R2]
    # 48 steps; gamma falls from the first to the last.
    assert [float(penalty.gamma(0)) for penalty in model.penalties] == pytest.approx([0.4, 0.4])
    assert [float(penalty.gamma(48)) for penalty in model.penalties] == pytest.approx(
        [1e-4, 1e-4], rel=1e-4
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--batch-size", "5000"), "--batch-size 5000 is more than the training set, digits"),
        (("--d-steps", "100000"), "for each of --d-steps 100000 is more than the training set"),
        (("--dataset", "ring", "--d-steps", "10000"), "more than the training set, ring, holds"),
    ],
)
def test_bad_arguments_end_in_one_message_and_write_nothing(run_here, tmp_path, arguments, message):
    process = run_here(gan, *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.iterdir())
