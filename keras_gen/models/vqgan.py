import keras

from keras_gen.models.discriminator import HasDiscriminator
from keras_gen.models.two_optimizers import NO_OPTIMIZERS
from keras_gen.models.vqvae import VQVAE


@keras.saving.register_keras_serializable("keras_gen")
class VQGAN(HasDiscriminator, VQVAE):
    """VQ-VAE with a discriminator of patches: after Esser et al. (2021), equations 5 to 7.

    On each batch the discriminator takes a gradient step, and then encoder, decoder and codebook
    take one together, on

        L = -log p(x|z_q) + commitment + feature_weight * features
            + adversarial_weight * lambda * g_loss

    where g_loss is the generator's loss on the reconstructions E[x|z_q]. `features` and lambda,
    logged as `adaptive_weight`, are those of `VAEGAN`. The paper's distance is in a network that
    was trained on other pictures, VGG; here it is in the discriminator's own features, so nothing
    is downloaded. `fit_prior` then learns p(c), as for a `VQVAE`.

    `fit` logs what a `VQVAE` does (`loss` is L), and `features`, `g_loss`, `adaptive_weight`,
    `d_loss`, `d_real` and `d_fake`. A step takes 3 to 5 times as long as in a `VQVAE`.

    Args:
        encoder, decoder, quantizer: As in `VQVAE`.
        discriminator, adversarial_weight, feature_weight, adversarial_loss: As in `VAEGAN`.
        likelihood, seed, num_classes, prior: As in `VQVAE`.

    Example:

    ```python
    encoder, decoder = kg.networks.vqvae((28, 28, 1), code_dim=16)
    discriminator = kg.networks.patch_discriminator((28, 28, 1))
    model = kg.VQGAN(encoder, decoder, kg.layers.VectorQuantizer(64), discriminator)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-4))
    model.fit(x, epochs=10)
    ```

    Reference:
        Esser et al. (2021), "Taming Transformers for High-Resolution Image Synthesis":
        https://arxiv.org/abs/2012.09841
    """

    logged = (*VQVAE.logged, *HasDiscriminator.game)
    numbers = {**VQVAE.numbers, **HasDiscriminator.numbers}
    absent = {**VQVAE.absent, **NO_OPTIMIZERS}

    def __init__(
        self,
        encoder,
        decoder,
        quantizer,
        discriminator,
        likelihood="bernoulli",
        adversarial_weight=1.0,
        feature_weight=1.0,
        adversarial_loss="hinge",
        **kwargs,
    ):
        super().__init__(encoder, decoder, quantizer, likelihood, **kwargs)
        self.set_discriminator(discriminator, adversarial_loss, adversarial_weight, feature_weight)

    def parameters_of(self, x, y, training):
        # The codebook follows the vectors of the other step, not these once more.
        z_q, _, _ = self.quantizer(self.encoded(x, y, training), training=False)
        return self.decoded(z_q, y, training)
