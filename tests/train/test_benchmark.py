"""The benchmark runs and adds up; what it times is asserted nowhere."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image

import keras_gen as kg
from train.benchmark import __main__ as benchmark
from train.benchmark import cases, growth, growth_point, with_keras_gen

ROOT = pathlib.Path(__file__).parents[2]


def test_a_round_of_the_sides_on_this_backend(backend, tmp_path):
    if backend == "jax":
        pytest.importorskip("optax", reason="the loop in JAX takes optax: `pip install optax`")
    file = tmp_path / "rows.json"
    process = subprocess.run(
        [sys.executable, "-m", "train.benchmark", "mlp_vae", "--backend", backend]
        + ["--rounds", "1", "--steps", "2", "--json", str(file), "--dtype", "mixed_bfloat16"],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    (row,) = json.loads(file.read_text())
    wanted = {"name": "mlp_vae", "backend": backend, "dtype": "mixed_bfloat16"}
    assert wanted.items() <= row.items()
    assert row["hand_ms"] == min(row["by_hand_ms"].values())
    assert row["ratio"] == row["hand_ms"] / row["ours_ms"]
    assert row["images_per_s"] == pytest.approx(128 / (row["ours_ms"] / 1000))
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


@pytest.mark.once
@pytest.mark.parametrize(
    "axis, value, steps",
    [
        ("batch", 2, 21),  # The steps that warm up are 20 at most.
        ("pixels", 64, 3),
        ("latent", 3, 3),
        ("k", 4, 3),
        ("in_memory", 0.009, 2),  # 549 images of 64x64 floats: two batches of 256
        ("streamed", 0.002, 2),  # 488 of bytes
    ],
)
def test_a_point_of_growth(axis, value, steps, tmp_path, capsys, monkeypatch):
    taken = []
    fit = kg.VAE.fit

    def counted(self, *args, **kwargs):
        history = fit(self, *args, **kwargs)
        taken.append(int(self.optimizer.iterations))
        return history

    monkeypatch.setattr(kg.VAE, "fit", counted)
    growth_point.main(axis, value, steps, tmp_path)
    point = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert point["ms"] > 0 and point["peak_mb"] > 50
    rounds = 1 if axis in growth_point.WHOLE else 3
    assert taken == [min(20, steps) + steps * done for done in range(rounds + 1)]


@pytest.mark.once
def test_the_line_nearest_to_a_curve_and_the_picture(tmp_path):
    assert growth.nearest_line([1, 2, 4], [5, 7, 11]) == pytest.approx((2, 3, 0))
    # 1 and 3 at one place: by relative errors nearest is 1.2, as (1.2 - 1)^2 + (.4 - 1)^2 is least.
    slope, height, off = growth.nearest_line([2, 2], [1, 3])
    assert (2 * slope + height, off) == pytest.approx((1.2, 0.6))
    points = [{"value": value, "ms": 2.0 * value, "peak_mb": 100.0} for value in (64, 128)]
    curves = [{"axis": axis, "backend": "jax", "points": points} for axis in ("batch", "k")]
    growth.draw(curves, tmp_path / "growth.png")
    picture = image.imread(tmp_path / "growth.png")
    wanted = "| k 64 128 | jax | 128 256 | 0% | 100 100 | 0% |"
    assert growth.line(curves[1]) == wanted
    assert picture.shape[1] > picture.shape[0] > 300 and np.ptp(picture) > 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing", "1", "3", "."], "invalid choice: 'nothing'"),
        (["k", "0", "3", "."], "value is above 0"),
        (["k", "1", "3", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_a_point_of_nothing_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        growth_point.parsed(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        (benchmark, ["nothing"], "no case nothing: there are mlp_vae"),
        (benchmark, ["--rounds", "0"], "at least 1"),
        (benchmark, ["--steps-per-execution", "0"], "at least 1"),
        (benchmark, ["--backend", "torch", "--steps-per-execution", "2"], "on torch"),
        (benchmark, ["--json", "nowhere/rows.json"], "there is no folder"),
        (benchmark, ["--json", "."], "--json . is a folder"),
        (growth, ["nothing"], "nothing called nothing: there are batch"),
        (growth, ["--steps", "0"], "at least 1"),
        (growth, ["--picture", "nowhere/growth.png"], "there is no folder for --picture"),
        (growth, ["--picture", "."], "--picture . is a folder"),
    ],
)
def test_bad_arguments_are_refused(script, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    assert message in capsys.readouterr().err
