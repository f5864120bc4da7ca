import gzip
import pathlib

import numpy as np
import pytest
from scipy import spatial

from keras_gen.metrics import ndb

pytestmark = pytest.mark.once

MNIST = pathlib.Path(__file__).parents[3] / "shared/data/mnist/train-images-idx3-ubyte.gz"


def test_dropped_and_doubled_modes_are_the_different_bins():
    random = np.random.default_rng(0)
    centres = 20 * np.eye(5)

    def sample(p):
        return centres[random.choice(5, size=2000, p=p)] + random.normal(size=(2000, 5))

    real = sample([0.2] * 5)
    same = ndb(real, sample([0.2] * 5), num_bins=5)
    assert same["ndb"] == 0 and same["jensen_shannon"] < 0.001
    # The mode of weight 0 and that of weight .4 differ, the other three do not.
    assert ndb(real, sample([0, 0.4, 0.2, 0.2, 0.2]), num_bins=5)["ndb"] == 2


def test_shares_and_divergence_by_hand():
    real, fake = (
        np.repeat([[0.0], [10]], [60, 40], axis=0),
        np.repeat([[1.0], [9]], [30, 70], axis=0),
    )
    p, q = np.array([0.6, 0.4]), np.array([0.3, 0.7])
    # z = .3 / sqrt(.45 .55 (1/100 + 1/100)) = 4.264
    assert ndb(real, fake, num_bins=2, threshold=4.26)["ndb_share"] == 1
    found = ndb(real, fake, num_bins=2, threshold=4.27)
    assert found["ndb"] == 0
    js = spatial.distance.jensenshannon(p, q) ** 2
    assert found["jensen_shannon"] == pytest.approx(js)


def test_chance_alone_makes_five_of_a_hundred_bins_different_at_the_usual_level():
    random = np.random.default_rng(0)
    counts = [
        ndb(*random.normal(size=(2, 2000, 3)), num_bins=20, threshold=1.96)["ndb"]
        for _ in range(20)
    ]
    assert np.mean(counts) == pytest.approx(1, abs=3 * np.std(counts) / 20**0.5)


def test_held_out_mnist_has_no_different_bin():
    if not MNIST.exists():
        pytest.skip(f"There is no MNIST at {MNIST}.")
    with gzip.open(MNIST) as file:
        x = np.frombuffer(file.read(), "uint8", offset=16).reshape(60_000, 784)
    x = x[np.random.default_rng(0).permutation(60_000)[:12_000]] / 255.0
    x -= x.mean(axis=0)
    x = x @ np.linalg.eigh(x.T @ x)[1][:, -40:]  # 40 principal components.
    result = ndb(x[:9000], x[9000:])
    assert result["ndb"] == 0
    assert result["jensen_shannon"] < 0.01
    # Half of the held-out digits alone: those to one side.
    assert ndb(x[:9000], x[9000:][x[9000:, -1] > 0])["ndb"] > 15
