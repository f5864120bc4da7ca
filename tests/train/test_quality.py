"""--keep-best and --stop-after, and the comparison of runs."""

import csv
import json

import numpy as np
import pytest

from keras_gen import callbacks, data, features, load_run
from train import compare, evaluate, gan, quality


@pytest.fixture
def small_ring(monkeypatch):
    ring = data.ring
    monkeypatch.setattr(
        data, "ring", lambda num_examples=512, **kwargs: ring(min(num_examples, 512), **kwargs)
    )


def test_the_best_model_is_left_and_runs_are_compared(run_here, tmp_path, monkeypatch, small_ring):
    figures, weights = iter([9.0, 3.0, 1.0, 2.0, 4.0]), {}

    class Scripted(callbacks.SampleQuality):
        def measure(self):
            figure = next(figures)
            weights[figure] = self.model.generator.get_weights()
            return {"sliced_wasserstein": figure}

        def is_due(self, epochs):
            return True

    monkeypatch.setattr(callbacks, "SampleQuality", Scripted)
    runs = [tmp_path / name for name in ("kept", "plain")]
    ring_run = ("--dataset", "ring", "--epochs")
    options = ("--keep-best", "--stop-after", 2, "--out", runs[0])
    process = run_here(gan, *ring_run, 9, *options)
    assert process.returncode == 0, process.stderr
    assert "2 measurements without gain. The best sliced_wasserstein was 1.0" in process.stdout
    with open(runs[0] / "history.csv") as file:
        history = [float(row["sliced_wasserstein"]) for row in csv.DictReader(file)]
    assert history == [3, 1, 2, 4]
    for left, best, last in zip(
        load_run(runs[0]).model.generator.get_weights(), weights[1.0], weights[4.0], strict=True
    ):
        np.testing.assert_array_equal(left, best)
        assert not np.array_equal(left, last)
    assert not (runs[0] / "best.keras").exists()

    assert run_here(gan, *ring_run, 1, "--out", runs[1]).returncode == 0
    assert run_here(evaluate, runs[0], "--samples", 200).returncode == 0
    process = run_here(compare, *runs)
    assert process.returncode == 0, process.stderr
    number = json.loads((runs[0] / "metrics.json").read_text())["recall"]
    (line,) = (line for line in process.stdout.splitlines() if line.startswith("recall "))
    assert f"{number:.4g} ±" in line and line.split()[3] == "-"  # The other is not evaluated.
    assert f"python -m train.evaluate {runs[1]}" in process.stdout
    assert (tmp_path / "compare.png").stat().st_size > 1000


def test_one_run_and_a_folder_without_one_are_refused(run_here, tmp_path):
    assert "Name two or more" in run_here(compare, tmp_path).stderr
    assert "holds no finished run" in run_here(compare, tmp_path, tmp_path).stderr


@pytest.mark.once
def test_examples_and_features_by_the_data(monkeypatch):
    x = np.random.default_rng(0).random((1200, 4, 4, 1), "float32")
    train, test = (data.ArrayDataset(part, batch_size=8) for part in (x[:1100], x[1100:]))
    found, kind = quality.real_examples(train, test, 60)
    assert kind == "test" and found.shape == (60, 4, 4, 1)
    found, kind = quality.real_examples(train, test, 200)
    assert kind == "training" and len(np.unique(found, axis=0)) == 200
    assert isinstance(quality.features("mnist", train, test), features.Pixels)
    assert quality.features("ring", train, test) is None
    with pytest.raises(ValueError, match="needs labels.*--features pixels"):
        quality.features("mnist", train, test, "classifier")
    train.y, test.y = np.arange(1100) % 3, np.arange(100) % 3
    monkeypatch.setattr(features.Classifier, "fit", lambda *parts: [len(part) for part in parts])
    assert quality.features("mnist", train, test) == [1100, 1100, 100, 100]
    assert isinstance(quality.features("mnist", train, test, "pixels"), features.Pixels)
