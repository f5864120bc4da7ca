import keras
from keras import ops

from keras_gen.models.discriminator import HasDiscriminator
from keras_gen.models.two_optimizers import NO_OPTIMIZERS
from keras_gen.models.vae import VAE


@keras.saving.register_keras_serializable("keras_gen")
class VAEGAN(HasDiscriminator, VAE):
    """VAE with a discriminator, which makes its examples sharp: after Larsen et al. (2016).

    On each batch the discriminator takes a gradient step, and then encoder, decoder, prior and
    likelihood take one together, on

        L = -ELBO + feature_weight * features + adversarial_weight * lambda * g_loss

    where g_loss is the generator's loss, half of it on reconstructions and half on decoded draws
    from the prior, both E[x|z]. `features` is half the squared distance between an example and
    its reconstruction in the discriminator's features: -log N(D_l(x) | D_l(E[x|z]), I) without its
    constant, equation 7 of the paper, in nats. lambda, logged as `adaptive_weight`, is the length
    of the slope of the reconstruction (pixels and features) next to that of the game on
    reconstructions, Esser et al. (2021), equation 7, so `adversarial_weight` says what share the
    game has, whatever the data and the likelihood. Theirs are slopes in the decoder's last
    weights; here those in its outputs.

    The paper leaves log p(x|z) of the pixels out, and lets the game reach the decoder alone. Here
    the pixels stay, so that the ELBO bounds log p(x), and all but the discriminator learn from L.

    `fit` logs what a `VAE` does (`loss` is L), and `features`, `g_loss`, `adaptive_weight`,
    `d_loss`, `d_real` and `d_fake`. A step takes four to seven times as long as
    without a discriminator.

    Args:
        encoder: As in `VAE`.
        decoder: As in `VAE`.
        discriminator: Keras model, examples -> raw outputs, (batch, 1), or of patches (batch,
            height, width, 1); or a list of these and of features of any shape, as
            `kg.networks.patch_discriminator` gives. With `num_classes` it is called on [x, y].
        likelihood: As in `VAE`. "gaussian" and `kg.likelihoods.Gaussian(learn_sigma=True)` suit
            images; E[x|z] of DiscretizedLogistic is slow to compute.
        adversarial_weight: Share of the game, not negative: a number, a scalar `keras.Variable`,
            or a Keras `LearningRateSchedule`, read at `optimizer.iterations`, such as
            `kg.schedules.LinearWarmUp`.
        feature_weight: The same, of `features`.
        adversarial_loss: An adversarial loss, or a name such as "hinge", "non_saturating".
        beta, free_bits, seed, num_classes, prior, posterior: As in `VAE`.

    Example:

    ```python
    encoder, decoder = kg.networks.conv_vae((28, 28, 1), latent_dim=20)
    model = kg.VAEGAN(encoder, decoder, kg.networks.patch_discriminator((28, 28, 1)))
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-4))
    model.fit(x, epochs=10)
    images = model.sample(64)
    ```

    References:
        Larsen et al. (2016), "Autoencoding beyond pixels using a learned similarity metric":
        https://arxiv.org/abs/1512.09300
        Esser et al. (2021), "Taming Transformers for High-Resolution Image Synthesis":
        https://arxiv.org/abs/2012.09841
    """

    logged = (*VAE.logged, *HasDiscriminator.game)
    numbers = {**VAE.numbers, **HasDiscriminator.numbers}
    absent = {**VAE.absent, **NO_OPTIMIZERS}

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        likelihood="bernoulli",
        adversarial_weight=1.0,
        feature_weight=1.0,
        adversarial_loss="hinge",
        **kwargs,
    ):
        if kwargs.get("dynamic_binarization"):
            raise ValueError(
                "`dynamic_binarization` makes the data black or white, and the discriminator would "
                "tell them from E[x|z], which is grey. Leave it out."
            )
        super().__init__(encoder, decoder, likelihood, **kwargs)
        self.set_discriminator(discriminator, adversarial_loss, adversarial_weight, feature_weight)

    def parameters_of(self, x, y, training):
        z, _ = self.draw(self.posterior_of(x, y, training), self._sampling(training))
        return self.decoded(z, y, training)

    def examples(self, parameters, y, training):
        """Return two batches of E[x|z]: of these `parameters`, and at draws z from the prior."""
        prior = self.prior.distribution(self)
        noise = self._sampling(training).noise((ops.shape(parameters)[0], prior.noise_size))
        drawn = self.decoded(prior.from_noise(noise), y, training)
        return [self.likelihood.mean(p) for p in (parameters, drawn)]
