import numpy as np
import pytest
from scipy import stats

from keras_gen import likelihoods
from tests.likelihoods.common import check_samples, gradient, log_prob, mean, tensor

# (mean, log_scale): inside, at an edge and far outside; narrower than a level and very wide.
PARAMETERS = [
    (0.5, -3.0),
    (0.5, -30.0),
    (0.1234, -7.0),
    (0.0, -2.0),
    (1.0, 0.0),
    (0.501, 5.0),
    (0.7, 30.0),
    (-0.3, -3.0),
    (1.5, -2.0),
    (30.0, 1.0),
]


def levels(n):
    return np.arange(n) / (n - 1)


def scipys_log_prob(likelihood, parameters):
    """By differences of the CDF, or of 1 - CDF above the mean, in float64."""
    n, (loc, log_scale) = likelihood.num_levels, np.asarray(parameters, "float32").astype("float64")
    scale = likelihood.min_scale + np.exp(log_scale)
    edges = (np.arange(n - 1) + 0.5) / (n - 1)
    below = np.concatenate([[0.0], stats.logistic.cdf(edges, loc, scale), [1.0]])
    above = np.concatenate([[1.0], stats.logistic.sf(edges, loc, scale), [0.0]])
    p = np.where(levels(n) < loc, np.diff(below), -np.diff(above))
    with np.errstate(divide="ignore"):
        return np.log(p)


@pytest.mark.parametrize("num_levels", [2, 32, 256])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_probabilities_of_the_levels_sum_to_one_and_have_the_mean(parameters, num_levels):
    likelihood = likelihoods.DiscretizedLogistic(num_levels)
    p = np.exp(log_prob(likelihood, levels(num_levels), parameters))
    # x is in float32, so that (x - mean) / scale has an error of up to 6e-8 / scale.
    tolerance = 2e-6 + 6e-8 / (likelihood.min_scale + np.exp(parameters[1]))
    np.testing.assert_allclose(p.sum(), 1, rtol=tolerance)
    np.testing.assert_allclose(
        mean(likelihood, [parameters]), [p @ levels(num_levels)], atol=tolerance
    )


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_log_prob_is_that_of_scipys_cdf(parameters):
    likelihood = likelihoods.DiscretizedLogistic()
    expected = scipys_log_prob(likelihood, parameters)
    seen = expected > np.log(1e-9)  # Below, the difference has lost its digits.
    assert seen.sum() >= 2
    tolerance = 2e-6 + 6e-8 / (likelihood.min_scale + np.exp(parameters[1]))
    actual = log_prob(likelihood, levels(256), parameters)
    np.testing.assert_allclose(actual[seen], expected[seen], rtol=2e-6, atol=tolerance)


def test_far_tails_fall_by_one_nat_per_scale():
    """There scipy's difference is 0: log P is -distance / scale plus a constant."""
    likelihood = likelihoods.DiscretizedLogistic(min_scale=1e-3)
    far = log_prob(likelihood, levels(256)[[50, 51, 100]], [-2.0, -30.0])
    np.testing.assert_allclose(np.diff(far), -1000 / 255 * np.array([1, 49]), rtol=1e-4)
    width = 1000 / 255
    expected = -1000 * (50 / 255 + 2) + width / 2 + np.log(-np.expm1(-width))
    np.testing.assert_allclose(far[0], expected, rtol=1e-6)


def test_a_tiny_scale_is_certain_and_a_huge_one_splits_between_the_ends():
    likelihood = likelihoods.DiscretizedLogistic(min_scale=1e-5)
    p = np.exp(log_prob(likelihood, levels(256), [100 / 255, -100.0]))
    np.testing.assert_allclose(p, np.arange(256) == 100, atol=1e-6)
    p = np.exp(log_prob(likelihood, levels(256), [100 / 255, 60.0]))
    np.testing.assert_allclose(p[[0, 255]], 0.5, rtol=1e-6)


@pytest.mark.parametrize("log_scale", [20.0, 80.0, 100.0, 1e4])
def test_levels_inside_keep_a_logarithm_and_a_slope_when_the_scale_is_huge(log_scale):
    likelihood = likelihoods.DiscretizedLogistic()
    # F' = 1 / (4 scale) at the centre, over one level of width 1 / 255.
    actual = log_prob(likelihood, [0.2], [0.5, log_scale])
    np.testing.assert_allclose(actual, -np.log(4 * 255) - log_scale, rtol=1e-6)
    x = tensor([[0.2]])
    slopes = gradient(lambda p: likelihood.log_prob(x, p), [[0.5, log_scale]])
    np.testing.assert_allclose(slopes, [[0, -1]], atol=1e-6)


@pytest.mark.parametrize("x", [0.0, 0.2, 1.0])
def test_the_gradient_is_that_of_differences_in_float64(x):
    likelihood = likelihoods.DiscretizedLogistic(min_scale=1e-3)
    k, point, step = round(255 * x), np.float32([0.3, -3.0]).astype("float64"), 1e-5

    def exact(loc, log_scale):
        scale = 1e-3 + np.exp(log_scale)
        upper = stats.logistic.cdf((k + 0.5) / 255, loc, scale) if k < 255 else 1.0
        lower = stats.logistic.cdf((k - 0.5) / 255, loc, scale) if k > 0 else 0.0
        return np.log(upper - lower)

    expected = [
        (exact(*(point + step * e)) - exact(*(point - step * e))) / (2 * step) for e in np.eye(2)
    ]
    slopes = gradient(lambda p: likelihood.log_prob(tensor([[k / 255]]), p), point[None])
    np.testing.assert_allclose(slopes[0], expected, rtol=1e-4)


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_samples_follow_the_probabilities(parameters):
    likelihood = likelihoods.DiscretizedLogistic(seed=0)
    p = np.exp(scipys_log_prob(likelihood, parameters))
    expected = p @ levels(256)
    variance = p @ (levels(256) - expected) ** 2
    samples = check_samples(likelihood, parameters, expected, variance)
    k = samples * 255
    np.testing.assert_allclose(k, np.round(k), atol=1e-4)
    counts = np.bincount(np.round(k).astype(int), minlength=256)
    error = np.sqrt(p * (1 - p) / len(samples))
    assert np.all(np.abs(counts / len(samples) - p) <= 5 * error + 2 / len(samples))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num_levels", [2, 256, 65536])
def test_data_on_the_grid_are_taken(num_levels, dtype):
    k = np.arange(num_levels).astype(dtype)
    likelihood = likelihoods.DiscretizedLogistic(num_levels)
    likelihood.check_data(k / (num_levels - 1))
    likelihood.check_data(np.minimum(k * k.dtype.type(1 / (num_levels - 1)), 1))


@pytest.mark.parametrize(
    "x, num_levels, match",
    [
        (0.5, 256, r"256 values k / 255.*hold 0\.5\. For 8-bit images: .*/ 255.*np\.round\(255"),
        (0.1, 16, r"16 values k / 15, k = 0, \.\.\., 15, .*hold 0\.1\. To round others"),
        (255.0, 256, r"in \[0, 1\], and the data lie in \[0, 255\]. Divide 8-bit images by 255"),
        (-1.0, 256, r"lie in \[-1, 0\]"),
        (np.nan, 256, r"lie in \[nan, nan\].*Remove NaN"),
        (19.0, 20, r"lie in \[0, 19\]. Divide levels from 0 to 19 by 19"),
        (65535.0, 256, r"lie in \[0, 65535\]. Scale all data alike"),
    ],
)
def test_data_off_the_grid_are_refused(x, num_levels, match):
    with pytest.raises(ValueError, match=f"DiscretizedLogistic takes .*{match}"):
        likelihoods.DiscretizedLogistic(num_levels).check_data(np.array([[0.0, x]], "float32"))


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"num_levels": 1}, "`num_levels` is 1"),
        ({"num_levels": 25.5}, "`num_levels` is 25.5"),
        ({"min_scale": 0.0}, "`min_scale` is 0.0"),
        ({"min_scale": float("nan")}, "`min_scale` is nan"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        likelihoods.DiscretizedLogistic(**arguments)
