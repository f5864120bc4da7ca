"""Linear encoder and decoder of a VAE whose optimum has a closed form."""

import math

import keras
from keras import layers, ops

from keras_gen.dtypes import output_dtype
from keras_gen.networks.posterior import check_sizes


def linear_vae(image_shape, latent_dim):
    """Build encoder and decoder of the linear VAE; with a Gaussian likelihood it is PPCA.

    p(x|z) = N(W z + mu, sigma^2 I) and q(z|x) = N(V (x - mu), D). D is diagonal and the same for
    every x, and -V mu is a bias with values of its own. Every local maximum of the ELBO is a global
    one, and equals the log-likelihood of `keras_gen.ppca.PPCA`.

    Args:
        image_shape: Shape of one example, such as (28, 28, 1); any rank, tables too.
        latent_dim: Size of z.

    Returns:
        `(encoder, decoder)`: x -> (mean, log_var), each (batch, latent_dim), and
        z -> parameters, (batch, *image_shape).

    Example:

    ```python
    likelihood = kg.likelihoods.Gaussian(learn_sigma=True)
    vae = kg.VAE(*kg.networks.linear_vae((28, 28, 1), latent_dim=10), likelihood)
    ```

    Reference:
        Lucas et al. (2019), "Don't Blame the ELBO! A Linear VAE Perspective on Posterior
        Collapse": https://arxiv.org/abs/1911.02469
    """
    image_shape, latent_dim = check_sizes(image_shape, latent_dim)
    x = keras.Input(image_shape, name="x")
    h = layers.Flatten(data_format="channels_last")(x)
    mean = layers.Dense(latent_dim, dtype=output_dtype(), name="mean")(h)
    log_var = Constant(dtype=output_dtype(), name="log_var")(mean)
    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(math.prod(image_shape), dtype=output_dtype())(z)
    parameters = layers.Reshape(image_shape, dtype=output_dtype(), name="parameters")(h)
    encoder = keras.Model(x, (mean, log_var), name="encoder")
    return encoder, keras.Model(z, parameters, name="decoder")


@keras.saving.register_keras_serializable("keras_gen")
class Constant(layers.Layer):
    """Replaces every row of the input by a learned vector, (batch, units) -> (batch, units).

    Example:

    ```python
    Constant()(keras.ops.ones((8, 3)))  # (8, 3): zeros before training
    ```
    """

    def build(self, input_shape):
        self.value = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="value")

    def call(self, inputs):
        return ops.zeros_like(inputs) + self.value

    def compute_output_shape(self, input_shape):
        return input_shape
