import numpy as np
import pytest

from keras_gen.metrics import kernel_distance, mmd

pytestmark = pytest.mark.once


def by_hand(x, y, k):
    n, m = len(x), len(y)
    return (
        sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(a, b) for a in x for b in y) / (n * m)
    )


def jackknife(x, y, k):
    without_x = [by_hand(np.delete(x, i, axis=0), y, k) for i in range(len(x))]
    without_y = [by_hand(x, np.delete(y, i, axis=0), k) for i in range(len(y))]
    return np.sqrt(sum((len(v) - 1) * np.var(v) for v in (without_x, without_y)))


@pytest.mark.parametrize("chunk", [1, 2**22])
def test_both_are_the_sums_of_the_definition(chunk, monkeypatch):
    monkeypatch.setattr("keras_gen.metrics.kernels.CHUNK", chunk)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(7, 3)), random.normal(1, size=(5, 3))
    kid, rbf = kernel_distance(x, y), mmd(x, y, bandwidth=1.5)

    def cubic(a, b):
        return (a @ b / 3 + 1) ** 3

    def gaussian(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * 1.5**2))

    assert kid["kid"] == pytest.approx(by_hand(x, y, cubic), rel=1e-12)
    assert kid["kid_error"] == pytest.approx(jackknife(x, y, cubic), rel=1e-10)
    assert rbf["mmd"] == pytest.approx(by_hand(x, y, gaussian), rel=1e-10)
    assert rbf["mmd_error"] == pytest.approx(jackknife(x, y, gaussian), rel=1e-10)


def test_kid_is_unbiased_on_one_law():
    random = np.random.default_rng(0)
    results = [kernel_distance(*random.normal(size=(2, 60, 4))) for _ in range(400)]
    values = np.array([r["kid"] for r in results])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert (values < 0).mean() > 0.4
    # Efron and Stein: the jackknife's variance is too large, here by a factor of about 2.
    assert 1 < np.mean([r["kid_error"] ** 2 for r in results]) / values.var() < 3


def test_the_error_is_the_deviation_over_draws_of_two_laws():
    random = np.random.default_rng(0)
    results = [
        kernel_distance(random.normal(size=(60, 4)), random.normal(1, size=(40, 4)))
        for _ in range(400)
    ]
    deviation = np.std([r["kid"] for r in results])
    assert np.mean([r["kid_error"] ** 2 for r in results]) == pytest.approx(deviation**2, rel=0.25)


def test_mmd_of_gaussians_in_closed_form():
    # E k(x, y) = (s^2 / (s^2 + a^2 + b^2))^(d/2) exp(-|m|^2 / (2 (s^2 + a^2 + b^2))).
    d, s, a, b, m = 3, 2.0, 1.0, 1.5, 0.7

    def mean(v, shift):
        return (s**2 / (s**2 + v)) ** (d / 2) * np.exp(-d * shift**2 / (2 * (s**2 + v)))

    exact = mean(2 * a**2, 0) + mean(2 * b**2, 0) - 2 * mean(a**2 + b**2, m)
    random = np.random.default_rng(0)
    values = [
        mmd(random.normal(0, a, (80, d)), random.normal(m, b, (50, d)), bandwidth=s)["mmd"]
        for _ in range(300)
    ]
    assert np.mean(values) == pytest.approx(exact, abs=3 * np.std(values) / np.sqrt(300))
    assert exact > 20 * np.std(values) / np.sqrt(300)


def test_the_default_bandwidth_is_the_median_distance():
    x = np.array([[0.0], [1], [3]])
    assert mmd(x, x)["bandwidth"] == 2  # Of 1, 3 and 2.
    with pytest.raises(ValueError, match="`bandwidth` is 0.0. Pass a positive"):
        mmd(np.ones((3, 1)), x)
