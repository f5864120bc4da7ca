import math

import numpy as np
import pytest

from keras_gen.metrics import density_coverage, memorization, precision_recall

pytestmark = pytest.mark.once


def distance(a, b):
    return math.sqrt(sum((a - b) ** 2))


def radius(x, i, k):
    return sorted(distance(x[i], x[j]) for j in range(len(x)) if j != i)[k - 1]


def balls(point, x, k):
    return sum(distance(point, x[i]) <= radius(x, i, k) for i in range(len(x)))


def test_all_four_by_double_loops():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(40, 3)), random.normal(0.5, size=(25, 3))
    for k in (1, 3):
        inside = [balls(point, real, k) for point in fake]
        assert precision_recall(real, fake, k) == {
            "precision": pytest.approx(np.mean([count > 0 for count in inside])),
            "recall": pytest.approx(np.mean([balls(point, fake, k) > 0 for point in real])),
        }
        covered = [any(distance(x, real[i]) <= radius(real, i, k) for x in fake) for i in range(40)]
        assert density_coverage(real, fake, k) == {
            "density": pytest.approx(sum(inside) / (k * 25)),
            "coverage": pytest.approx(np.mean(covered)),
        }


@pytest.mark.parametrize("n, m, k, d, draws", [(1000, 1000, 5, 2, 12), (60, 30, 3, 20, 150)])
def test_density_and_coverage_of_one_law_have_their_expected_values(n, m, k, d, draws):
    random = np.random.default_rng(0)
    results = [
        density_coverage(random.normal(size=(n, d)), random.normal(size=(m, d)), k)
        for _ in range(draws)
    ]
    coverage = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    if (n, m, k) == (1000, 1000, 5):
        assert coverage == pytest.approx(0.96898, abs=5e-6)
    for name, expected in (("density", 1.0), ("coverage", coverage)):
        values = [result[name] for result in results]
        assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / draws**0.5), name


def test_recall_falls_and_precision_stays_where_modes_are_dropped():
    random = np.random.default_rng(0)
    centres = 20 * np.eye(8)

    def sample(modes):
        return centres[random.integers(modes, size=800)] + random.normal(size=(800, 8))

    real = sample(8)
    whole, half = (precision_recall(real, sample(modes)) for modes in (8, 4))
    assert half["precision"] == pytest.approx(whole["precision"], abs=0.03)
    assert half["recall"] == pytest.approx(whole["recall"] / 2, abs=0.05)
    # And samples that are not on the manifold have no precision.
    assert precision_recall(real, sample(8) + 30)["precision"] == 0
    kept = np.mean(real.argmax(axis=1) < 4)
    assert density_coverage(real, sample(4))["coverage"] == pytest.approx(kept, abs=0.02)


def test_a_generator_that_returns_training_images_is_found():
    random = np.random.default_rng(0)
    train, test, fresh = random.normal(size=(3, 1000, 6))
    copied = train[random.permutation(1000)[:500]] + 1e-3 * random.normal(size=(500, 6))
    honest, copying = memorization(train, test, fresh), memorization(train, test, copied)
    assert honest["copies"] < 0.02 and abs(honest["copying_z"]) < 3
    assert honest["nearer"] == pytest.approx(0.5, abs=0.04)
    assert honest["distance_ratio"] == pytest.approx(1, abs=0.05)
    assert copying["copies"] == 1 and copying["copying_z"] > 20 and copying["nearer"] == 1
    assert copying["distance_ratio"] < 0.01
    # A tenth of copies is seen too.
    mixed = memorization(train, test, np.concatenate([fresh[:450], copied[:50]]))
    assert mixed["copies"] == pytest.approx(0.11, abs=0.02)


def test_the_score_of_memorization_is_that_of_mann_and_whitney():
    from scipy import stats

    train = np.array([[0.0], [10]])
    test, fake = np.array([[1.0], [2], [13], [4]]), np.array([[1.0], [10.5], [12], [0.2], [3]])
    found = memorization(train, test, fake)
    distances = [1, 2, 3, 4], [1, 0.5, 2, 0.2, 3]
    u = stats.mannwhitneyu(*distances).statistic
    assert found["nearer"] == pytest.approx(u / 20)
    assert found["copying_z"] == pytest.approx((u - 10) / math.sqrt(20 * 10 / 12))
    assert found["distance_ratio"] == pytest.approx(1 / 2.5)
    assert found["copies"] == pytest.approx(3 / 5)
