import keras
from keras import ops

from keras_gen import bounds
from keras_gen.dtypes import in_float32
from keras_gen.likelihoods.base import Likelihood, check_in_unit_interval, elementwise


@keras.saving.register_keras_serializable("keras_gen")
class Bernoulli(Likelihood):
    """Bernoulli for every value: it is 1 with probability sigmoid(l), with logits l as outputs.

    log p(x) = x log sigmoid(l) + (1 - x) log(1 - sigmoid(l)), which is minus the binary
    cross-entropy. It is often used for grey values in (0, 1) too. For these it is not a density:
    it never exceeds minus the entropy of the pixels, -H(x). Its mean is still right.
    `ContinuousBernoulli` is a density.

    Args:
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = Bernoulli()
    likelihood.log_prob(keras.ops.ones((2, 3)), keras.ops.zeros((2, 3)))  # -3 log 2, twice
    ```

    Reference:
        Kingma and Welling (2014), appendix C.1: https://arxiv.org/abs/1312.6114
    """

    domain = (0, 1)

    @elementwise
    def value_log_prob(self, x, parameters):
        logits = parameters
        # log sigmoid(l) = l - softplus(l) and log(1 - sigmoid(l)) = -softplus(l).
        return x * logits - ops.softplus(logits)

    def mean(self, parameters):
        return ops.sigmoid(in_float32(parameters))

    def sample(self, parameters):
        probabilities = self.mean(parameters)
        uniform = self.noise(keras.random.uniform, probabilities)
        return ops.cast(uniform < probabilities, "float32")

    def check_bounds(self, low, high):
        if low >= -1 or high <= 1:
            raise ValueError(
                f"The decoder {bounds.describe(low, high)}. {type(self).__name__} expects logits, "
                f"which keep it stable and may have any value: leave the activation out."
            )

    def check_data(self, x):
        check_in_unit_interval(x, self)
