import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import likelihoods
from tests.likelihoods.common import check_samples, gradient, log_prob, mean, numpy, tensor


def test_gaussian_log_prob_is_scipys_summed_over_pixels():
    rng = np.random.default_rng(3)
    x, mean = rng.standard_normal((2, 4, 3, 2)).astype("float32")
    expected = stats.norm.logpdf(x.astype("float64"), mean, 0.3).sum((1, 2))
    log_prob = likelihoods.Gaussian(0.3).log_prob(
        ops.convert_to_tensor(x), ops.convert_to_tensor(mean)
    )
    np.testing.assert_allclose(numpy(log_prob), expected, rtol=1e-5)


def test_learned_sigma_is_a_weight_that_loads(tmp_path):
    x = keras.Input((3,))
    likelihood = likelihoods.Gaussian(0.5, learn_sigma=True)
    assert [w.trainable for w in likelihood.weights] == [True]
    assert not likelihoods.Gaussian(0.5).trainable_weights
    likelihood.log_sigma.assign(np.log(0.25))
    keras.Model(x, likelihood(x)).save(tmp_path / "likelihood.keras")
    loaded = keras.saving.load_model(tmp_path / "likelihood.keras").layers[-1]
    np.testing.assert_allclose(np.exp(numpy(loaded.log_sigma)), 0.25, rtol=1e-6)
    assert loaded.sigma == pytest.approx(0.25)  # What was learned, and in the config the start.
    assert loaded.get_config()["sigma"] == 0.5
    assert loaded.learn_sigma


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma"):
        likelihoods.Gaussian(sigma)


def effective_sigma(min_sigma, log_sigma):
    return np.hypot(min_sigma, np.exp(log_sigma))


@pytest.mark.parametrize("log_sigma", [-30.0, -4.6, -1.0, 0.0, 1.0, 30.0])
def test_a_sigma_for_every_value_gives_scipys_density(log_sigma):
    likelihood = likelihoods.HeteroscedasticGaussian(0.01)
    x = np.float32([-3.0, 0.0, 0.29, 0.3, 1.0]).astype("float64")
    loc, sigma = np.float32(0.3).astype("float64"), effective_sigma(0.01, log_sigma)
    actual = log_prob(likelihood, x, [0.3, log_sigma])
    np.testing.assert_allclose(actual, stats.norm.logpdf(x, loc, sigma), rtol=2e-6)
    assert mean(likelihood, [[0.3, log_sigma]]) == loc


@pytest.mark.parametrize("log_sigma", [-30.0, -4.6, 0.0, 4.0])
def test_the_density_with_a_sigma_for_every_value_integrates_to_one(log_sigma):
    likelihood = likelihoods.HeteroscedasticGaussian(0.01)
    x = 0.3 + effective_sigma(0.01, log_sigma) * np.linspace(-8, 8, 2001)
    density = np.exp(log_prob(likelihood, x, [0.3, log_sigma]))
    np.testing.assert_allclose(np.trapezoid(density, x), 1, rtol=2e-5)


def test_the_slope_in_log_sigma_is_zero_where_sigma_is_the_distance():
    likelihood = likelihoods.HeteroscedasticGaussian(1e-3)
    distance = np.array([[0.03], [0.5], [20.0]])
    log_sigma = 0.5 * np.log(distance**2 - 1e-6)
    parameters = np.concatenate([0 * distance, log_sigma], axis=1)
    slopes = gradient(lambda p: likelihood.log_prob(tensor(distance), p), parameters)
    np.testing.assert_allclose(slopes[:, 0], 1 / distance[:, 0], rtol=1e-4)
    np.testing.assert_allclose(slopes[:, 1], 0, atol=1e-5)


def test_the_density_of_a_pixel_that_never_changes_is_bounded_by_min_sigma():
    likelihood = likelihoods.HeteroscedasticGaussian(0.02)
    best = log_prob(likelihood, np.zeros(3), [[0.0, -10.0], [0.0, -100.0], [0.0, -1e4]])
    np.testing.assert_allclose(best, stats.norm.logpdf(0, 0, 0.02), rtol=2e-6)  # Of float32.


@pytest.mark.parametrize("log_sigma", [-30.0, -1.0, 3.0])
def test_samples_have_a_sigma_for_every_value(log_sigma):
    likelihood = likelihoods.HeteroscedasticGaussian(0.01, seed=0)
    variance = effective_sigma(0.01, log_sigma) ** 2
    samples = check_samples(likelihood, [0.3, log_sigma], 0.3, variance)
    assert stats.kstest(samples, "norm", (0.3, np.sqrt(variance))).pvalue > 1e-3


@pytest.mark.parametrize("min_sigma", [0, -1.0, float("nan"), float("inf")])
def test_a_min_sigma_that_is_not_positive_is_refused(min_sigma):
    with pytest.raises(ValueError, match="`min_sigma` is"):
        likelihoods.HeteroscedasticGaussian(min_sigma)


def test_nan_is_refused_as_data():
    for likelihood in (likelihoods.Gaussian(), likelihoods.HeteroscedasticGaussian()):
        likelihood.check_data(np.array([-1e6, 1e6]))
        with pytest.raises(ValueError, match="NaN or infinite"):
            likelihood.check_data(np.array([0.0, np.inf]))
