import keras
from keras import ops

from keras_gen.dtypes import in_float32
from keras_gen.models.gan import GAN
from keras_gen.models.labels import Labelled, check_num_classes, checked_pair, pair
from keras_gen.models.latents import check_z, path


@keras.saving.register_keras_serializable("keras_gen")
class ConditionalGAN(Labelled, GAN):
    """GAN of p(x|y): both players are given the label, equation 2 of Mirza and Osindero (2014).

    It trains as `GAN` does, algorithm, losses and penalties included. A fake example has the
    label of the real one in its place, and so has a penalised point between the two. How a
    network uses the label is the network's affair: `kg.networks` build discriminators that
    concatenate it to the image, or project on it.

    Args:
        generator: Keras model, [z (batch, latent_dim), y (batch,)] -> examples.
        discriminator: Keras model, [examples, y] -> one raw output, (batch, 1). With packing,
            y is (batch, packing).
        latent_dim: Size of z, which is drawn from N(0, I).
        num_classes: Labels are integers from 0 to `num_classes` - 1.
        loss, penalties, d_steps, g_steps, packing, seed: As in `GAN`.

    Example:

    ```python
    networks = kg.networks.dcgan((28, 28, 1), latent_dim=64, num_classes=10)
    gan = kg.ConditionalGAN(*networks, latent_dim=64, num_classes=10)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    gan.fit(x, y, epochs=50)
    sevens = gan.sample(64, y=7)
    ```

    References:
        Mirza and Osindero (2014), "Conditional Generative Adversarial Nets":
        https://arxiv.org/abs/1411.1784
        Miyato and Koyama (2018), "cGANs with Projection Discriminator":
        https://arxiv.org/abs/1802.05637
    """

    def __init__(self, generator, discriminator, latent_dim, num_classes, **kwargs):
        check_num_classes(num_classes)
        self.num_classes = num_classes
        super().__init__(generator, discriminator, latent_dim, **kwargs)

    def fakes(self, z, y, training=False):
        return in_float32(self.generator([z, ops.reshape(y, (-1,))], training=training))

    def logits(self, x, y, training=False):
        return in_float32(self.discriminator([x, y], training=training))

    def call(self, inputs, training=False):
        """The examples generated from `(z, y)`."""
        return self.fakes(*pair(inputs), training=training)

    def generate(self, z, y, ema=False, batch_size=128):
        """Examples from a NumPy array z (n, latent_dim), NumPy.

        Args:
            z: NumPy array.
            y: Labels (n,), or one for all.
            ema: True uses the generator's averaged weights (`use_ema=True`).
        """
        z = check_z(z, self.latent_dim)
        return self._generate([z, self.labels(y, len(z))], ema, batch_size)

    def sample(self, num_samples, y, ema=False, batch_size=128):
        """`num_samples` examples of the classes `y`, NumPy: (num_samples,), or one for all."""
        return self.generate(self.user_z(num_samples), y, ema, batch_size)

    def interpolate(self, z_from, z_to, y, steps=8, spherical=True, ema=False):
        """Examples between pairs of z that share a label; else as `GAN.interpolate`.

        Args:
            y: Label of each pair, (n,), or one for all.
        """
        z = path(z_from, z_to, steps, spherical)
        y = self.labels(y, len(z)).repeat(steps)
        x = self.generate(z.reshape(-1, z.shape[-1]), y, ema)
        return x.reshape(len(z), steps, *x.shape[1:])

    def unpack(self, data):
        """`(x, y)` from what `fit` hands over."""
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        (x,) = super().unpack(data)
        return checked_pair(x, y, self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
