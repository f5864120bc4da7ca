import keras
import numpy as np
from keras import ops

from keras_gen.arguments import check_integer
from keras_gen.dtypes import in_float32
from keras_gen.likelihoods import levels
from keras_gen.likelihoods.base import Likelihood


@keras.saving.register_keras_serializable("keras_gen")
class Categorical(Likelihood):
    """Categorical for every value: a probability for each of the levels k / (num_classes - 1).

    log P(x) = logit_k - log sum_j exp(logit_j). The decoder has `num_classes` logits for each
    value, on the last axis: the logits of level 0 for all channels, then those of level 1, and
    so on. For 256 levels that is 256 times the size of the data, so use a decoder whose last
    layer is a convolution.

    Args:
        num_classes: Number of levels; 256 for 8-bit images, 2 for binary ones.
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = Categorical(num_classes=256)
    networks = kg.networks.conv_vae((28, 28, 1), latent_dim=20, parameters_per_value=256)
    vae = kg.VAE(*networks, likelihood)
    ```

    Reference:
        van den Oord et al. (2016), "Pixel Recurrent Neural Networks", which models pixels this
        way: https://arxiv.org/abs/1601.06759
    """

    domain = (0, 1)

    def __init__(self, num_classes=256, seed=None, **kwargs):
        num_classes = check_integer("num_classes", num_classes, least=2)
        super().__init__(seed=seed, **kwargs)
        self.num_classes = num_classes
        self.parameters_per_value = num_classes

    @property
    def white(self):
        return self.num_classes - 1

    def value_log_prob(self, x, parameters):
        logits = self._logits(parameters)  # (..., num_classes, channels)
        level = ops.cast(levels.round_to_level(x, self.num_classes), "int32")[..., None, :]
        chosen = ops.take_along_axis(logits, level, axis=-2)  # (..., 1, channels)
        return ops.squeeze(chosen, axis=-2) - ops.logsumexp(logits, axis=-2)

    def mean(self, parameters):
        probabilities = ops.softmax(self._logits(in_float32(parameters)), axis=-2)
        x = np.linspace(0, 1, self.num_classes)[:, None]  # (num_classes, 1)
        return ops.sum(probabilities * ops.convert_to_tensor(x, probabilities.dtype), axis=-2)

    def sample(self, parameters):
        logits = ops.swapaxes(self._logits(in_float32(parameters)), -1, -2)
        shape = ops.shape(logits)[:-1]
        logits = ops.reshape(logits, (-1, self.num_classes))
        level = keras.random.categorical(logits, 1, seed=self.seed_generator)
        return ops.reshape(ops.cast(level, logits.dtype), shape) / (self.num_classes - 1)

    def check_data(self, x):
        levels.check_levels(x, self.num_classes, self)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}

    def _logits(self, parameters):
        *batch, outputs = ops.shape(parameters)
        return ops.reshape(parameters, (*batch, self.num_classes, outputs // self.num_classes))
