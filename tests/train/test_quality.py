"""--keep-best and --stop-after, and the comparison of runs."""

import argparse
import csv
import errno
import json

import numpy as np
import pytest

from keras_gen import callbacks, data, features, load_run, metrics
from train import compare, evaluate, gan, options, quality, run_folder


@pytest.fixture
def small_ring(monkeypatch):
    ring = data.ring
    monkeypatch.setattr(
        data, "ring", lambda num_examples=512, **kwargs: ring(min(num_examples, 512), **kwargs)
    )


def fill_the_disk(out, model):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.once
def test_the_best_model_is_left_and_runs_are_compared(run_here, tmp_path, monkeypatch, small_ring):
    figures, weights = iter([9.0, 3.0, 1.0, 2.0, 4.0, 9.0]), {}

    class Scripted(callbacks.SampleQuality):
        def measure(self):
            figure = next(figures)
            weights[figure] = self.model.generator.get_weights()
            return {"sliced_wasserstein": figure}

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


@pytest.mark.once
def test_numbers_of_two_runs_stand_apart():
    numbers = {"mmd": 0.041296, "mmd_sd": 0.0046}
    _, row = compare.table(["a", "b"], [numbers, numbers])
    assert row.split() == ["mmd", "0.0413", "±0.0046", "0.0413", "±0.0046"]


def test_one_run_and_a_folder_without_one_are_refused(run_here, tmp_path):
    assert "Name two or more" in run_here(compare, tmp_path).stderr
    assert "holds no finished run" in run_here(compare, tmp_path, tmp_path).stderr


@pytest.mark.once
def test_examples_and_features_by_the_data(monkeypatch):
    x = np.random.default_rng(0).random((1200, 4, 4, 1), "float32")
    train, test = (data.ArrayDataset(part, batch_size=8) for part in (x[:1100], x[1100:]))
    (found, _), kind = quality.real_examples(train, test, 60)
    assert kind == "test" and found.shape == (60, 4, 4, 1)
    (found, _), kind = quality.real_examples(train, test, 200)
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
def test_a_folder_is_not_read_whole(monkeypatch):
    images = np.random.default_rng(0).integers(256, size=(1300, 4, 4, 1), dtype="uint8")
    y = np.repeat([0, 1, 2], [900, 300, 100])
    order = np.random.default_rng(1).permutation(1300)
    for name in ("x", "as_numpy_iterator"):
        monkeypatch.setattr(data.ImageDataset, name, property(lambda self: 1 / 0), raising=False)
    train, test = (
        data.ImageDataset(images, y, rows=rows, labels=True)
        for rows in (order[:1100], order[1100:])
    )
    (x, labels), kind = quality.real_examples(train, test, 500)
    assert kind == "training" and x.shape == (500, 4, 4, 1)
    np.testing.assert_array_equal(
        labels, y[order[np.random.default_rng(0).permutation(1100)[:500]]]
    )
    monkeypatch.setattr(quality, "MOST_FOR_A_CLASSIFIER", 400)
    monkeypatch.setattr(features.Classifier, "fit", lambda *parts: parts)
    x, labels, x_test, _ = quality.features("photos", train, test)
    assert len(x) == len(labels) == 400 and len(x_test) == 200
    np.testing.assert_array_equal(
        np.rint(255 * x[0]), images[order[np.random.default_rng(0).permutation(1100)[0]]]
    )


@pytest.mark.once
def test_samples_are_measured_with_the_classes_of_real_examples():
    class Model:
        num_classes = 3

        def sample(self, n, seed, y):
            self.asked = y
            return random.random((n, 4, 4, 1))

    random, model = np.random.default_rng(0), Model()
    y = np.repeat([0, 1, 2], [30, 9, 1])
    train, test = (data.ArrayDataset(random.random((40, 4, 4, 1), "float32"), y) for _ in range(2))
    args = argparse.Namespace(samples=400, seed=0, features="pixels")
    quality.measure(model, argparse.Namespace(dataset="x"), train, test, args)
    # 5 draws of 20, by the labels of the 40 real ones in their order.
    assert len(model.asked) == 100 and not np.all(np.diff(model.asked[:40]) >= 0)
    for labels in (model.asked[:40], model.asked[40:80]):
        assert np.bincount(labels).tolist() == [30, 9, 1]


@pytest.mark.once
@pytest.mark.parametrize("typed, every", [((), 10), (("--evaluate-every", "3"), 3)])
def test_when_samples_are_measured_is_a_rule_of_the_settings(typed, every, tmp_path):
    typed = ["--keep-best", "--dataset", "ring", "--epochs", "200", *typed]
    args = gan.make_parser().parse_args(typed)
    x = np.random.default_rng(0).random((100, 2), "float32")
    (callback,) = quality.callbacks(args, data.ArrayDataset(x), data.ArrayDataset(x))
    assert callback.every == args.evaluate_every == every
    with pytest.raises(ValueError, match="--keep-best measures .* at least 20, and ring has 9"):
        quality.callbacks(args, *(data.ArrayDataset(x[:9]) for _ in range(2)))
    args.keep_best = False
    with pytest.raises(ValueError, match="Add one of them, or leave it out"):
        options.check_keep_best(args)


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
