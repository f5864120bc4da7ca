"""The benchmark runs and adds up; what it times is asserted nowhere."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from train.benchmark import __main__ as benchmark
from train.benchmark import cases, with_keras_gen

ROOT = pathlib.Path(__file__).parents[2]


def test_a_round_of_the_sides_on_this_backend(backend, tmp_path):
    if backend == "jax":
        pytest.importorskip("optax", reason="the loop in JAX takes optax: `pip install optax`")
    file = tmp_path / "rows.json"
    process = subprocess.run(
        [sys.executable, "-m", "train.benchmark", "mlp_vae", "--backend", backend]
        + ["--rounds", "1", "--steps", "2", "--json", str(file)],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    (row,) = json.loads(file.read_text())
    assert (row["name"], row["backend"]) == ("mlp_vae", backend)
    assert row["hand_ms"] == min(row["by_hand_ms"].values())
    assert row["ratio"] == row["hand_ms"] / row["ours_ms"]
    assert row["peak_mb"] > 50 and 0 < row["limit_share"] < 2


def test_the_arithmetic_of_a_step():
    # 784-400-40 and 20-400-784, a multiplication and an addition for every weight, thrice.
    case = cases.CASES["mlp_vae"]
    model = with_keras_gen.build("mlp_vae", case)
    weights = 784 * 400 + 400 * 40 + 20 * 400 + 400 * 784
    assert cases.step_flops("mlp_vae", case, model) == 3 * 128 * 2 * weights
    # Convolutions of stride 2 over 28x28 and 14x14, and back: weights times places.
    case = cases.CASES["conv_vae"]
    model = with_keras_gen.build("conv_vae", case)
    encoder = 9 * 32 * 14**2 + 9 * 32 * 64 * 7**2 + 7 * 7 * 64 * 40
    decoder = 20 * 7 * 7 * 64 + 9 * 64 * 32 * 7**2 + 9 * 32 * 14**2
    assert cases.step_flops("conv_vae", case, model) == 3 * 64 * 2 * (encoder + decoder)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "no case nothing: there are mlp_vae"),
        (["--rounds", "0"], "at least 1"),
        (["--json", "nowhere/rows.json"], "there is no folder"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err
