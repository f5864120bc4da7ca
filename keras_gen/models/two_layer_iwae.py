import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, checks
from keras_gen.arguments import as_sequence, check_latent_dim
from keras_gen.dtypes import in_float32
from keras_gen.inference import predict
from keras_gen.losses import densities
from keras_gen.models.iwae import IWAE, log_mean_exp
from keras_gen.posteriors import Normal
from keras_gen.priors import UnitNormal


@keras.saving.register_keras_serializable("keras_gen")
class TwoLayerIWAE(IWAE):
    """`IWAE` with two layers of latents; with `num_samples=1` the VAE of the same networks.

    p(x, z, z_top) = p(x|z) p(z|z_top) p(z_top) and q(z, z_top|x) = q(z|x) q(z_top|z), with the
    `prior` p(z_top), by default N(0, I), and the other densities of latents diagonal normals. The
    bound is L_k of Burda et al. (2016), equation 8; the `kl` that `fit` logs is an estimate for
    k = 1 too, as that between two layers has no closed form.

    z is the layer next to x, and has the place of z in a `VAE`: `encode`, `decode`,
    `reconstruct` and `interpolate` are those of p(x|z) and q(z|x). `sample` starts at z_top. With
    `num_classes` the label goes to p(x|z, y) and q(z|x, y); the top networks have none.

    p(z), the mean of p(z|z_top) over p(z_top), has no closed form. So `anomaly_score(kind="elbo")`
    and `inpaint` by "elbo" and "map" have N(0, I) in its place, whatever the `prior`.
    `log_likelihood` and `anomaly_score(kind="likelihood")` are of the model itself.

    Args:
        encoder, decoder, likelihood, num_samples, seed, num_classes: As in `IWAE`.
        prior: As in `VAE`, of z_top.
        top_encoder: Keras model, z -> (mean, log_var) of q(z_top|z).
        top_decoder: Keras model, z_top -> (mean, log_var) of p(z|z_top).

    Example:

    ```python
    model = kg.TwoLayerIWAE(*kg.networks.burda_two_layer_vae((28, 28, 1)), num_samples=5)
    model.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-4))
    model.fit(x, epochs=10)
    ```

    Reference:
        Burda, Grosse and Salakhutdinov (2016), "Importance Weighted Autoencoders", figure 1 and
        section 5: https://arxiv.org/abs/1509.00519
    """

    def __init__(
        self,
        encoder,
        decoder,
        top_encoder,
        top_decoder,
        likelihood="bernoulli",
        num_samples=1,
        seed=None,
        **kwargs,
    ):
        checks.check_networks(top_encoder=top_encoder, top_decoder=top_decoder)
        super().__init__(encoder, decoder, likelihood, num_samples, seed, **kwargs)
        self.top_encoder = top_encoder
        self.top_decoder = top_decoder
        if self.built:
            self._fit_top()

    def check_posterior(self):
        self.check_normal("A TwoLayerIWAE")

    def objective(self, x, sample_weight, y=None, *, training=True):
        log_p_x, log_p_z, log_q_z = self.log_densities(x, self.num_samples, y, training)
        bound = log_mean_exp(log_p_x + log_p_z - log_q_z)
        return self.terms(bound, log_p_x, log_p_z, log_q_z, sample_weight)

    def log_densities(self, x, num_samples, y=None, training=False):
        """Return log p(x|z), log p(z, z_top), log q(z, z_top|x), tensors (num_samples, batch)."""
        prior = self.prior.distribution(self)  # p(z_top), first, as in `VAE`
        z, log_q = self.draw(
            self.posterior_of(x, y, training, num_samples), self._sampling(training)
        )
        top_mean, top_log_var = _draw_by_draw(self.top_encoder, z, self.latent_shape, training)
        z_top = self._sampling(training)((top_mean, top_log_var))
        return (
            self.log_prob_of_draws(x, z, y, training),
            densities.log_normal(z, *self._below(z_top, training)) + prior.log_prob(z_top),
            log_q + densities.log_normal(z_top, top_mean, top_log_var),
        )

    def prior_draws(self, num_samples, batch):
        z_top = super().prior_draws(num_samples, batch)
        return self.evaluation_sampling(self._below(z_top, training=False))

    def draw_latents(self, num_samples, batch_size=128, *, seed=None):
        """Return draws of z from p(z|z_top) p(z_top) for pictures, (num_samples, *latent_shape)."""
        num_samples = checks.check_integer("num_samples", num_samples)
        self.check_sized()
        noise = self.user_sampling.array((num_samples, self.noise_size), seed)
        noise, eps = np.split(noise, [-self.latent_size], axis=1)
        z_top = backend.without_gradient(super().z_of_noise, ops.convert_to_tensor(noise))
        z_top = ops.convert_to_numpy(z_top).reshape(-1, *self.top_shape)
        mean, log_var = predict(self.top_decoder, z_top, batch_size)
        return mean + np.exp(0.5 * log_var) * eps.reshape(mean.shape)

    @property
    def top_shape(self):
        """Shape of one z_top, a tuple."""
        return as_sequence(self.top_latent_dim)

    @property
    def prior_shape(self):
        return self.top_shape

    def prior_posterior(self, x, y=None):
        mean = super().prior_posterior(x, y).mean[None]
        top = _draw_by_draw(self.top_encoder, mean, self.latent_shape, False)
        return Normal(*(v[0] for v in top))

    def fit_prior(self, *args, **kwargs):
        """Raise ValueError: q(z_top|x) is no normal, and its mean over x no mixture of normals."""
        raise ValueError(
            "A fitted prior needs the normal q(z|x) of each example, and q(z_top|x) of a "
            "TwoLayerIWAE is none. Train it with `prior=kg.priors.Mixture()`."
        )

    def prior_of_z(self):
        """Return N(0, I) in place of p(z), the mean of p(z|z_top) over p(z_top): no closed form."""
        return UnitNormal(self.latent_size)

    @property
    def noise_size(self):
        return super().noise_size + self.latent_size

    def z_of_noise(self, noise):
        noise, eps = noise[:, : -self.latent_size], noise[:, -self.latent_size :]
        z_top = super().z_of_noise(noise)[None]
        mean, log_var = (v[0] for v in self._below(z_top, training=False))
        return mean + ops.exp(0.5 * log_var) * eps

    def encode_top(self, z, batch_size=128):
        """Return (mean, log_var) of q(z_top|z) for a NumPy array z, each (n, *top_shape)."""
        self.check_sized()
        z = checks.check_latents(z, self.latent_dim)
        return tuple(predict(self.top_encoder, z, batch_size))

    def build(self, input_shape):
        super().build(input_shape)
        self._fit_top()

    def build_prior(self):
        """Do nothing: `_fit_top` builds the prior, when the size of z_top is known."""

    def get_config(self):
        return {
            **super().get_config(),
            "top_encoder": keras.saving.serialize_keras_object(self.top_encoder),
            "top_decoder": keras.saving.serialize_keras_object(self.top_decoder),
        }

    def _fit_top(self):
        z = keras.KerasTensor((None, *self.latent_shape))
        z_top = _normal_spec("top_encoder", self.top_encoder, z)
        back = _normal_spec("top_decoder", self.top_decoder, z_top)
        if back.shape != z.shape:
            raise ValueError(
                f"The `top_decoder` gives a z of shape {back.shape[1:]}, but the `decoder` expects "
                f"{self.latent_shape}. Give both the same."
            )
        self.top_latent_dim = check_latent_dim(z_top.shape[1:])
        super().build_prior()

    def _below(self, z_top, training):
        """Return (mean, log_var) of p(z|z_top), as `_draw_by_draw`."""
        return _draw_by_draw(self.top_decoder, z_top, self.top_shape, training)


def _normal_spec(name, network, z):
    expected = getattr(network, "input_shape", z.shape)
    if not checks.fits(z.shape, expected):
        raise ValueError(
            f"The `{name}` expects {expected[1:]}, but is given {z.shape[1:]}. Build the networks "
            f"for one another."
        )
    outputs = checks.output_spec(network, z)
    if not isinstance(outputs, (list, tuple)) or len(outputs) != 2:
        raise ValueError(
            f"The `{name}` gives {checks.describe(outputs)}. End it in two Dense layers: the mean "
            f"and log_var of a normal."
        )
    return outputs[0]


def _draw_by_draw(network, z, shape, training):
    """Return (mean, log_var) of a network at z (num_samples, batch, size), as such vectors too.

    The network is given each z in its `shape`.
    """
    normal = network(ops.reshape(z, (-1, *shape)), training=training)
    sizes = [(z.shape[0], -1, math.prod(v.shape[1:])) for v in normal]
    return tuple(ops.reshape(in_float32(v), size) for v, size in zip(normal, sizes, strict=True))
