import keras
from keras import ops

from keras_gen.dtypes import in_float32
from keras_gen.likelihoods import numerics
from keras_gen.likelihoods.base import elementwise
from keras_gen.likelihoods.bernoulli import Bernoulli


@keras.saving.register_keras_serializable("keras_gen")
class ContinuousBernoulli(Bernoulli):
    """Continuous Bernoulli for every value in [0, 1]: the normalised density, with logits l.

    p(x) = C(l) sigmoid(l)^x sigmoid(-l)^(1 - x) = exp(l x) l / (exp(l) - 1). C(l) makes it
    integrate to 1. As a density it may exceed 1, so log p may be positive; do not compare it with
    that of `Bernoulli`. `mean` is the mean of this density, not sigmoid(l): at l = 2 it is 0.66,
    not 0.88.

    Args:
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = ContinuousBernoulli()
    likelihood.log_prob(keras.ops.full((2, 3), 0.3), keras.ops.zeros((2, 3)))  # 0: uniform
    ```

    Reference:
        Loaiza-Ganem and Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error
        in variational autoencoders": https://arxiv.org/abs/1907.06845
    """

    @elementwise
    def value_log_prob(self, x, parameters):
        logits = parameters
        # The integral of exp(l x) over [0, 1] is exp(l / 2) sinh(l / 2) / (l / 2).
        return (x - 0.5) * logits - numerics.log_sinhc(0.5 * logits)

    def mean(self, parameters):
        return numerics.exponential_mean(in_float32(parameters))

    def sample(self, parameters):
        logits = in_float32(parameters)
        uniform = self.noise(keras.random.uniform, logits)
        # The inverse of F(x) = (1 - exp(-r x)) / (1 - exp(-r)), r = |l|; its limit at 0 is x = u.
        rate = ops.maximum(ops.abs(logits), 1e-6)
        x = -ops.log1p(uniform * ops.expm1(-rate)) / rate
        x = ops.clip(x, 0.0, 1.0)  # Rounding may leave the interval.
        return ops.where(logits < 0, x, 1 - x)
