import contextlib
import functools

import keras
import numpy as np
from keras import ops

from keras_gen import bounds, checks, seeds
from keras_gen.arguments import check_latent_dim
from keras_gen.dtypes import in_float32, wide
from keras_gen.export import Signature, samplers
from keras_gen.inference import interpolate_latents, invert, predict
from keras_gen.layers import Noise
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latents import Latents
from keras_gen.models.two_optimizers import NO_OPTIMIZERS, TwoOptimizers
from keras_gen.optimizers import averaged


class TwoPlayerModel(TwoOptimizers, Latents, GenerativeModel):
    """Base class of a generator and a discriminator: two optimizers, and all that generates.

    A subclass writes `train_step`, `test_step` and `check_data`.

    Args:
        generator, discriminator, latent_dim, packing, seed, num_classes: As in `GAN`.
    """

    absent = (
        dict.fromkeys(
            ("encode", "log_likelihood"),
            "a GAN has neither an encoder nor a density; kg.VAE has both. `invert` finds a z.",
        )
        | NO_OPTIMIZERS
    )

    def __init__(
        self, generator, discriminator, latent_dim, packing, seed, num_classes=None, **kwargs
    ):
        checks.check_networks(generator=generator, discriminator=discriminator)
        packing = checks.check_integer("packing", packing)
        super().__init__(num_classes=num_classes, **kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = check_latent_dim(latent_dim)
        self.packing = packing
        self.seed = seed
        # Three streams: evaluating or drawing pictures must not move the noise of training.
        self.noise, self.evaluation_noise, self.user_noise = (
            Noise(stream, dtype=wide(self.variable_dtype)) for stream in seeds.split(seed, 3)
        )
        if all(hasattr(network, "input_shape") for network in (generator, discriminator)):
            self._fit_together()
            # Not `self.build`: that would lock the model, and a subclass could add no layers.
            self.built = True

    def optimized(self):
        """Return each player's optimizer and the variables that it moves; a subclass may add some.

        ```python
        class InfoGAN(kg.GAN):  # With a network q of its own, which its generator's steps train.
            def optimized(self):
                (optimizer, variables), discriminator = super().optimized()
                return [(optimizer, variables + self.q.trainable_variables), discriminator]
        ```
        """
        return [
            (self.optimizer.generator, self.generator.trainable_variables),
            (self.optimizer.discriminator, self.discriminator.trainable_variables),
        ]

    def fakes(self, z, y=None, training=False):
        """Return the generator's examples in float32 or wider; labels `y` may be packed."""
        inputs = z if y is None else [z, ops.reshape(y, (-1,))]
        return in_float32(self.generator(inputs, training=training))

    def logits(self, x, y=None, training=False):
        """Return the discriminator's raw outputs on packed examples, (packs, 1), as `fakes`."""
        return in_float32(self.discriminator(x if y is None else [x, y], training=training))

    def call(self, inputs, training=False):
        z, y = self.split_labels(inputs)
        return self.fakes(z, y, training)

    def as_input(self, x, kind=None):
        return checks.check_latents(x, self.latent_dim)

    def generate(self, z, ema=False, batch_size=128, *, y=None):
        """Return examples from a NumPy array z (n, *latent_shape), NumPy.

        `ema=True` uses the generator's averaged weights, as its optimizer keeps them
        (`use_ema=True`).
        """
        z = checks.check_latents(z, self.latent_dim)
        y = self.labels(y, len(z))
        with self.generating_weights(ema):
            return predict(self.generator, z if y is None else [z, y], batch_size)

    def sample(self, num_samples, ema=False, batch_size=128, *, y=None, seed=None):
        """Return `num_samples` examples from the model, NumPy: `generate` with z from N(0, I).

        An integer `seed` gives the same z each time, on every backend, and leaves the streams of
        noise as they are.
        """
        z = self.draw_latents(num_samples, seed=seed)
        with seeds.seeded(self, seed):  # A generator may draw noise of its own.
            return self.generate(z, ema, batch_size, y=y)

    def draw_latents(self, num_samples, *, seed=None):
        """Return draws from N(0, I), NumPy (num_samples, *latent_shape), as `sample`."""
        num_samples = checks.check_integer("num_samples", num_samples)
        return self.user_noise.array((num_samples, *self.latent_shape), seed)

    def interpolate(self, z_from, z_to, steps=8, spherical=True, ema=False, *, y=None):
        """Return examples between pairs of z: see `kg.inference.interpolate_latents`.

        Between real examples: `gan.interpolate(gan.invert(x_from), gan.invert(x_to))`.
        """
        return interpolate_latents(self, z_from, z_to, steps, spherical, y, ema=ema)

    def invert(self, x, y=None, *, ema=False, **options):
        """Return the z of the generated example nearest to each: see `kg.inference.invert`."""
        return invert(self, x, y, ema=ema, **options)

    def reconstruct(self, x, y=None, *, ema=False, **options):
        """Return the generated example nearest to each, in the shape of `x`, NumPy.

        `options` are those of `invert`, whose time it takes.
        """
        x, y = self.whole(x, y)
        return self.generate(self.invert(x, y, ema=ema, **options), ema, y=y)

    def anomaly_score(self, x, y=None, **options):
        """Return the mean squared error of the nearest generated examples, (n,), NumPy.

        Higher is stranger: the generator makes nothing that is unlike the training data. It is not
        in nats, and other models have other values. `options` are those of `invert`.

        Reference:
            Schlegl et al. (2017), "Unsupervised Anomaly Detection with Generative Adversarial
            Networks to Guide Marker Discovery", its residual loss, squared:
            https://arxiv.org/abs/1703.05921
        """
        x, y = self.whole(x, y)
        errors = np.square(x - self.reconstruct(x, y, **options))
        return errors.reshape(len(x), -1).mean(axis=1)

    def export(self, filepath, format="tf_saved_model", verbose=True, overwrite=False, ema=False):
        """Write files as `kg.export.export`; `ema=True` uses the generator's averaged weights."""
        with self.generating_weights(ema):
            return super().export(filepath, format, verbose, overwrite)

    def signatures(self):
        z = keras.InputSpec(shape=(None, *self.latent_shape), dtype="float32", name="z")
        x = keras.InputSpec(shape=self.packed_shape(), dtype="float32", name="x")
        has_labels = self.num_classes is not None
        signatures = {
            "generate": Signature(lambda z, *y: {"x": self.fakes(z, *y)}, [z, *self.label_specs()])
        }
        if not self._is_own("draw_latents"):  # Else these would draw others than `sample`.
            signatures |= samplers(self.user_noise, self.latent_shape, self.fakes, has_labels)
        if not checks.compares_examples(self.discriminator):  # Else outputs depend on a batch.
            signatures["discriminate"] = Signature(
                lambda x, *y: {"logits": self.logits(x, *y)}, [x, *self.label_specs(self.packing)]
            )
        return signatures

    def build(self, input_shape):
        self._fit_together(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "latent_dim": self.latent_dim,
            "packing": self.packing,
            "seed": self.seed,
        }

    def packed_shape(self):
        """Return the shape of what the discriminator sees, (None, ..., packing * channels)."""
        *shape, channels = self.example_shape
        return None, *shape, channels * self.packing

    @functools.cached_property
    def generator_bounds(self):
        """Bounds of the generator's examples, (0, 1) or (-1, 1); None if they are not known."""
        z = self.symbolic_inputs(keras.KerasTensor((None, *self.latent_shape)))
        return bounds.known_bounds(*bounds.output_bounds(self.generator, z))

    def value_bounds(self):
        return vars(self).get("generator_bounds")  # Measured when the first data are checked.

    def generating_weights(self, ema):
        """Return a context in which the generator has its averaged weights if `ema`."""
        if not ema:
            return contextlib.nullcontext()
        optimizer = self.optimizer.generator if self.compiled else None
        return averaged(optimizer, self.optimized()[0][1] if self.compiled else ())

    def _fit_together(self, input_shape=None):
        networks = self.generator, self.discriminator
        first, second = (getattr(network, "output_shape", None) for network in networks)
        if first == (None, 1) and second not in (None, first):
            raise ValueError(
                f"The networks are in the wrong order: {self.generator.name!r} gives one number "
                f"for each example, as a discriminator does. Pass the generator first."
            )
        z = keras.KerasTensor((None, *self.latent_shape))
        expected = self.input_shape_of(self.generator, z.shape)
        if not checks.fits(z.shape, expected):
            fitting = check_latent_dim([size or 1 for size in expected[1:]])
            raise ValueError(
                f"`latent_dim` is {self.latent_dim}, but the generator expects z of shape "
                f"{expected[1:]}. Pass latent_dim={fitting}."
            )
        x = checks.output_of(self.generator, self.symbolic_inputs(z), "generator")
        self.example_shape = tuple(x.shape[1:])
        packed = self.packed_shape()
        expected = tuple(self.input_shape_of(self.discriminator, packed))
        if expected != packed:
            raise ValueError(
                f"The generator's examples have shape {x.shape[1:]}, {self.packing} packed "
                f"{packed[1:]}, but the discriminator expects {expected[1:]}. Build both for the "
                f"same examples and packing={self.packing}."
            )
        inputs = self.symbolic_inputs(keras.KerasTensor(packed), self.packing)
        logits = checks.output_of(self.discriminator, inputs, "discriminator")
        if tuple(logits.shape) != (None, 1):
            raise ValueError(
                f"The discriminator's output has shape {logits.shape}. One raw output for each "
                f"example is expected, (batch, 1): end it in a `Dense(1)`, or that of patches in "
                f"a `GlobalAveragePooling2D()`."
            )
