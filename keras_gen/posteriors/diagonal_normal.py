import keras
from keras import ops

from keras_gen.losses import densities, divergences
from keras_gen.posteriors.base import Distribution, Posterior


@keras.saving.register_keras_serializable("keras_gen")
class DiagonalNormal(Posterior):
    """q(z|x) = N(mean, diag(exp(log_var))), that of Kingma and Welling (2014): the default.

    The encoder gives mean and log_var, each (batch, d). The KL to N(0, I) is a closed form.

    Example:

    ```python
    vae = kg.VAE(*networks, posterior=DiagonalNormal())
    ```

    Reference:
        Kingma and Welling (2014), "Auto-Encoding Variational Bayes", appendix B:
        https://arxiv.org/abs/1312.6114
    """

    factorises = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def outputs(self, size):
        return {"mean": size, "log_var": size}

    def distribution(self, mean, log_var):
        return Normal(mean, log_var)

    def get_config(self):
        # Keras writes none for a layer that was given a policy, as one that comes from a file.
        return super().get_config()


class Normal(Distribution):
    """q(z|x) = N(mean, diag(exp(log_var)))."""

    def draw(self, noise):
        z = self.mean + ops.exp(0.5 * self.log_var) * noise
        return z, self.log_prob(z)

    def log_prob(self, z):
        return densities.log_normal(z, self.mean, self.log_var)

    def kl_to_standard_normal(self):
        return divergences.kl_of_latents(self.mean, self.log_var)
