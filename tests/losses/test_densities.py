import numpy as np
from keras import ops
from scipy import stats

from keras_gen import losses

random = np.random.default_rng(0)
Z, MEAN = random.normal(size=(2, 5, 4, 3)).astype("float32")
LOG_VAR = random.normal(size=(5, 4, 3)).astype("float32")


def test_log_normal_is_scipys():
    expected = stats.norm.logpdf(Z, MEAN, np.exp(LOG_VAR / 2)).sum(-1)
    actual = losses.log_normal(*map(ops.convert_to_tensor, (Z, MEAN, LOG_VAR)))
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=1e-5)


def test_log_standard_normal_is_scipys():
    actual = losses.log_standard_normal(ops.convert_to_tensor(Z))
    expected = stats.norm.logpdf(Z).sum(-1)
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=1e-5)
