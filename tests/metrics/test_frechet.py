import numpy as np
import pytest
from scipy import linalg

from keras_gen.metrics import frechet_distance

pytestmark = pytest.mark.once


def rows(mean, covariance, n=500, seed=0):
    """Rows whose mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    white = np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + x @ white @ np.linalg.cholesky(covariance).T


def test_gaussians_in_closed_form():
    a, b = np.array([1.0, 4, 9]), np.array([4.0, 4, 1])
    real, fake = rows(np.zeros(3), np.diag(a)), rows([3, 0, 4], np.diag(b), n=400, seed=1)
    # Covariances that commute: |m - m'|^2 + sum (sqrt(a) - sqrt(b))^2 = 25 + 1 + 0 + 4.
    assert frechet_distance(real, fake) == pytest.approx(30, rel=1e-10)
    assert frechet_distance(real, real[::-1]) == pytest.approx(0, abs=1e-12)


def test_covariances_that_do_not_commute_against_scipys_root():
    random = np.random.default_rng(0)
    a, b = (m @ m.T for m in random.normal(size=(2, 6, 6)))
    expected = np.trace(a + b - 2 * linalg.sqrtm(a @ b).real) + 6
    found = frechet_distance(rows(np.zeros(6), a), rows(np.ones(6), b, seed=1))
    assert found == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_with_fewer_rows_than_features():
    # Two rows span a line: S = a u u', so tr (S S')^(1/2) = sqrt(a b) |u v|.
    u, v = np.eye(50)[0], (np.eye(50)[0] + np.eye(50)[1]) / np.sqrt(2)
    real, fake = np.outer([-1, 1], u), 2 * np.outer([-1, 1], v)
    assert frechet_distance(real, fake) == pytest.approx(2 + 8 - 2 * 4 / np.sqrt(2), rel=1e-12)


def test_features_of_one_value_and_far_from_zero():
    real = rows([0.0, 0], np.eye(2))
    padded = np.concatenate([real, np.zeros((500, 3))], axis=1)
    assert frechet_distance(padded, padded + 1) == pytest.approx(5, rel=1e-12)
    assert frechet_distance(real + 1e6, real + 1e6 + [2, 0]) == pytest.approx(4, rel=1e-6)
