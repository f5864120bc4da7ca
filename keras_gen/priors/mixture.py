import keras
import numpy as np
from keras import ops

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.configs import ChecksNumbers
from keras_gen.dtypes import in_float32
from keras_gen.priors.base import Prior
from keras_gen.priors.distributions import NormalMixture


@keras.saving.register_keras_serializable("keras_gen")
class Mixture(ChecksNumbers, Prior):
    """p(z) = sum_k w_k N(z; mean_k, diag(var_k)), whose weights are trained with the model.

    The KL is estimated at the one draw of z that the step makes: log q(z|x) - log p(z).

    Args:
        k: Number of components. They start at equal weights, unit variances, and means that are
            drawn from N(0, I).
        seed: Integer or None, of those means.

    Example:

    ```python
    vae = kg.VAE(*networks, prior=Mixture(20))
    ```

    Reference:
        Dilokthanakul et al. (2016), "Deep Unsupervised Clustering with Gaussian Mixture
        Variational Autoencoders": https://arxiv.org/abs/1611.02648
    """

    numbers = {"k": check_integer}

    def __init__(self, k=10, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.k = k
        self.seed = seed

    def build(self, input_shape):
        size = input_shape[-1]
        (stream,) = seeds.split(self.seed, 1)
        means = np.random.default_rng(stream).standard_normal((self.k, size))
        self.logits = self.add_weight(shape=(self.k,), initializer="zeros", name="logits")
        # The initial value: `tf.distribute` gives that of the first process to all, and no other.
        self.mean = self.add_weight(shape=(self.k, size), initializer=means, name="mean")
        self.log_var = self.add_weight(shape=(self.k, size), initializer="zeros", name="log_var")

    def distribution(self, model):
        logits, *components = (
            in_float32(ops.convert_to_tensor(v)) for v in (self.logits, self.mean, self.log_var)
        )
        return NormalMixture(ops.log_softmax(logits), *components)

    def get_config(self):
        return {**super().get_config(), "k": self.k, "seed": self.seed}
