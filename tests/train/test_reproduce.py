import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MNIST = ROOT.parent / "shared" / "data" / "tfds"


def reproduce(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "train.reproduce", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason=f"MNIST is not in {MNIST}")
def test_the_vae_of_pytorchs_examples_reaches_its_published_elbo(tmp_path):
    """Three public logs end at 105.56 to 105.61 nats."""
    file = tmp_path / "rows.json"
    process = reproduce("pytorch-vae", "--json", str(file), TFDS_DATA_DIR=str(MNIST))
    assert process.returncode == 0, process.stdout + process.stderr
    (row,) = json.loads(file.read_text())
    assert row.keys() == {"name", "quantity", "obtained", "published", "tolerance", "passed"}
    assert row["passed"] is True
    assert 105.2 < row["obtained"] < 106.0


def test_without_a_name_it_lists_what_it_can_reproduce():
    process = reproduce()
    assert process.returncode == 0
    assert "pytorch-vae: The VAE of PyTorch's examples" in process.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("burda",), "invalid choice: 'burda'"),
        (("pytorch-vae", "--json", "nowhere/rows.json"), "there is no folder"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    process = reproduce(*arguments)
    assert process.returncode == 2
    assert message in process.stderr
