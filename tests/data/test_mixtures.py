import numpy as np
import pytest
from scipy import stats

from keras_gen.data import MixtureDataset, grid, ring

pytestmark = pytest.mark.once


def test_the_ring_has_8_distinct_modes_on_the_unit_circle():
    centres = ring(10).centres
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1)
    # Neighbours on a regular octagon.
    np.testing.assert_allclose(np.sort(distances)[:, 1:3], 2 * np.sin(np.pi / 8))


def test_the_grid_is_the_25_pairs_of_even_numbers_up_to_4():
    pairs = {(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}
    assert set(map(tuple, grid(10).centres)) == pairs


@pytest.mark.parametrize("mixture, sigma", [(ring(seed=3), 0.01), (grid(seed=3), 0.05)])
def test_points_are_those_of_the_mixture(mixture, sigma):
    assert mixture.x.shape == (100_000, 2)
    assert mixture.x.dtype == np.float32
    assert mixture.sigma == sigma
    modes = len(mixture.centres)
    np.testing.assert_array_equal(mixture.weights, np.full(modes, 1 / modes))
    assert stats.chisquare(np.bincount(mixture.y)).pvalue > 0.01
    noise = (mixture.x - mixture.centres[mixture.y]) / sigma
    for axis in noise.T:
        assert stats.kstest(axis, "norm").pvalue > 0.01
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.01
    # The mode and the noise know nothing of each other.
    assert abs(np.corrcoef(noise[:, 0], mixture.y)[0, 1]) < 0.01


def test_the_points_are_a_function_of_the_seed():
    np.testing.assert_array_equal(ring(50, seed=1).x, ring(50, seed=1).x)
    assert np.all(ring(50, seed=1).x != ring(50, seed=2).x)


def test_batches_are_points_and_with_labels_their_modes():
    mixture = ring(10, batch_size=4, seed=1)
    assert [x.shape for x in mixture] == [(4, 2), (4, 2), (2, 2)]
    x, y = ring(10, batch_size=4, labels=True)[0]
    centres = mixture.centres[y]
    assert np.abs(x - centres).max() < 0.06
    points = np.concatenate(list(mixture))
    np.testing.assert_array_equal(np.sort(points, axis=0), np.sort(mixture.x, axis=0))
    assert np.any(points != mixture.x)


def test_the_order_has_nothing_to_do_with_the_points():
    # Were both drawn from one stream, the first epoch's order would be that of the modes.
    mixture = ring(20_000, seed=0, batch_size=20_000, labels=True)
    _, y = mixture[0]
    assert abs(np.corrcoef(y, np.arange(len(y)))[0, 1]) < 0.03
    assert abs(np.corrcoef(y[1:], y[:-1])[0, 1]) < 0.03


def test_rings_and_grids_of_other_sizes():
    np.testing.assert_allclose(
        ring(10, modes=4, radius=2.0).centres, [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-12
    )
    assert set(map(tuple, grid(10, side=2, spacing=3.0).centres)) == {
        (a, b) for a in (-1.5, 1.5) for b in (-1.5, 1.5)
    }
    assert np.abs(ring(100, sigma=1e-6).x - ring(100, sigma=1e-7).x).max() < 1e-5


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"centres": [[0.0, 1], [0, 1]], "sigma": 1.0}, "1 distinct rows"),
        ({"centres": [0.0, 1], "sigma": 1.0}, r"`centres` has shape \(2,\)"),
        ({"centres": [[0.0, 1]], "sigma": 0.0}, "`sigma` is 0.0"),
        ({"centres": [[0.0, 1]], "sigma": 1.0, "num_examples": 0}, "0 examples"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        MixtureDataset(**arguments)
