import csv

import keras
import numpy as np
import pytest
from keras import ops
from matplotlib import image as png

import keras_gen as kg


class Shift(keras.Model):
    """A generator that gives one point for all z, and that training moves."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, kernel_initializer="zeros")
        self.dense.build((None, 2))

    def call(self, z):
        return self.dense(z)

    def generate(self, z):
        return ops.convert_to_numpy(self(z))


def trained(callbacks, epochs=3):
    """Fits z -> (1, 0), a mode of the ring."""
    keras.utils.set_random_seed(0)
    model = Shift()
    model.compile(keras.optimizers.SGD(0.5), loss="mse")
    z = np.random.default_rng(1).normal(size=(64, 2)).astype("float32")
    targets = np.tile(np.array([1.0, 0], "float32"), (64, 1))
    history = model.fit(z, targets, batch_size=16, epochs=epochs, verbose=0, callbacks=callbacks)
    return model, history.history


def test_every_epoch_is_logged_to_the_history_and_to_files(tmp_path):
    ring = kg.data.ring(1000)
    callbacks = [
        kg.callbacks.ModeCoverage(ring, tmp_path, num_samples=50, every=2),
        keras.callbacks.CSVLogger(str(tmp_path / "history.csv")),
    ]
    model, history = trained(callbacks, epochs=4)
    z = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
    expected = kg.metrics.mode_coverage(model.generate(z), ring.centres, ring.sigma)
    assert expected["modes"] == 1  # Training has arrived.
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    for name, value in expected.items():
        assert len(history[name]) == len(rows) == 4
        assert history[name][-1] == value
        assert float(rows[-1][name]) == value


def test_a_collapse_is_visible_while_it_happens(tmp_path):
    class Collapsing(Shift):
        """Spreads z over all of the ring until `narrow` is set."""

        narrow = False

        def generate(self, z):
            modes = np.zeros(len(z), int) if self.narrow else np.arange(len(z)) % 8
            return ring.centres[modes]

    class Collapse(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.narrow = epoch == 2

    ring = kg.data.ring(1000)
    model = Collapsing()
    model.compile("sgd", loss="mse")
    x = np.zeros((8, 2), "float32")
    callbacks = [Collapse(), kg.callbacks.ModeCoverage(ring, tmp_path, num_samples=80)]
    history = model.fit(x, x, epochs=3, verbose=0, callbacks=callbacks).history
    assert history["modes"] == [8, 8, 1]
    assert history["mode_kl"] == pytest.approx([0, 0, np.log(8)])


def test_pictures_show_real_points_light_and_samples_dark(tmp_path):
    ring = kg.data.ring(2000)
    callback = kg.callbacks.ModeCoverage(ring, tmp_path, num_samples=500)
    trained([callback], epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"epoch_000{epoch}.png" for epoch in range(3)
    ]
    picture = png.imread(tmp_path / "epoch_0002.png")[..., :3]
    assert picture.shape == (480 + 18, 480, 3)  # And the caption.

    def share(region, low, high):
        """Of a part of the picture: the share of its pixels with a grey between the two."""
        return np.mean((region.mean(axis=-1) > low) & (region.mean(axis=-1) < high))

    # Inside the frame; below it and to the left of it are the numbers of the axes.
    left, right = picture[60:420, 60:240], picture[60:420, 240:460]
    assert share(left, 0.75, 0.85) > 0 and share(left, 0, 0.5) == 0
    assert share(right[150:210], 0, 0.2) > 0  # The sampled mode is at the right, in the middle.


def test_nothing_is_left_of_pyplot(tmp_path):
    from matplotlib import pyplot

    trained([kg.callbacks.ModeCoverage(kg.data.ring(100), tmp_path, num_samples=10)])
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_diverged_generator_is_logged_and_drawn(tmp_path, value):
    class Diverged(Shift):
        def generate(self, z):
            return np.full((len(z), 2), value, "float32")

    model = Diverged()
    model.compile("sgd", loss="mse")
    x = np.zeros((8, 2), "float32")
    callback = kg.callbacks.ModeCoverage(kg.data.grid(100), tmp_path, num_samples=10)
    history = model.fit(x, x, verbose=0, callbacks=[callback]).history
    assert (history["modes"], history["high_quality"]) == ([0], [0.0])
    assert (tmp_path / "epoch_0001.png").exists()


def test_counting_changes_no_weight(tmp_path):
    counted, _ = trained([kg.callbacks.ModeCoverage(kg.data.ring(100), tmp_path, num_samples=10)])
    plain, _ = trained([])
    for a, b in zip(counted.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_mixture_outside_the_plane_is_refused(tmp_path):
    line = kg.data.MixtureDataset([[0.0], [1.0]], 0.1, num_examples=10)
    with pytest.raises(ValueError, match="Pass a mixture in the plane"):
        kg.callbacks.ModeCoverage(line, tmp_path)
