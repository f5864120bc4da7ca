import keras
import numpy as np

from keras_gen.models import anomaly, inpainting
from keras_gen.models.base import predict
from keras_gen.models.labels import Labelled, check_num_classes, checked_pair, pair
from keras_gen.models.latents import check_pairs, path
from keras_gen.models.vae import VAE


@keras.saving.register_keras_serializable("keras_gen")
class ConditionalVAE(Labelled, VAE):
    """VAE of p(x|y): encoder and decoder are given the label, Sohn et al. (2015), equation 4.

    -ELBO = -E_q[log p(x|z, y)] + KL(q(z|x, y) || p(z)), a bound on -log p(x|y) in nats. The
    prior of z is N(0, I) whatever the label, so z is left with what the label does not say.

    Args:
        encoder: Keras model, [x, y (batch,)] -> (mean, log_var) of q(z|x, y).
        decoder: Keras model, [z, y] -> parameters of the likelihood.
        num_classes: Labels are integers from 0 to `num_classes` - 1.
        likelihood, beta, seed: As in `VAE`.

    Example:

    ```python
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=10, num_classes=10)
    vae = kg.ConditionalVAE(*networks, num_classes=10)
    vae.compile(optimizer="adam")
    vae.fit(x, y, epochs=10)
    sevens = vae.sample(64, y=7)
    ```

    References:
        Kingma et al. (2014), "Semi-supervised Learning with Deep Generative Models", model M2:
        https://arxiv.org/abs/1406.5298
        Sohn et al. (2015), "Learning Structured Output Representation using Deep Conditional
        Generative Models":
        https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html
    """

    def __init__(self, encoder, decoder, num_classes, likelihood="bernoulli", **kwargs):
        check_num_classes(num_classes)
        self.num_classes = num_classes
        super().__init__(encoder, decoder, likelihood, **kwargs)

    def encoded(self, x, y, training=False):
        return self.encoder([x, y], training=training)

    def decoded(self, z, y, training=False):
        return self.decoder([z, y], training=training)

    def call(self, inputs, training=False):
        """The reconstruction of `(x, y)`, of the shape of x."""
        x, y = pair(inputs)
        mean, _ = self.encoded(x, y, training)
        return self.likelihood.mean(self.decoded(mean, y, training))

    def encode(self, x, y, batch_size=128):
        """(mean, log_var) of q(z|x, y) for NumPy arrays, each (n, latent_dim)."""
        x = self._examples(x)
        return tuple(predict(self.encoder, [x, self.labels(y, len(x))], batch_size))

    def decode(self, z, y, draw_pixels=False, batch_size=128):
        """E[x|z, y] of NumPy arrays; with `draw_pixels` a draw from p(x|z, y).

        Args:
            z: (n, latent_dim).
            y: Labels (n,), or one for all.
        """
        z = self._codes(z)
        return self._decode([z, self.labels(y, len(z))], draw_pixels, batch_size)

    def generate(self, z, y, batch_size=128):
        """E[x|z, y] of NumPy arrays: what a `ConditionalGAN` generates from them."""
        return self.decode(z, y, batch_size=batch_size)

    def sample(self, num_samples, y, draw_pixels=False, batch_size=128):
        """`num_samples` examples of the classes `y`, NumPy: (num_samples,), or one for all."""
        return self.decode(self.user_z(num_samples), y, draw_pixels, batch_size)

    def reconstruct(self, x, y, sample=False, batch_size=128):
        """E[x|z, y] at the mean of q(z|x, y), or with `sample` at a draw from it, NumPy."""
        z = self._code(self.encode(x, y, batch_size), sample)
        return self.decode(z, y, batch_size=batch_size)

    def log_likelihood(
        self,
        x,
        y,
        num_samples=5000,
        proposal="posterior",
        return_standard_error=False,
        chunk_size=5_000,
        verbose=1,
    ):
        """log p(x|y) of every example and its label in nats; else as `VAE.log_likelihood`."""
        x = self._examples(x)
        inputs = [x, self.labels(y, len(x))]
        return self._log_likelihood(
            inputs, num_samples, proposal, return_standard_error, chunk_size, verbose
        )

    def interpolate(self, x_from, x_to, y, steps=8):
        """Examples between pairs that share a label; else as `Autoencoder.interpolate`.

        Args:
            y: Label of each pair, (n,), or one for all.
        """
        check_pairs(steps, x_from=x_from, x_to=x_to)
        y = self.labels(y, len(x_from))
        z = path(self.encode(x_from, y)[0], self.encode(x_to, y)[0], steps, spherical=False)
        x = self.decode(z.reshape(-1, z.shape[-1]), np.repeat(y, steps))
        return x.reshape(len(z), steps, *x.shape[1:])

    def anomaly_score(self, x, y, kind="elbo", num_samples=10, seed=0, batch_size=128):
        """How unlike the training data of its class every example is; else as `VAE.anomaly_score`.

        Args:
            y: Labels (n,), or one for all.
        """
        labels = (self.labels(y, len(x)),)
        return anomaly.score(self, x, labels, kind, num_samples, seed, batch_size)

    def inpaint(self, x, mask, y, method="elbo", num_samples=1, steps=200, batch_size=128):
        """What is hidden, filled in by what is visible and the class; else as `VAE.inpaint`.

        Args:
            y: Labels (n,), or one for all.
        """
        labels = (self.labels(y, len(x)),)
        return inpainting.inpaint(self, x, mask, labels, method, num_samples, steps, batch_size)

    def unpack(self, data):
        """x, its weights and its labels, each (batch,), from what `fit` hands over."""
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, sample_weight = super().unpack(data)
        x, y = checked_pair(x, y, self.num_classes)
        return x, sample_weight, y

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
