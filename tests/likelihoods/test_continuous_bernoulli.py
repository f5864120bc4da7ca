import numpy as np
import pytest
from scipy import integrate, stats

from keras_gen import likelihoods
from tests.likelihoods.common import check_samples, gradient, log_prob, mean, tensor

LOGITS = [0.0, 1e-8, -1e-3, 1e-3, 0.5, -1.0, 1.0, 1.39, 1.41, -4.0, 30.0, -30.0]
SWITCH = 1.4  # From a series to the formula, in |logit|.
SIZES = np.concatenate([np.geomspace(1e-8, 1e4, 200), SWITCH + np.linspace(-0.01, 0.01, 21)])
EVERYWHERE = np.concatenate([-SIZES, [0.0], SIZES]).astype("float32")[:, None]


def exact_log_normaliser(logit):
    """log of the integral of exp(l x) over [0, 1], in float64."""
    size = np.abs(np.asarray(logit, "float64"))
    size = np.where(size == 0, 1e-300, size)
    return np.where(np.asarray(logit) > 0, logit, 0) + np.log(-np.expm1(-size) / size)


def exact_mean(logit):
    """In float64; near 0 by its series, whose next term is below 1e-16 there."""
    logit = np.asarray(logit, "float64")
    size = np.maximum(np.abs(logit), 0.02)
    lower = 1 / size - np.exp(-size) / -np.expm1(-size)  # Of the density falling from 0.
    series = 0.5 + logit / 12 - logit**3 / 720 + logit**5 / 30240
    formula = np.where(logit < 0, lower, 1 - lower)
    return np.where(np.abs(logit) < 0.02, series, formula)


@pytest.mark.parametrize("logit", LOGITS)
def test_the_density_integrates_to_one_and_has_the_mean(logit):
    x = np.linspace(0, 1, 20_001)
    density = np.exp(log_prob(likelihoods.ContinuousBernoulli(), x, [logit]))
    np.testing.assert_allclose(integrate.simpson(density, x=x), 1, rtol=5e-6)
    expected = integrate.simpson(x * density, x=x)
    np.testing.assert_allclose(
        mean(likelihoods.ContinuousBernoulli(), [[logit]]), expected, rtol=1e-5
    )


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_log_prob_is_exact_in_float32_near_zero_and_at_the_switch(x):
    likelihood = likelihoods.ContinuousBernoulli()
    logits = EVERYWHERE.astype("float64")[:, 0]
    expected = np.float32(x).astype("float64") * logits - exact_log_normaliser(logits)
    # The largest number on the way is |l| / 2, in float32.
    error = np.abs(log_prob(likelihood, np.full(len(logits), x), EVERYWHERE) - expected)
    assert np.all(error <= 4e-7 + 1.2e-7 * np.abs(logits))


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_the_gradient_is_x_minus_the_mean_for_every_logit(x):
    likelihood = likelihoods.ContinuousBernoulli()
    data = tensor(np.full((len(EVERYWHERE), 1), x))
    slopes = gradient(lambda logits: likelihood.log_prob(data, logits), EVERYWHERE)
    expected = np.float32(x).astype("float64") - exact_mean(EVERYWHERE)
    np.testing.assert_allclose(slopes, expected, atol=2e-7)


def test_the_mean_is_exact_for_every_logit_and_has_a_finite_gradient():
    likelihood = likelihoods.ContinuousBernoulli()
    expected = exact_mean(EVERYWHERE)
    np.testing.assert_allclose(mean(likelihood, EVERYWHERE), expected[:, 0], rtol=5e-7)
    slopes = gradient(likelihood.mean, EVERYWHERE)
    assert np.all(np.isfinite(slopes))
    near = np.abs(EVERYWHERE) < 1e-2
    np.testing.assert_allclose(slopes[near], 1 / 12, rtol=1e-4)  # Var of U[0, 1].


@pytest.mark.parametrize("probability", [0.01, 0.2, 0.5, 0.499, 0.9])
def test_normaliser_and_mean_are_those_of_the_paper(probability):
    """Loaiza-Ganem and Cunningham (2019), equations 6 to 8, in lambda = sigmoid(logit)."""
    logit = np.log(probability / (1 - probability))
    likelihood = likelihoods.ContinuousBernoulli()
    if probability == 0.5:
        normaliser, expected_mean = 2, 0.5
    else:
        artanh = np.arctanh(1 - 2 * probability)
        normaliser = 2 * artanh / (1 - 2 * probability)
        expected_mean = probability / (2 * probability - 1) + 1 / (2 * artanh)
    x = np.array([0.0, 0.25, 1.0])
    expected = np.log(normaliser * probability**x * (1 - probability) ** (1 - x))
    np.testing.assert_allclose(log_prob(likelihood, x, [logit]), expected, atol=1e-6)
    np.testing.assert_allclose(mean(likelihood, [[logit]]), expected_mean, rtol=1e-6)


def test_the_density_exceeds_what_the_bernoulli_gives_by_log_two_or_more():
    logits = np.linspace(-20, 20, 41)[:, None]
    x = np.random.default_rng(0).random(41)
    gap = log_prob(likelihoods.ContinuousBernoulli(), x, logits)
    gap -= log_prob(likelihoods.Bernoulli(), x, logits)
    assert np.all(gap >= np.log(2) - 1e-6)
    np.testing.assert_allclose(gap[20], np.log(2), rtol=1e-6)  # At logit 0.


@pytest.mark.parametrize("logit", [0.0, 1e-7, -1e-3, 1.0, -1.0, 30.0, -30.0, 1e4])
def test_samples_follow_the_density(logit):
    likelihood = likelihoods.ContinuousBernoulli(seed=0)
    expected = float(exact_mean(logit))
    if abs(logit) < 0.1:
        variance = 1 / 12 - logit**2 / 240
    else:
        variance = 1 / logit**2 - 1 / (4 * np.sinh(np.clip(logit, -100, 100) / 2) ** 2)
    samples = check_samples(likelihood, [logit], expected, variance)
    assert samples.min() >= 0 and samples.max() <= 1
    if 0.1 < abs(logit) < 1e3:  # Beyond, samples near 1 show float32's steps of 6e-8.
        distance = samples if logit < 0 else 1 - samples
        rate = abs(logit)
        cdf = np.expm1(-rate * np.sort(distance)) / np.expm1(-rate)
        assert stats.kstest(cdf, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    "x, way",
    [
        *((-0.1, "Scale all data alike"), (1.1, "Scale all data alike"), (300.0, "Scale all")),
        *((255.0, "Divide 8-bit images by 255"), (np.nan, "Remove NaN"), (np.inf, "Remove NaN")),
    ],
)
def test_data_outside_the_unit_interval_are_refused(x, way):
    match = rf"ContinuousBernoulli takes values in \[0, 1\].*{way}"
    with pytest.raises(ValueError, match=match):
        likelihoods.ContinuousBernoulli().check_data(np.array([[0.5, x]], "float32"))
