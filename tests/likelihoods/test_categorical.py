import numpy as np
import pytest
from scipy import special

from keras_gen import likelihoods
from tests.likelihoods.common import check_samples, gradient, log_prob, mean, tensor


def levels(n):
    return np.arange(n) / (n - 1)


def logits(n, size, seed=0):
    return (size * np.random.default_rng(seed).standard_normal(n)).astype("float32")


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("num_classes", [2, 10, 256])
def test_log_probs_are_scipys_log_softmax_and_sum_to_one(num_classes, size):
    likelihood = likelihoods.Categorical(num_classes)
    parameters = logits(num_classes, size)
    actual = log_prob(likelihood, levels(num_classes), parameters)
    expected = special.log_softmax(parameters.astype("float64"))
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.exp(actual).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(
        mean(likelihood, parameters[None]), [np.exp(expected) @ levels(num_classes)], atol=1e-6
    )


def test_equal_logits_cost_eight_bits_a_value():
    x = np.random.default_rng(0).integers(0, 256, 20) / 255
    bits = -log_prob(likelihoods.Categorical(), x, np.zeros(256)) / np.log(2)
    np.testing.assert_allclose(bits, 8, rtol=1e-6)


def test_two_classes_are_a_bernoulli():
    x, logit = np.array([0.0, 1.0]), 0.7
    np.testing.assert_allclose(
        log_prob(likelihoods.Categorical(2), x, [0.0, logit]),
        log_prob(likelihoods.Bernoulli(), x, [logit]),
        rtol=1e-6,
    )


def test_the_gradient_is_the_indicator_minus_the_probabilities():
    likelihood, parameters = likelihoods.Categorical(10), logits(10, 2.0)
    slopes = gradient(lambda p: likelihood.log_prob(tensor([[3 / 9]]), p), parameters[None])
    np.testing.assert_allclose(
        slopes[0], np.eye(10)[3] - special.softmax(parameters.astype("float64")), atol=1e-6
    )


@pytest.mark.parametrize("num_classes", [2, 10, 256])
def test_samples_follow_the_probabilities(num_classes):
    parameters = logits(num_classes, 1.0, seed=1)
    parameters[0] = -1e4  # Never drawn.
    p = special.softmax(parameters.astype("float64"))
    expected = p @ levels(num_classes)
    variance = p @ (levels(num_classes) - expected) ** 2
    likelihood = likelihoods.Categorical(num_classes, seed=0)
    samples = check_samples(likelihood, parameters, expected, variance, n=40_000)
    k = np.round(samples * (num_classes - 1)).astype(int)
    counts = np.bincount(k, minlength=num_classes)
    error = np.sqrt(p * (1 - p) / len(samples))
    assert np.all(np.abs(counts / len(samples) - p) <= 5 * error)


def test_data_off_the_grid_are_refused():
    likelihoods.Categorical(4).check_data(np.array([0, 1 / 3, 2 / 3, 1], "float32"))
    with pytest.raises(ValueError, match=r"Categorical takes the 4 values k / 3.*hold 0\.5"):
        likelihoods.Categorical(4).check_data(np.array([0.0, 0.5], "float32"))


@pytest.mark.parametrize("num_classes", [1, 0, -3, 2.5, None])
def test_a_wrong_number_of_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match="`num_classes` is .*Pass an integer, at least 2"):
        likelihoods.Categorical(num_classes)
