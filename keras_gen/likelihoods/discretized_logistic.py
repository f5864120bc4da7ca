import math

import keras
import numpy as np
from keras import ops

from keras_gen import configs
from keras_gen.arguments import check_integer
from keras_gen.dtypes import in_float32
from keras_gen.likelihoods import levels, numerics
from keras_gen.likelihoods.base import Likelihood

THRESHOLDS_AT_ONCE = 16


@keras.saving.register_keras_serializable("keras_gen")
class DiscretizedLogistic(Likelihood):
    """Discretised logistic: each value is rounded to the nearest level k / (num_levels - 1).

    P(x) = F(x + h) - F(x - h), F(t) = sigmoid((t - mean) / scale), where h is half the distance
    between levels. The lowest level includes everything below it, and the highest everything
    above. The decoder gives the means, in the units of x, and then the log scales. P is a
    probability: -log P / (D log 2) is the bits per dimension of the literature, with D values in
    an example.

    scale = min_scale + exp(log_scale). So gradients stay finite for any small exp(log_scale), and
    every raw output gives a finite log P. `mean` is E[x] of the rounded variable, an exact sum
    over the levels; it lies in [0, 1].

    Args:
        num_levels: Number of levels; 256 for 8-bit images.
        min_scale: Smallest scale, positive, in the units of x. The default is close to PixelCNN++,
            which has exp(-7) for data in [-1, 1].
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = DiscretizedLogistic()
    networks = kg.networks.conv_vae((32, 32, 3), latent_dim=64, parameters_per_value=2)
    vae = kg.VAE(*networks, likelihood)
    ```

    References:
        Kingma et al. (2016), "Improving Variational Inference with Inverse Autoregressive Flow":
        https://arxiv.org/abs/1606.04934
        Salimans et al. (2017), "PixelCNN++", section 2.1: https://arxiv.org/abs/1701.05517
    """

    parameters_per_value = 2
    domain = (0, 1)
    numbers = {"min_scale": configs.check_positive}

    def __init__(self, num_levels=256, min_scale=5e-4, seed=None, **kwargs):
        num_levels = check_integer("num_levels", num_levels, least=2)
        super().__init__(seed=seed, **kwargs)
        self.num_levels = num_levels
        self.min_scale = min_scale

    @property
    def white(self):
        return self.num_levels - 1

    def value_log_prob(self, x, parameters):
        mean, log_scale = self._mean_and_log_scale(parameters)
        level = 1 / (self.num_levels - 1)
        # The two edges of the level and its width, in units of the scale.
        inverse_scale = ops.exp(-log_scale)
        upper = ((x - mean) + 0.5 * level) * inverse_scale
        lower = ((x - mean) - 0.5 * level) * inverse_scale
        log_width = math.log(level) - log_scale
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(-(u - l))), which avoids the
        # difference of nearly equal numbers. The lowest and highest level lack one edge each.
        half = 0.5 * ops.exp(log_width)
        log_difference = log_width - half + numerics.log_sinhc(half)  # log(1 - exp(-width))
        lowest, highest = x < 0.5 * level, x > 1 - 0.5 * level
        return (
            ops.where(highest, 0.0, -ops.softplus(-upper))
            + ops.where(lowest, 0.0, -ops.softplus(lower))
            + ops.where(ops.logical_or(lowest, highest), 0.0, log_difference)
        )

    def mean(self, parameters):
        mean, log_scale = self._mean_and_log_scale(in_float32(parameters))
        # E[k] is the sum of P(k > j) over all j, a few at a time to bound the memory.
        mean, inverse_scale = mean[..., None], ops.exp(-log_scale)[..., None]
        top = self.num_levels - 1
        expected = 0.0
        for start in range(0, top, THRESHOLDS_AT_ONCE):
            j = np.arange(start, min(start + THRESHOLDS_AT_ONCE, top))
            thresholds = ops.convert_to_tensor((j + 0.5) / top, dtype=mean.dtype)
            exceeds = ops.sigmoid((mean - thresholds) * inverse_scale)
            expected = expected + ops.sum(exceeds, axis=-1)
        return expected / top

    def sample(self, parameters):
        mean, log_scale = self._mean_and_log_scale(in_float32(parameters))
        uniform = self.noise(keras.random.uniform, mean)
        logistic = ops.log(uniform) - ops.log1p(-uniform)
        x = mean + ops.exp(log_scale) * logistic
        return levels.round_to_level(x, self.num_levels) / (self.num_levels - 1)

    def check_data(self, x):
        levels.check_levels(x, self.num_levels, self)

    def get_config(self):
        config = {"num_levels": self.num_levels, "min_scale": configs.serialize(self.min_scale)}
        return {**super().get_config(), **config}

    def _mean_and_log_scale(self, parameters):
        mean, log_scale = ops.split(parameters, 2, axis=-1)
        return mean, numerics.soft_floor(log_scale, numerics.log_of(self.min_scale))
