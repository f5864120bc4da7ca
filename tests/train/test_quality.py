"""--keep-best and --stop-after, and the comparison of runs."""

import argparse
import csv
import errno
import json

import numpy as np
import pytest

from keras_gen import callbacks, data, features, load_run, metrics
from train import compare, evaluate, gan, quality, run_folder


@pytest.fixture
def small_ring(monkeypatch):
    ring = data.ring
    monkeypatch.setattr(
        data, "ring", lambda num_examples=512, **kwargs: ring(min(num_examples, 512), **kwargs)
    )


def fill_the_disk(out, model):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_best_model_is_left_and_runs_are_compared(run_here, tmp_path, monkeypatch, small_ring):
    figures, weights = iter([9.0, 3.0, 1.0, 2.0, 4.0, 9.0]), {}

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
    with monkeypatch.context() as patch:
        # A ring that is trained for some steps has no modes to count.
        patch.setattr(metrics, "mode_coverage", lambda x, *_: dict.fromkeys(gan.MODES, np.std(x)))
        with monkeypatch.context() as full:
            full.setattr(run_folder, "save", fill_the_disk)
            process = run_here(gan, *ring_run, 9, *options)
        assert process.returncode == 2 and "To continue after the last" in process.stderr
        assert "2 measurements without gain. The best sliced_wasserstein was 1.0" in process.stdout
        process = run_here(gan, "--resume", "--out", runs[0])
        assert process.returncode == 0, process.stderr
    with open(runs[0] / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["sliced_wasserstein"]) for row in rows] == [3, 1, 2, 4]
    modes = [float(row["modes"]) for row in rows]
    left = json.loads((runs[0] / "metrics.json").read_text())["modes"]
    assert left == pytest.approx(modes[1]) and left != pytest.approx(modes[3])
    for left, best, last in zip(
        load_run(runs[0]).model.generator.get_weights(), weights[1.0], weights[4.0], strict=True
    ):
        np.testing.assert_array_equal(left, best)
        assert not np.array_equal(left, last)
    assert not list(runs[0].glob("best*"))

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
    with pytest.raises(ValueError, match="ring is points, which are measured as they are"):
        quality.features("ring", train, test, "classifier")
    with pytest.raises(ValueError, match="needs labels.*--features pixels"):
        quality.features("mnist", train, test, "classifier")
    train.y, test.y = np.arange(1100) % 3, np.arange(100) % 3
    monkeypatch.setattr(features.Classifier, "fit", lambda *parts: [len(part) for part in parts])
    assert quality.features("mnist", train, test) == [1100, 1100, 100, 100]
    assert isinstance(quality.features("mnist", train, test, "pixels"), features.Pixels)


@pytest.mark.once
def test_a_classifier_is_not_asked_how_sure_it_is_of_what_it_was_trained_on(monkeypatch):
    class KnowsByHeart:
        accuracy = 0.5

        def __call__(self, x):
            return x.reshape(len(x), -1)

        def probabilities(self, x):
            sure = np.where(np.isin(x[:, 0, 0, 0], train.x[:, 0, 0, 0]), 1.0, 0.6)
            return np.stack([sure, 1 - sure], axis=1)

    class Model:
        num_classes = None

        def sample(self, n, seed):
            return random.random((n, 4, 4, 1))

    monkeypatch.setattr(quality, "features", lambda *_: KnowsByHeart())
    random = np.random.default_rng(0)
    train, test = (data.ArrayDataset(random.random((n, 4, 4, 1), "float32")) for n in (300, 40))
    args = argparse.Namespace(samples=400, seed=0, features=None)
    _, figures, how = quality.measure(Model(), argparse.Namespace(dataset="x"), train, test, args)
    assert how["real_examples"] == "training"
    # As sure of samples as of held-out images: none is above their common 0.6.
    assert figures["confident"] == figures["confident_floor"]


@pytest.mark.once
def test_a_table_has_each_metric_once_and_a_floor_that_is_everybodys():
    numbers = [
        {"mode_sd": 0.9, "recall": 0.5, "recall_sd": 0.1, "recall_floor": 0.8, "kid_floor": 1.0},
        {"mode_sd": 0.7, "recall": 0.6, "recall_floor": 0.8},
        {"kid": 3.0, "kid_floor": 2.0},
    ]
    lines = [line.split() for line in compare.table(["a", "b", "c"], numbers)]
    assert lines[1:] == [
        ["mode_sd", "0.9", "0.7", "-"],
        ["recall", "0.5", "±0.1", "0.6", "-", "0.8"],
        ["kid", "-", "-", "3", "-"],
    ]
    assert quality.is_figure("frechet_ratio") and quality.is_figure("confident_floor")
    assert not quality.is_figure("mode_sd") and not quality.is_figure("modes")
