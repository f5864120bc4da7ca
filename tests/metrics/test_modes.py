import math

import numpy as np
import pytest
from scipy import stats

from keras_gen import data
from keras_gen.metrics import class_coverage, mode_coverage

CENTRES = np.array([[0.0, 0], [10, 0], [0, 10]])


def coverage(samples, **kwargs):
    return mode_coverage(np.array(samples, "float32"), CENTRES, sigma=1.0, **kwargs)


def test_coverage_by_hand():
    samples = [[0, 0], [2.9, 0], [0, -2], [10, 2.9], [13.1, 0], [5, 5], [0, 6.9], [1e30, 0]]
    # Mode 0 three times, mode 1 once, and four that belong to none.
    kl = 3 / 4 * math.log(3 * 3 / 4) + 1 / 4 * math.log(3 / 4)
    # (0, 6.9) is further than a quarter of 10 from the third mode, (0, 7.6) is not.
    expected = {
        "modes": 2,
        "modes_near": 2,
        "high_quality": 0.5,
        # (0 + 2.9^2 + 2^2 + 2.9^2) / 4 samples / 2 axes.
        "mode_sd": pytest.approx(math.sqrt(20.82 / 8)),
        "mode_kl": pytest.approx(kl),
    }
    assert coverage(samples) == expected
    near = mode_coverage(np.array([*samples, [0, 7.6]]), CENTRES, sigma=0.5)
    assert (near["modes"], near["modes_near"]) == (1, 2)
    # Of one mode, which has no spacing, near is 3 sigma.
    assert mode_coverage(np.array([[2.0, 0], [4, 0]]), [[0, 0]], 0.5)["modes_near"] == 0


def test_a_collapsed_generator_is_log_modes_away():
    for mixture, modes in ((data.ring(10), 8), (data.grid(10), 25)):
        samples = np.repeat(mixture.centres[:1], 100, axis=0)
        assert mode_coverage(samples, mixture.centres, mixture.sigma) == {
            "modes": 1,
            "modes_near": 1,
            "high_quality": 1.0,
            "mode_sd": 0.0,
            "mode_kl": pytest.approx(math.log(modes)),
        }


def test_kl_is_to_the_weights_of_the_mixture():
    samples = [[0, 0]] * 2 + [[10, 0]]
    assert coverage(samples, weights=[2 / 3, 1 / 3, 0])["mode_kl"] == pytest.approx(0, abs=1e-12)
    assert coverage(samples, weights=[0.25, 0.5, 0.25])["mode_kl"] == pytest.approx(
        2 / 3 * math.log(8 / 3) + 1 / 3 * math.log(2 / 3)
    )
    assert coverage(samples, weights=[0, 0.5, 0.5])["mode_kl"] == math.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_a_diverged_generator_covers_nothing(value):
    result = coverage(np.full((5, 2), value))
    assert (result["modes"], result["high_quality"]) == (0, 0.0)
    assert math.isnan(result["mode_kl"]) and math.isnan(result["mode_sd"])


@pytest.mark.parametrize(
    "make, modes, kl, kl_95", [(data.ring, 8, 0.0014, 0.0028), (data.grid, 25, 0.0049, 0.0073)]
)
def test_a_perfect_sampler_reaches_the_floors(make, modes, kl, kl_95):
    results = []
    for seed in range(400):
        samples = make(2500, seed=seed)
        results.append(mode_coverage(samples.x, samples.centres, samples.sigma, samples.weights))
    assert all(result["modes"] == modes for result in results)
    shares = np.array([result["high_quality"] for result in results])
    assert shares.mean() == pytest.approx(1 - math.exp(-4.5), abs=3 * shares.std() / 20)
    # 95% of them are here, give or take what 400 draws allow.
    assert 0.92 < np.mean((shares > 0.9848) & (shares < 0.9928)) < 0.98
    # The variance of a normal in the plane that is cut at 3 sigma.
    sd = math.sqrt(stats.chi2(4).cdf(9) / stats.chi2(2).cdf(9))
    assert sd == pytest.approx(0.974, abs=5e-4)
    assert np.mean([result["mode_sd"] for result in results]) == pytest.approx(sd, abs=0.002)
    kls = np.array([result["mode_kl"] for result in results])
    # KL of n draws is chi-square(modes - 1) / (2 n).
    assert kls.mean() == pytest.approx(kl, abs=1.5e-4)
    assert np.quantile(kls, 0.95) == pytest.approx(kl_95, abs=5e-4)
    assert kls.mean() == pytest.approx((modes - 1) / 5000, rel=0.08)


# How often each digit occurs in MNIST's training set.
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.mark.parametrize(
    "counts, kl, deviation", [([6000] * 10, 0.0194, 0.0009), (MNIST_COUNTS, 0.0237, 0.0010)]
)
def test_a_perfect_sampler_of_stacked_mnist_reaches_the_floor(counts, kl, deviation):
    random = np.random.default_rng(0)
    frequencies = np.array(counts) / 60_000
    results = [
        class_coverage(random.choice(10, size=(26_000, 3), p=frequencies) @ [100, 10, 1])
        for _ in range(200)
    ]
    assert all(result["modes"] == 1000 for result in results)
    kls = np.array([result["mode_kl"] for result in results])
    assert kls.mean() == pytest.approx(kl, abs=2e-4)
    assert kls.std() == pytest.approx(deviation, rel=0.2)
    # To first order: of n draws among 1000, and of three digits that are not equally frequent.
    expected = 999 / 52_000 + 3 * stats.entropy(frequencies, np.full(10, 0.1))
    assert kls.mean() == pytest.approx(expected, rel=0.01)


def test_class_coverage_by_hand():
    result = class_coverage(np.array([0, 0, 3]), num_classes=4)
    kl = stats.entropy([2, 0, 0, 1], [1, 1, 1, 1])
    assert result == {"modes": 2, "mode_kl": pytest.approx(kl)}
    assert class_coverage(np.arange(1000)) == {"modes": 1000, "mode_kl": pytest.approx(0)}


@pytest.mark.parametrize(
    "samples, weights, match",
    [
        (np.zeros((4, 3)), None, r"`samples` has shape \(4, 3\)"),
        (np.zeros((0, 2)), None, "n at least 1"),
        (np.zeros((4, 2)), [0.5, 0.5], "each of the 3 modes"),
        (np.zeros((4, 2)), [0.5, 0.5, 0.5], "a probability for each"),
        (np.zeros((4, 2)), [1.5, -0.5, 0], "a probability for each"),
    ],
)
def test_samples_and_weights_that_do_not_fit_are_refused(samples, weights, match):
    with pytest.raises(ValueError, match=match):
        mode_coverage(samples, CENTRES, 1.0, weights)


@pytest.mark.parametrize(
    "classes, match",
    [
        (np.zeros(4), "Pass one integer per sample"),
        (np.zeros((4, 3), int), "Pass one integer per sample"),
        (np.array([], int), "Pass one integer per sample"),
        (np.array([0, 1000]), "from 0 to 1000. Pass integers from 0 to 999"),
        (np.array([-1, 4]), "from -1 to 4"),
    ],
)
def test_what_are_no_classes_is_refused(classes, match):
    with pytest.raises(ValueError, match=match):
        class_coverage(classes)
