"""The modes of Stacked MNIST that `train.gan` and `train.evaluate` count."""

import csv
import json
import math
import pathlib

import numpy as np
import pytest

from train import digit_modes, evaluate, gan

TFDS = pathlib.Path(__file__).parents[3] / "shared" / "data" / "tfds"


pytestmark = pytest.mark.skipif(not TFDS.exists(), reason="needs MNIST, as prepared by TFDS")


class Brightness:
    """A judge who takes the mean of an image, in tenths, for its digit."""

    accuracy = 0.995

    def probabilities(self, images):
        return np.eye(10)[np.floor(10 * images.mean(axis=(1, 2, 3))).astype(int)]


def stacks(classes):
    """Return images whose channels have the three digits of a class for the judge above."""
    digits = np.stack([np.array(classes) // 10**k % 10 for k in (2, 1, 0)], axis=1)
    return np.tile(digits[:, None, None] / 10 + 0.05, (1, 4, 4, 1)).astype("float32")


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(digit_modes, "classifier", lambda *where: Brightness())


def test_the_classes_of_stacks_are_read_channel_by_channel(judged):
    found = digit_modes.of_images(stacks([7, 7, 70, 700, 999, 123, 123, 123]))
    # KL of the shares 2, 1, 1, 1, 3 of 8 to a thousand equal ones.
    kl = math.log(1000) + sum(n / 8 * math.log(n / 8) for n in (2, 1, 1, 1, 3))
    assert found == {"modes": 5, "mode_kl": pytest.approx(kl), "classifier_accuracy": 0.995}


def test_all_classes_once_are_a_thousand_modes(judged):
    found = digit_modes.of_images(stacks(range(1000)))
    assert (found["modes"], found["mode_kl"]) == (1000, pytest.approx(0, abs=1e-12))


def test_moved_images_are_moved_by_up_to_two_pixels():
    x = np.zeros((200, 9, 9, 1))
    x[:, 4, 4] = 1
    moved = digit_modes.moved(x, seed=0)
    rows, columns = np.nonzero(moved[..., 0])[1:]
    assert moved.sum() == 200 and set(rows) == set(columns) == {2, 3, 4, 5, 6}
    assert len(set(zip(rows, columns, strict=True))) == 25


def test_the_judge_knows_the_digits_of_mnist(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(digit_modes, "STEPS", 150)
    judge = digit_modes.classifier.__wrapped__(str(TFDS))
    assert judge.accuracy > 0.92


def test_a_run_counts_its_modes_in_some_epochs_and_at_its_end(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(digit_modes, "SAMPLES", 50)
    where = ["--data-dir", str(TFDS)]
    words = ["--dataset", "stacked_mnist", *where, "--examples", "64", "--network", "mlp"]
    gan.main([*words, "--epochs", "3", "--sample-every", "2", "--out", str(tmp_path / "run")])
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert [row["modes"] != "nan" for row in rows] == [False, True, True]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["modes"] == float(rows[-1]["modes"]) and 1 <= metrics["modes"] <= 50
    assert metrics["mode_kl"] == pytest.approx(float(rows[-1]["mode_kl"]))

    evaluate.main([str(tmp_path / "run"), *where, "--samples", "40"])
    again = json.loads((tmp_path / "run" / "metrics.json").read_text())
    # The same z, and the raw weights, both times.
    assert (again["modes"], again["mode_kl"]) == (metrics["modes"], metrics["mode_kl"])
    assert again["evaluation"]["samples"] == 50
