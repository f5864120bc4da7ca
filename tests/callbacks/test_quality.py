import csv
import itertools
import json
import math

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.metrics import frechet_distance

REAL = np.random.default_rng(0).normal(size=(80, 3))
ORDER = np.random.default_rng(0).permutation(80)
HALF, OTHERS = REAL[ORDER[:40]], REAL[ORDER[40:]]


class Scripted(keras.Model):
    """A generator whose samples are real ones that are moved by one number for each epoch."""

    def __init__(self, shifts):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.dense.build((None, 1))
        self.shifts = [0.0, *shifts]  # The first is measured before training.

    def get_config(self):
        return {"shifts": []}

    def call(self, x):
        return self.dense(x)

    def sample(self, n, seed):
        assert seed == 5
        return OTHERS[:n] + self.shifts.pop(0)


def fit(shifts, epochs=None, callbacks=(), initial_epoch=0, **settings):
    model = Scripted(shifts)
    model.compile("sgd", loss="mse")
    quality = kg.callbacks.SampleQuality(REAL, seed=5, samples=40, **settings)
    x = np.ones((8, 1), "float32")
    history = model.fit(
        x,
        x,
        epochs=epochs or initial_epoch + len(shifts),
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=[quality, *callbacks],
    )
    return quality, history.history


@pytest.mark.once
def test_figures_are_in_the_history_and_the_file(tmp_path):
    log = keras.callbacks.CSVLogger(str(tmp_path / "history.csv"))
    quality, history = fit(
        [1.0, 2.0, 3.0], epochs=5, callbacks=[log], metrics=("frechet", "recall"), every=2
    )
    expected = [frechet_distance(HALF, OTHERS + shift) for shift in (1, 2, 3)]
    # After epochs 2 and 4, and after the last.
    found = [history["frechet"][i] for i in (1, 3, 4)]
    assert found == pytest.approx(expected)
    assert math.isnan(history["frechet"][0]) and math.isnan(history["recall"][2])
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(rows[i]["frechet"]) for i in (1, 3, 4)] == found
    assert quality.floors["frechet"] == pytest.approx(frechet_distance(HALF, OTHERS))
    assert 0 < quality.seconds < 10


@pytest.mark.once
def test_the_best_is_found_and_training_ends_without_gain():
    quality, history = fit([3.0, 1.0, 2.0, math.nan, 0.0], every=1, stop_after=2)
    assert len(history["frechet"]) == 4  # NaN is no gain, and no error.
    assert quality.best == history["frechet"][1] and quality.best_epoch == 2
    quality, history = fit([1.0, 50.0, 0.5], every=1, metrics=("coverage", "frechet"))
    assert quality.best == max(history["coverage"]) and quality.best_epoch == 3


@pytest.mark.once
def test_callbacks_of_keras_monitor_a_figure_of_every_epoch():
    stop = keras.callbacks.EarlyStopping("frechet", patience=2, mode="min")
    _, history = fit([3.0, 1.0, 2.0, 2.0, 0.0], callbacks=[stop], every=1)
    assert len(history["frechet"]) == 4 and stop.best == history["frechet"][1]


@pytest.mark.once
def test_both_halves_are_drawn_from_all_of_a_sorted_set():
    x = np.repeat([0.0, 1.0], 500).astype("float32")[:, None, None, None] + np.zeros((2, 2, 1))
    images = (255 * x).astype("uint8")
    for data, least in (
        (x, 15),
        ((x, x[:, 0, 0, 0]), 15),
        (kg.data.ArrayDataset(x, x[:, 0, 0, 0], shuffle=False), 15),
        (kg.data.ImageDataset(images, batch_size=8), 15),
        # The first of a stream, in random order.
        (iter([x[480:500], x[500:540], x[540:]]), 5),
    ):
        quality = kg.callbacks.SampleQuality(data, metrics="recall", samples=30)
        quality.read()
        assert len(quality.real[0]) == 30
        ones = quality.real[0].mean(axis=1).sum()
        assert least <= ones <= 30 - 5
        # A classmate is at distance 0: with classes of the other half alone, it would be 0.
        assert quality.floors["recall"] == 1


class Classes(Scripted):
    num_classes = 3

    def sample(self, n, seed, y):
        self.asked = y
        return OTHERS[:n]


@pytest.mark.once
def test_samples_have_the_classes_of_the_real_ones():
    y = np.repeat([0, 2], [60, 20])  # Of class 1 there is none.
    for data, expected in (
        ((REAL, y), y[ORDER[40:]]),
        (kg.data.ArrayDataset(REAL, y), y[ORDER[40:]]),
        (REAL, np.arange(40) % 3),  # Not known.
    ):
        quality = kg.callbacks.SampleQuality(data, samples=40)
        quality.set_model(Classes([]))
        quality.read()
        figures = quality.measure()
        np.testing.assert_array_equal(quality.model.asked, expected)
        assert figures["frechet"] == pytest.approx(frechet_distance(HALF, OTHERS), rel=1e-4)
    with pytest.raises(ValueError, match="80 examples and 79 labels"):
        kg.callbacks.SampleQuality((REAL, y[1:])).read()


@pytest.mark.once
def test_images_that_are_not_measured_are_not_read():
    class Counted(kg.data.ImageDataset):
        x = property(lambda self: pytest.fail("All images are read."))

        def examples(self, rows):
            read.append(rows)
            return super().examples(rows)

    read, images = [], np.random.default_rng(0).integers(256, size=(300, 2, 2, 1), dtype="uint8")
    quality = kg.callbacks.SampleQuality(Counted(images), samples=30)
    quality.read()
    (rows,) = read
    np.testing.assert_array_equal(rows, np.random.default_rng(0).permutation(300)[:60])
    np.testing.assert_allclose(quality.real[0], images[rows[:30]].reshape(30, 4) / 255, rtol=1e-6)


@pytest.mark.once
def test_a_fit_that_goes_on_does_not_write_over_a_better_file(tmp_path):
    best = tmp_path / "best.keras"
    first, history = fit([3.0, 2.0, 1.0], every=1, keep_best=best)
    expected = {"metric": "frechet", "figure": history["frechet"][2], "epoch": 3}
    assert json.loads((tmp_path / "best.keras.json").read_text()) == expected
    content = best.read_bytes()
    # From a checkpoint of epoch 1: epochs 2 and 3 again, whose figures are no waiting.
    again, _ = fit([2.0, 1.5, 4.0], initial_epoch=1, every=1, keep_best=best)
    assert (again.best, again.best_epoch, again.waited) == (first.best, 3, 1)
    assert best.read_bytes() == content
    better, _ = fit([0.5], initial_epoch=1, every=1, keep_best=best)
    assert better.best_epoch == 2 and best.read_bytes() != content
    # A `fit` from the start is another run, and so is one that is measured otherwise.
    other, history = fit([9.0], keep_best=best)
    assert other.best == history["frechet"][0] and other.best_epoch == 1
    other, _ = fit([1.0], initial_epoch=1, metrics="mmd", keep_best=best)
    assert other.best_epoch == 2


@pytest.mark.once
def test_what_cannot_be_measured_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="cannot measure confident, copies.*Classifier"):
        fit([1.0], metrics=("frechet", "confident", "copies"))
    with pytest.raises(ValueError, match="`metrics` is .'fid'"):
        fit([1.0], metrics="fid")
    with pytest.raises(ValueError, match="`keep_best` is 'best.h5'.*Let it end in .keras"):
        fit([1.0], keep_best="best.h5")
    with pytest.raises(ValueError, match="`data` holds 8 examples. Pass at least 20"):
        kg.callbacks.SampleQuality(REAL[:8], samples=40).on_train_begin()
    with pytest.raises(ValueError, match="needs 80 real examples, and .* Pass samples=15"):
        kg.callbacks.SampleQuality(REAL[:30], samples=40).on_train_begin()


def vae():
    keras.utils.set_random_seed(0)
    model = kg.VAE(*kg.networks.mlp_vae((2, 2, 1), 2, hidden=(4,)), seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    return model


def train(folder, epochs, measured=True):
    x = np.random.default_rng(1).random((40, 2, 2, 1), "float32") ** 3
    model, data = vae(), kg.data.ArrayDataset(x, batch_size=20)
    quality = kg.callbacks.SampleQuality(x, samples=20, every=1, keep_best=folder / "best.keras")
    callbacks = [quality, kg.callbacks.Checkpoint(folder / "checkpoint", every=1)]
    history = model.fit(data, epochs=epochs, verbose=0, callbacks=callbacks[not measured :])
    return model, quality, history.history


def test_training_is_the_same_with_it_and_after_a_stop(tmp_path):
    plain, _, _ = train(tmp_path / "plain", 4, measured=False)
    whole, quality, history = train(tmp_path / "whole", 4)
    train(tmp_path / "stopped", 2)
    for path in (tmp_path / "stopped/checkpoint").glob("epoch_0002.*"):
        path.unlink()  # The best model may be of the epoch after the checkpoint.
    resumed, again, resumed_history = train(tmp_path / "stopped", 4)
    for a, b, c in zip(plain.weights, whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(b, c)
    assert resumed_history["frechet"] == history["frechet"]
    for name in ("best", "best_epoch", "waited"):
        assert getattr(again, name) == getattr(quality, name)
    assert quality.best == min(history["frechet"])
    # The file is the model as it was at its best.
    best = kg.saving.load_model(tmp_path / "whole/best.keras")
    x = np.random.default_rng(1).random((40, 2, 2, 1), "float32") ** 3
    half = x[np.random.default_rng(0).permutation(40)[:20]].reshape(20, 4)
    samples = best.sample(20, seed=0).reshape(20, 4)
    assert frechet_distance(half, samples) == pytest.approx(quality.best, rel=1e-5)


@pytest.mark.once
def test_no_clock_decides_when_to_measure(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))
    _, history = fit([1.0, 2.0, 3.0])
    expected = [frechet_distance(HALF, OTHERS + shift) for shift in (1, 2, 3)]
    assert history["frechet"] == pytest.approx(expected)  # After each epoch.
    _, history = fit([1.0, 2.0, 3.0], epochs=7, every=3)
    assert np.flatnonzero(np.isfinite(history["frechet"])).tolist() == [2, 5, 6]


@pytest.mark.once
def test_labels_of_real_images_are_checked_before_training():
    """One-hot labels, read as integers, would ask for classes 0 and 1 alone."""
    networks = kg.networks.point_gan((3,), 2, hidden=(4,), num_classes=3)
    gan = kg.GAN(*networks, latent_dim=2, num_classes=3)
    gan.compile("sgd", "sgd")
    y = np.arange(80) % 3
    for labels, said in ((np.eye(3)[y], "one-hot"), (y + 1, "0 to 2")):
        quality = kg.callbacks.SampleQuality((REAL, labels), samples=10)
        with pytest.raises(ValueError, match=said):
            gan.fit(REAL[:8], y[:8], verbose=0, callbacks=[quality])
    assert int(gan.optimizer.iterations) == 0
