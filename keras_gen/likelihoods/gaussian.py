import math

import keras
from keras import ops

from keras_gen import configs
from keras_gen.dtypes import in_float32
from keras_gen.likelihoods import numerics
from keras_gen.likelihoods.base import Likelihood, elementwise


@keras.saving.register_keras_serializable("keras_gen")
class Gaussian(Likelihood):
    """Gaussian for every value, with the decoder's output as mean and one sigma for all.

    log p(x) = -(x - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2. It is a density, which may
    be above 1: with a small sigma, log p(x) and the ELBO are positive.

    Args:
        sigma: Standard deviation, positive, in the units of the data; a number, or a scalar
            `keras.Variable` if it is not learned.
        learn_sigma: True trains log sigma, a weight that starts at log(`sigma`): the sigma-VAE of
            Rybkin et al. (2021), https://arxiv.org/abs/2006.13202. `likelihood.sigma` is then
            what has been learned, a number, and in the config where it started. Within a step it
            is `ops.exp(likelihood.current_log_sigma())`, a tensor with a gradient.
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = Gaussian(sigma=0.1, learn_sigma=True)
    ```

    Reference:
        Kingma and Welling (2014), appendix C.2: https://arxiv.org/abs/1312.6114
    """

    needs_raw_outputs = False  # The means of data in [0, 1] lie in [0, 1].
    numbers = {"sigma": configs.check_positive}

    def __init__(self, sigma=1.0, learn_sigma=False, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.learn_sigma = learn_sigma
        self.log_sigma = self.add_weight(
            shape=(), initializer="zeros", trainable=learn_sigma, name="log_sigma"
        )
        self.sigma = sigma

    @property
    def sigma(self):
        if self.learn_sigma:
            return math.exp(ops.convert_to_numpy(self.log_sigma))
        return self._sigma

    @sigma.setter
    def sigma(self, sigma):
        if self.learn_sigma and isinstance(sigma, keras.Variable):
            raise ValueError(
                "`sigma` is a variable, and with `learn_sigma` the likelihood trains one of its "
                "own. Pass the number that it starts at."
            )
        vars(self)["_sigma"] = sigma
        self.log_sigma.assign(math.log(configs.value_of(sigma)))

    def current_log_sigma(self):
        """Return log sigma, learned or not, as a scalar tensor."""
        if isinstance(self._sigma, keras.Variable):
            return numerics.log_of(self._sigma)
        return ops.convert_to_tensor(self.log_sigma)

    @elementwise
    def value_log_prob(self, x, parameters):
        return _log_normal(x, parameters, self.current_log_sigma())

    def mean(self, parameters):
        return in_float32(parameters)

    def sample(self, parameters):
        mean = self.mean(parameters)
        noise = self.noise(keras.random.normal, mean)
        return mean + ops.exp(self.current_log_sigma()) * noise

    def get_config(self):
        config = {"sigma": configs.serialize(self._sigma), "learn_sigma": self.learn_sigma}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_gen")
class HeteroscedasticGaussian(Likelihood):
    """Gaussian for every value, with a mean and a sigma of its own from the decoder.

    log p(x) = -(x - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2. The decoder gives the
    means and then as many values of log_sigma.

    sigma^2 = min_sigma^2 + exp(2 log_sigma), as if the data had a little noise. Without the first
    term, the density of pixels that are always black grows without bound as their sigma falls
    (Mattei and Frellsen, 2018). With it, gradients are finite for every raw output.

    Args:
        min_sigma: Smallest standard deviation, positive, in the units of the data.
        seed: Integer or None, for `sample`.

    Example:

    ```python
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=20, parameters_per_value=2)
    vae = kg.VAE(*networks, HeteroscedasticGaussian(min_sigma=0.05))
    ```

    References:
        Kingma and Welling (2014), appendix C.2: https://arxiv.org/abs/1312.6114
        Mattei and Frellsen (2018), "Leveraging the Exact Likelihood of Deep Latent Variable
        Models": https://arxiv.org/abs/1802.04826
    """

    parameters_per_value = 2
    numbers = {"min_sigma": configs.check_positive}

    def __init__(self, min_sigma=0.01, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.min_sigma = min_sigma

    def value_log_prob(self, x, parameters):
        return _log_normal(x, *self._mean_and_log_sigma(parameters))

    def mean(self, parameters):
        mean, _ = self._mean_and_log_sigma(in_float32(parameters))
        return mean

    def sample(self, parameters):
        mean, log_sigma = self._mean_and_log_sigma(in_float32(parameters))
        noise = self.noise(keras.random.normal, mean)
        return mean + ops.exp(log_sigma) * noise

    def get_config(self):
        return {**super().get_config(), "min_sigma": configs.serialize(self.min_sigma)}

    def _mean_and_log_sigma(self, parameters):
        mean, log_sigma = ops.split(parameters, 2, axis=-1)
        log_var = numerics.soft_floor(2 * log_sigma, 2 * numerics.log_of(self.min_sigma))
        return mean, 0.5 * log_var


def _log_normal(x, mean, log_sigma):
    standardised = (x - mean) * ops.exp(-log_sigma)
    return -0.5 * ops.square(standardised) - log_sigma - 0.5 * math.log(2 * math.pi)
