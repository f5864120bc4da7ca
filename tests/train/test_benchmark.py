"""The benchmark runs and adds up; no test asserts what it measures."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image

import keras_gen as kg
from train.benchmark import __main__ as benchmark
from train.benchmark import growth, growth_point, worker

ROOT = pathlib.Path(__file__).parents[2]


def test_a_round_of_the_sides_on_this_backend(backend, tmp_path):
    if backend == "jax":
        pytest.importorskip("optax", reason="the loop in JAX needs optax: `pip install optax`")
    file = tmp_path / "rows.json"
    process = subprocess.run(
        [sys.executable, "-m", "train.benchmark", "--case", "mlp_vae", "--backend", backend]
        + ["--rounds", "3", "--quick", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    (row,) = json.loads(file.read_text())
    sides = ["hand", "fit", "fit_jit"] + ([] if backend == "jax" else ["hand_jit"])
    assert row["errors"] == {} and sorted(row["ms"]) == sorted(sides)
    for side in sides:  # Two steps a round.
        assert row["ms"][side] == pytest.approx(1000 * sorted(row["seconds"][side])[1] / 2)
    assert benchmark.line(row) in process.stdout.splitlines()


def row(case="mlp_vae", backend="torch", errors=None, **ms):
    return {"case": case, "backend": backend, "errors": errors or {}, "ms": ms}


@pytest.mark.once
def test_a_row_compares_like_with_like_and_best_with_best():
    cells = benchmark.line(row(hand=3.0, fit=4.0, hand_jit=2.0, fit_jit=2.5)).split(" | ")
    assert cells[2:] == (
        ["3.00", "4.00", "0.75 (bar 0.60)", "2.00", "2.50", "0.80", "**0.80** (bar 0.95)", " |"]
    )
    cells = benchmark.line(row("wgan_gp", "jax", hand=9.0, fit=10.0, fit_jit=6.0)).split(" | ")
    assert cells[4:] == ["0.90 (bar 0.80)", "9.00", "6.00", "1.50", "1.50 (bar 0.90)", " |"]


@pytest.mark.once
def test_a_side_that_fails_does_not_count_and_says_why():
    errors = {"hand_jit": "RuntimeError: no double backward\nmore", "fit_jit": "ValueError: a|b"}
    cells = benchmark.line(row("wgan_gp", errors=errors, hand=3.0, fit=4.0)).split(" | ")
    assert cells[5:] == (
        ["cannot: RuntimeError: no double backward", "cannot: ValueError: a\\|b", ""]
        + ["**0.75** (bar 0.90)", " |"]
    )


@pytest.mark.once
def test_pythaes_vae_is_compared_with_our_best_backend():
    rows = [row("pythae_vae", hand=1.0, fit=4.0, fit_jit=5.0, pythae=9.0)]
    rows += [row("pythae_vae", "jax", hand=1.0, fit=3.0, pythae=7.5), row(fit=1.0)]
    assert benchmark.pythae_line(rows).endswith(
        "7.50 ms, our best backend: 3.00 ms, ratio 2.50 (bar 2.00)."
    )
    assert benchmark.pythae_line(rows[2:]) is None


@pytest.mark.once
def test_an_error_of_a_side_is_an_answer(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "nothing")
    worker.main(["mlp_vae", "hand", "--quick"])
    assert (
        "No module named 'train.benchmark.with_nothing'"
        in json.loads(capsys.readouterr().out)["error"]
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "axis, value, steps",
    [
        ("batch", 2, 3),
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
    assert taken == [1 + steps * done for done in range(rounds + 1)]


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
        (benchmark, ["--case", "nothing"], "invalid choice: 'nothing'"),
        (benchmark, ["--rounds", "0"], "--rounds: 0 is not a positive integer"),
        (benchmark, ["--json", "nowhere/rows.json"], "is in a folder that is not there"),
        (benchmark, ["--json", "."], "--json: . is a folder"),
        (growth, ["nothing"], "nothing called nothing: there are batch"),
        (growth, ["--steps", "0"], "0 is not a positive integer"),
        (growth, ["--picture", "nowhere/growth.png"], "is in a folder that is not there"),
        (growth, ["--picture", "."], "--picture: . is a folder"),
    ],
)
def test_bad_arguments_are_refused(script, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    assert message in capsys.readouterr().err
