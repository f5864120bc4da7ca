import keras
from keras import ops

from keras_gen import configs
from keras_gen.models.gan import GAN


@keras.saving.register_keras_serializable("keras_gen")
class WGAN(GAN):
    """Wasserstein GAN with weight clipping: algorithm 1 of Arjovsky et al. (2017).

    The critic, which a GAN calls discriminator, makes `d_steps` steps on each batch. After each
    of them its weights are cut to [-clip, clip], so that it is Lipschitz. For a gradient penalty in
    place of the clipping (WGAN-GP), use
    `GAN(..., loss="wasserstein", penalties=[GradientPenalty(10.0)], d_steps=5)`.

    Args:
        generator, discriminator, latent_dim, d_steps, g_steps, packing, seed: As in `GAN`; the
            discriminator is the critic.
        num_classes, augment: As in `GAN`.
        clip: c in the paper, a number or a scalar `keras.Variable`.

    Example:

    ```python
    wgan = kg.WGAN(*kg.networks.mlp_gan((28, 28, 1), latent_dim=64), latent_dim=64)
    wgan.compile()
    wgan.fit(x, batch_size=5 * 64, epochs=50)
    ```

    Reference:
        Arjovsky et al. (2017), "Wasserstein GAN": https://arxiv.org/abs/1701.07875
    """

    numbers = {**GAN.numbers, "clip": configs.check_positive}

    def __init__(
        self,
        generator,
        discriminator,
        latent_dim,
        clip=0.01,
        d_steps=5,
        g_steps=1,
        packing=1,
        seed=None,
        **kwargs,
    ):
        if own := {"loss", "penalties"}.intersection(kwargs):
            raise ValueError(
                f"WGAN has a loss of its own, and it clips in the place of penalties: leave "
                f"`{min(own)}` out, or pass it to GAN."
            )
        super().__init__(
            generator,
            discriminator,
            latent_dim,
            loss="wasserstein",
            d_steps=d_steps,
            g_steps=g_steps,
            packing=packing,
            seed=seed,
            **kwargs,
        )
        self.clip = clip

    def discriminator_step(self, x_real, y=None):
        terms = super().discriminator_step(x_real, y)
        clip = configs.in_step(self.clip)
        for weight in self.discriminator.trainable_variables:
            weight.assign(ops.clip(ops.convert_to_tensor(weight), -clip, clip))
        return terms

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Configure training as `GAN.compile`; by default with the paper's RMSprop(5e-5)."""
        super().compile(
            generator_optimizer or keras.optimizers.RMSprop(5e-5),
            discriminator_optimizer or keras.optimizers.RMSprop(5e-5),
            **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        del config["loss"], config["penalties"]  # They are the model's own.
        return {**config, "clip": configs.serialize(self.clip)}
