import itertools

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import likelihoods
from tests.likelihoods.common import numpy


def test_bernoulli_log_prob_is_scipys_summed_over_pixels():
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((4, 2, 3, 1)).astype("float32")
    x = (rng.random((4, 2, 3, 1)) < 0.5).astype("float32")
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.astype("float64"))))
    log_prob = likelihoods.Bernoulli().log_prob(
        ops.convert_to_tensor(x), ops.convert_to_tensor(logits)
    )
    np.testing.assert_allclose(numpy(log_prob), expected.sum((1, 2, 3)), rtol=1e-5)


def test_bernoulli_probabilities_of_all_binary_images_sum_to_one():
    x = np.array(list(itertools.product([0.0, 1.0], repeat=6)), "float32")  # (64, 6)
    logits = np.tile(np.random.default_rng(1).standard_normal(6).astype("float32"), (64, 1))
    log_prob = likelihoods.Bernoulli().log_prob(
        ops.convert_to_tensor(x), ops.convert_to_tensor(logits)
    )
    np.testing.assert_allclose(np.exp(numpy(log_prob)).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_is_finite_at_extreme_logits(logit):
    x, logits = ops.ones((1, 2)), ops.full((1, 2), logit)
    expected = 0 if logit > 0 else 2 * logit
    assert float(numpy(likelihoods.Bernoulli().log_prob(x, logits))[0]) == expected


def test_bernoulli_never_exceeds_minus_the_entropy_of_grey_pixels():
    x = np.random.default_rng(2).random((3, 5)).astype("float32")
    entropy = stats.bernoulli.entropy(x.astype("float64")).sum(1)
    best = np.log(x / (1 - x))
    for logits in (best, best + 0.1, best - 0.1):
        log_prob = numpy(
            likelihoods.Bernoulli().log_prob(
                ops.convert_to_tensor(x), ops.convert_to_tensor(logits)
            )
        )
        assert np.all(log_prob <= -entropy + 1e-5)
    log_prob = likelihoods.Bernoulli().log_prob(
        ops.convert_to_tensor(x), ops.convert_to_tensor(best)
    )
    np.testing.assert_allclose(numpy(log_prob), -entropy, rtol=1e-5)


def test_half_precision_is_summed_in_float32():
    x, logits = ops.ones((1, 784)), ops.cast(ops.full((1, 784), 0.5), "float16")
    log_prob = likelihoods.Bernoulli().log_prob(x, logits)
    assert keras.backend.standardize_dtype(log_prob.dtype) == "float32"
    np.testing.assert_allclose(numpy(log_prob), [784 * np.log(1 / (1 + np.exp(-0.5)))], rtol=1e-5)
