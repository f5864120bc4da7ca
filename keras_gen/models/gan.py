import contextlib

import keras
from keras import ops

from keras_gen import augment as augmentations
from keras_gen import backend, bounds, checks
from keras_gen.arguments import as_sequence
from keras_gen.borrowed import all_layers
from keras_gen.dtypes import in_float32, total_in_float32
from keras_gen.losses import adversarial
from keras_gen.losses import penalties as gradient_penalties
from keras_gen.models.two_players import TwoPlayerModel

# In float16 the output is multiplied by this before its slope is computed: a power of 2, which
# changes no digit.
SLOPE_SCALE = 256.0


@keras.saving.register_keras_serializable("keras_gen")
class GAN(TwoPlayerModel):
    """Generative adversarial network: algorithm 1 of Goodfellow et al. (2014).

    On each batch the discriminator takes `d_steps` gradient steps, each on its own part of
    the batch with fresh noise, and then the generator takes `g_steps`. A step moves the
    trainable variables of one player only; batch norm's moving statistics move whenever their
    network runs in training mode, as in the DCGAN reference loop.

    `fit` logs the mean of each player's loss, `d_loss` and `g_loss`, their sum as `loss`, the
    discriminator's mean raw output on real and fake examples, `d_real` and `d_fake`, the same
    as probabilities, `p_real` and `p_fake`, where the loss has them, and `penalty` where there
    is one. An augmentation adds what its own docstring says.

    With `num_classes` it is the GAN of p(x|y): both players are given the label, equation 2 of
    Mirza and Osindero (2014). A fake example has the label of the real one in its place, and so
    has a penalised point between the two. The networks decide how they use it: `kg.networks`
    build discriminators that concatenate it to the image, or project on it. The generator is
    called on [z, y], the discriminator on [x, y], the model on [z, y]; `fit` needs `(x, y)`, and
    the methods need `y=`, labels (n,) or one for all. With packing, the discriminator's y is
    (batch, packing).

    Args:
        generator: Keras model, z (batch, *latent_shape) -> examples.
        discriminator: Keras model, examples -> one raw output, (batch, 1); no sigmoid, except
            under "least_squares".
        latent_dim: Size of z, which is drawn from N(0, I); or its shape, such as (1, 1, 100), for a
            generator whose input has that.
        loss: An adversarial loss, or a name such as "non_saturating", "hinge".
        penalties: Penalties on the discriminator's gradient, objects or names, or one alone.
        d_steps: Steps of the discriminator on each batch.
        g_steps: Steps of the generator on each batch.
        packing: The discriminator sees this many examples at once, joined on the last axis
            (PacGAN: Lin et al. 2018, https://arxiv.org/abs/1712.04086).
        seed: Integer or None.
        num_classes: None, or the number of classes: labels are integers from 0 on.
        augment: None, or how the images are changed that the discriminator sees: an object of
            `kg.augment`, such as `DiffAugment()`, or the name "diff_augment" or "adaptive".

    Example:

    ```python
    gan = kg.GAN(*kg.networks.dcgan((28, 28, 1), latent_dim=64), latent_dim=64)
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        discriminator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    gan.fit(x, epochs=50)
    images = gan.sample(64)

    networks = kg.networks.dcgan((28, 28, 1), latent_dim=64, num_classes=10)
    gan = kg.GAN(*networks, latent_dim=64, num_classes=10)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    gan.fit(x, y, epochs=50)
    sevens = gan.sample(64, y=7)
    ```

    References:
        Goodfellow et al. (2014), "Generative Adversarial Nets":
        https://arxiv.org/abs/1406.2661
        Mirza and Osindero (2014), "Conditional Generative Adversarial Nets":
        https://arxiv.org/abs/1411.1784
        Miyato and Koyama (2018), "cGANs with Projection Discriminator":
        https://arxiv.org/abs/1802.05637
    """

    numbers = dict.fromkeys(("d_steps", "g_steps"), checks.check_integer)

    def __init__(
        self,
        generator,
        discriminator,
        latent_dim,
        loss="non_saturating",
        penalties=(),
        d_steps=1,
        g_steps=1,
        packing=1,
        seed=None,
        num_classes=None,
        augment=None,
        **kwargs,
    ):
        adversarial_loss = adversarial.get(loss)
        penalties = [gradient_penalties.get(penalty) for penalty in as_sequence(penalties)]
        augment = None if augment is None else augmentations.get(augment)
        if augment is not None and packing != 1:
            raise ValueError(
                f"`augment` changes single images, and packing={packing} joins several. Leave one "
                f"of the two out."
            )
        self.logged = _names(adversarial_loss, penalties, augment)
        super().__init__(generator, discriminator, latent_dim, packing, seed, num_classes, **kwargs)
        # Not `loss`: that is an attribute of Keras's own.
        self.adversarial_loss = adversarial_loss
        self.penalties = penalties
        self.augment = augment
        self.d_steps = d_steps
        self.g_steps = g_steps
        if self.built:
            self._check_discriminator()

    @backend.step
    def train_step(self, data):
        x, y = self.unpack(data)
        parts = list(zip(self.split(x), self.split(y), strict=True))
        d_terms = [self.discriminator_step(*part) for part in parts]
        g_terms = [self.generator_step(*parts[-1]) for _ in range(self.g_steps)]
        return self.update_metrics({**_mean(d_terms), **_mean(g_terms)}, x)

    def discriminator_step(self, x_real, y=None):
        """Descend once with the discriminator on packed examples, with fresh noise."""
        z = self.draw_z(x_real, self.noise)
        x_fake = self.pack(backend.without_gradient(self.fakes, z, y, True))
        points = self.penalised_points(x_real, x_fake, self.noise)
        _, (optimizer, variables) = self.optimized()
        with gradient_penalties.explained() if self.penalties else contextlib.nullcontext():
            output = backend.descend(
                *(optimizer, variables, self.discriminator_objective),
                *(x_real, x_fake, points, y, *self.draw_augmentation(x_real, self.noise)),
            )
        terms = checks.terms_of(output)
        if self.augment is not None:
            self.augment.adapt(terms, ops.shape(x_real)[0])
        return terms

    def generator_step(self, x_real, y=None):
        """Descend once with the generator, with fresh noise; some losses compare with `x_real`."""
        (optimizer, variables), _ = self.optimized()
        output = backend.descend(
            *(optimizer, variables, self.generator_objective),
            *(self.draw_z(x_real, self.noise), x_real, y),
            *self.draw_augmentation(x_real, self.noise),
        )
        return checks.terms_of(output)

    @backend.step
    def test_step(self, data):
        x, y = self.unpack(data, training=False)
        x_real, y = self.pack(x), self.pack(y)
        z = self.draw_z(x_real, self.evaluation_noise)
        x_fake = self.pack(self.fakes(z, y, training=False))
        points = self.penalised_points(x_real, x_fake, self.evaluation_noise)
        draw = self.draw_augmentation(x_real, self.evaluation_noise)
        _, d_terms = self.discriminator_objective(x_real, x_fake, points, y, *draw, training=False)
        _, g_terms = self.generator_objective(z, x_real, y, *draw, training=False)
        return self.update_metrics({**d_terms, **g_terms}, x)

    def discriminator_objective(self, x_real, x_fake, points, y=None, draw=None, *, training=True):
        """Return the discriminator's loss on packed examples, and the scalars to log.

        `draw` is that of the augmentation, for row i of each of the examples.
        """
        real_logits = self.augmented_logits(x_real, y, draw, training)
        added_losses = total_in_float32(self.discriminator.losses)
        fake_logits = self.augmented_logits(x_fake, y, draw, training)
        # A regulariser is in both sums, a layer's `add_loss` in that of its own call.
        added_losses = 0.5 * (added_losses + total_in_float32(self.discriminator.losses))

        loss = ops.mean(self.adversarial_loss.discriminator_loss(real_logits, fake_logits))
        terms = {"d_loss": loss, "d_real": ops.mean(real_logits), "d_fake": ops.mean(fake_logits)}
        probability = self.adversarial_loss.probability
        if probability is not None:
            terms["p_real"] = ops.mean(probability(real_logits))
            terms["p_fake"] = ops.mean(probability(fake_logits))
        if self.augment is not None:
            outputs = real_logits, fake_logits, probability is not None
            terms.update(self.augment.terms(*outputs, self.optimizer.iterations))
        if self.penalties:
            terms["penalty"] = sum(
                ops.mean(penalty.value(self.slope(x, y, training, draw)))
                for penalty, x in zip(self.current_penalties(), points, strict=True)
            )
            loss = loss + terms["penalty"]
        return loss + added_losses, terms

    def generator_objective(self, z, x_real, y=None, draw=None, *, training=True):
        """Return the generator's loss, and the scalars to log; `x_real` and `y` are packed."""
        real_logits = None
        if self.adversarial_loss.needs_real:
            real_logits = self.augmented_logits(x_real, y, draw, training)
        x_fake = self.fakes(z, y, training)
        added_losses = total_in_float32(self.generator.losses)
        fake_logits = self.augmented_logits(self.pack(x_fake), y, draw, training)
        loss = ops.mean(self.adversarial_loss.generator_loss(real_logits, fake_logits))
        return loss + added_losses, {"g_loss": loss}

    def augmented_logits(self, x, y, draw, training):
        """Return `logits` at packed examples, which are augmented unless `draw` is None."""
        return self.logits(x if draw is None else self.augment(x, draw), y, training)

    def slope(self, x, y, training, draw=None):
        """Return the gradient of `augmented_logits` with respect to `x`, in float32."""
        # A float16 of 6e-5 or less loses its digits, and slopes are as small in each pixel.
        scale = SLOPE_SCALE if _has_float16(self.discriminator) else 1.0
        gradient = backend.input_gradient(
            lambda x: scale * self.augmented_logits(x, y, draw, training), x
        )
        return in_float32(gradient) / scale

    def current_penalties(self):
        """Return the penalties with the numbers that their schedules have now."""
        return [penalty.at(self.optimizer.iterations) for penalty in self.penalties]

    def penalised_points(self, x_real, x_fake, noise):
        """Return the points where each penalty needs the slope, drawn from the stream `noise`."""
        return [
            penalty.points(x_real, x_fake, penalty.draw(noise, x_real))
            for penalty in self.current_penalties()
        ]

    def draw_augmentation(self, x_real, noise):
        """Return a tuple of the augmentation's draw for each of `x_real`; () without one."""
        if self.augment is None:
            return ()
        return (self.augment.draw(noise, ops.shape(x_real)[0], self.optimizer.iterations),)

    def draw_z(self, x_real, noise):
        """Return a z for each example in the packs `x_real`: (batch, *latent_shape)."""
        return noise.normal((ops.shape(x_real)[0] * self.packing, *self.latent_shape))

    def split(self, x):
        """Return a packed part of the batch for each step of the discriminator; None for none."""
        if x is None:
            return [None] * self.d_steps
        return [self.pack(x[i :: self.d_steps]) for i in range(self.d_steps)]

    def pack(self, x):
        """Join each `packing` examples in a row on the last axis; a remainder is cut.

        Labels (n,) become (packs, packing), and None stays None.
        """
        if self.packing == 1 or x is None:
            return x
        packs = ops.shape(x)[0] // self.packing
        x = ops.reshape(x[: packs * self.packing], (packs, self.packing, *x.shape[1:]))
        if len(x.shape) == 2:
            return x
        x = ops.moveaxis(x, 1, -2)  # (packs, ..., packing, channels)
        return ops.reshape(x, (packs, *x.shape[1:-2], self.packing * x.shape[-1]))

    def unpack(self, data, training=True):
        """Return `(x, y)` from a batch of `fit`, y None without classes."""
        x, y, _ = self.read_batch(data)
        if x.shape[0] is not None:
            self.check_batch_size(x.shape[0], x.shape[0])
        return self.mark_unknown_labels(x, y)

    def update_metrics(self, terms, x):
        return super().update_metrics({"loss": terms["d_loss"] + terms["g_loss"], **terms}, x)

    def check_data(self, x):
        checks.check_examples(x, self.example_shape, type(self).__name__)
        checks.check_finite(x)
        checks.check_within(x, self.generator_bounds)
        if self.augment is not None:
            self.augment.check_bounds(self.generator_bounds)

    def check_batch_size(self, n, batch_size):
        needed = self.d_steps * self.packing * (1 + checks.compares_examples(self.discriminator))
        for size in {min(n, batch_size), n % batch_size or batch_size}:
            if size < needed:
                way = "change the batch size, or leave the last examples out"
                if n < needed:
                    way = f"pass at least {needed} examples, or build the model with less of these"
                raise ValueError(
                    f"A batch of {size} examples is too small: {needed} are needed, for "
                    f"d_steps={self.d_steps}, packing={self.packing} and the discriminator's "
                    f"layers. There are {n} examples in batches of {batch_size}: {way}."
                )

    def build(self, input_shape):
        super().build(input_shape)
        self._check_discriminator()

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.adversarial_loss),
            "penalties": [keras.saving.serialize_keras_object(p) for p in self.penalties],
            "d_steps": self.d_steps,
            "g_steps": self.g_steps,
            "augment": keras.saving.serialize_keras_object(self.augment),
        }

    def _check_discriminator(self):
        if self.augment is not None:
            self.augment.check(self.example_shape)
        if self.penalties:
            gradient_penalties.check_second_derivatives(self.discriminator)
        x = self.symbolic_inputs(keras.KerasTensor(self.packed_shape()), self.packing)
        bounds.check_raw_outputs(self.discriminator, x, self.adversarial_loss)


def _has_float16(network):
    return any(layer.compute_dtype == "float16" for layer in all_layers(network))


def _names(adversarial_loss, penalties, augment):
    names = ["loss", "d_loss", "g_loss", "d_real", "d_fake"]
    if adversarial_loss.probability is not None:
        names += ["p_real", "p_fake"]
    names += [] if augment is None else augment.logged
    return names + ["penalty"] * bool(penalties)


def _mean(terms):
    return {name: sum(t[name] for t in terms) / len(terms) for name in terms[0]}
