"""Vectors replaced by codes: a codebook that follows by k-means, and levels."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.helpers import numpy


def vectors(shape=(8, 5, 2), seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def started(codebook, **kwargs):
    """A quantizer that goes on from a codebook."""
    quantizer = kg.layers.VectorQuantizer(len(codebook), **kwargs)
    quantizer.build((None, np.shape(codebook)[1]))
    quantizer.codebook.assign(codebook)
    quantizer.started.assign(1.0)
    return quantizer


def nearest(z, codebook):
    return np.argmin(np.square(z[..., None, :] - codebook).sum(-1), axis=-1)


def test_each_vector_becomes_the_nearest_of_the_codebook_and_commits_to_it():
    z, codebook = vectors(), vectors((4, 2), 1)
    z_q, codes, loss = map(numpy, started(codebook, commitment=0.5)(z))
    np.testing.assert_array_equal(codes, nearest(z, codebook))
    np.testing.assert_allclose(z_q, codebook[codes], atol=1e-6)
    expected = 0.5 * np.square(z - codebook[codes]).sum(axis=(1, 2))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_of_equally_near_codes_the_first_is_taken():
    z = np.array([[-1.0], [1.0], [2.0], [3.0], [5.0]], "float32")
    codes = numpy(started([[0.0], [2.0], [2.0], [4.0]]).codes(z))
    np.testing.assert_array_equal(codes, [0, 0, 1, 1, 3])


def test_the_codebook_is_that_of_a_loop_of_moving_averages():
    codebook, decay = vectors((4, 2), 1), 0.9
    quantizer = started(codebook, decay=decay, revive_below=0)
    n, m, e = np.zeros(4), np.zeros((4, 2)), codebook.astype("float64")
    for seed in range(5):
        z = vectors(seed=seed)
        quantizer(z, training=True)
        codes = nearest(z, e)
        for k in range(4):
            own = z[codes == k]
            n[k] = decay * n[k] + (1 - decay) * len(own)
            m[k] = decay * m[k] + (1 - decay) * own.sum(axis=0)
            e[k] = m[k] / n[k] if n[k] else e[k]
    np.testing.assert_allclose(numpy(quantizer.codebook), e, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numpy(quantizer.counts), n, rtol=1e-5)


def test_the_first_batch_is_an_iteration_of_k_means_from_its_own_vectors():
    z = vectors((16, 20, 2))
    quantizer = kg.layers.VectorQuantizer(6, revive_below=0, seed=3)
    quantizer(z)  # Not in training: nothing starts.
    assert float(numpy(quantizer.started)) == 0 and not numpy(quantizer.counts).any()
    z_q, codes, _ = map(numpy, quantizer(z, training=True))
    for k in range(6):
        own = z[codes == k]
        if not len(own):  # Its vector was drawn twice.
            continue
        # The vectors are replaced by one of the batch, and that moves to the mean.
        start = np.unique(np.round(z_q[codes == k], 5), axis=0)
        assert len(start) == 1 and np.abs(z - start[0]).sum(-1).min() < 1e-4
        np.testing.assert_allclose(numpy(quantizer.codebook)[k], own.mean(axis=0), rtol=1e-4)


def test_more_batches_end_at_the_distortion_of_k_means():
    cluster = pytest.importorskip("sklearn.cluster")
    z = vectors((1, 400, 2))
    quantizer = kg.layers.VectorQuantizer(10, seed=0)
    for _ in range(30):
        quantizer(z, training=True)
    found = np.square(z - numpy(quantizer(z)[0])).sum()
    best = cluster.KMeans(10, n_init=10, random_state=0).fit(z[0]).inertia_
    assert best * 0.999 < found < 1.15 * best


@pytest.mark.parametrize("revive_below", [0.1, 0])
def test_codes_that_no_vector_has_move_to_vectors_of_the_batch(revive_below):
    z = vectors((8, 20, 2))
    far = 100.0 + np.arange(16, dtype="float32").reshape(8, 2)
    far[0] = 0
    quantizer = started(far, revive_below=revive_below, seed=1)
    quantizer(z, training=True)
    codebook = numpy(quantizer.codebook)
    if not revive_below:
        np.testing.assert_array_equal(codebook[1:], far[1:])
        return
    distances = np.abs(codebook[1:, None] - z.reshape(-1, 2)).sum(-1).min(axis=1)
    assert distances.max() < 1e-5
    # Each has the mean of the counts, and so the time to be used.
    counts = numpy(quantizer.counts)
    np.testing.assert_allclose(counts[1:], counts[0] / 8, rtol=1e-5)
    for _ in range(20):
        quantizer(z, training=True)
    assert len(np.unique(numpy(quantizer(z)[1]))) == 8


def test_fsq_gives_what_the_authors_notebook_gives():
    # google-research/fsq/fsq.ipynb, by its functions in float64.
    quantizer = kg.layers.FSQ((3, 5, 4))
    z_q, codes, loss = map(numpy, quantizer(np.array([[0.25, 0.6, -7.0]], "float32")))
    np.testing.assert_allclose(z_q, [[0.0, 0.5, -1.0]], atol=1e-6)
    assert codes.tolist() == [10] and loss.tolist() == [0.0]


@pytest.mark.parametrize("levels", [(3, 5, 4), (8, 6, 5), (2, 2), (7,)])
def test_levels_and_codes_of_fsq_are_one_to_one(levels):
    quantizer = kg.layers.FSQ(levels)
    assert quantizer.num_codes == np.prod(levels)
    codes = np.arange(quantizer.num_codes)
    all_vectors = numpy(quantizer.vectors(codes))
    # The first level counts fastest: each axis holds (l - floor(L / 2)) / floor(L / 2).
    grids = [(np.arange(n) - n // 2) / (n // 2) for n in reversed(levels)]
    expected = [row[::-1] for row in itertools.product(*grids)]
    np.testing.assert_allclose(all_vectors, expected, atol=1e-6)
    # Every code is that of some z, and its vector is what the call gives.
    z = np.random.default_rng(0).normal(0, 3, (20_000, len(levels))).astype("float32")
    z_q, found, _ = map(numpy, quantizer(z))
    assert set(found) == set(codes)
    np.testing.assert_allclose(z_q, all_vectors[found], atol=1e-6)


def test_quantizers_are_layers_of_a_functional_model(tmp_path):
    x = keras.Input((4, 2))
    for quantizer in (kg.layers.VectorQuantizer(5, seed=1), kg.layers.FSQ((3, 4))):
        z_q, codes, loss = quantizer(x)
        assert (z_q.shape, codes.shape, loss.shape) == ((None, 4, 2), (None, 4), (None,))
        assert codes.dtype == "int32"
        model = keras.Model(x, [z_q, codes, loss])
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for a, b in zip(loaded(vectors((3, 4, 2))), model(vectors((3, 4, 2))), strict=True):
            np.testing.assert_array_equal(numpy(a), numpy(b))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: kg.layers.VectorQuantizer(0), "`num_codes` is 0"),
        (lambda: kg.layers.VectorQuantizer(decay=1.0), "`decay` is 1.0"),
        (lambda: kg.layers.VectorQuantizer(commitment=-1), "`commitment` is -1"),
        (lambda: kg.layers.FSQ((1, 4)), "`levels` is 1"),
        (lambda: kg.layers.FSQ(()), "`levels` is empty"),
        (lambda: kg.layers.FSQ((256,) * 4), "4,294,967,296 codes"),
        (lambda: kg.layers.FSQ((3, 4))(ops.ones((2, 3))), "Let the encoder end in 2 channels"),
    ],
)
def test_what_makes_no_quantizer_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()
