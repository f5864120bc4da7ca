"""An autoencoder's discriminator: a second player, which tells its examples from the data."""

import keras
from keras import ops

from keras_gen import backend, bounds, checks, configs, likelihoods
from keras_gen.borrowed import all_layers
from keras_gen.dtypes import in_float32, total_in_float32
from keras_gen.losses import adversarial
from keras_gen.models.two_optimizers import TwoOptimizers

# Where the adaptive weight would be larger, the discriminator has no slope to speak of.
LARGEST = 1e6
# A slope is computed of so many times the loss, for float16: a power of 2 changes no digit.
SLOPE_SCALE = 256.0


class HasDiscriminator(TwoOptimizers):
    """Mixin of an autoencoder before its class, whose `autoencode` it adds the game to.

    On each batch the discriminator takes a gradient step, and then encoder, decoder and all else
    do, as the generator. A subclass writes `parameters_of`, and `examples` if not only
    reconstructions play.
    """

    game = ("features", "g_loss", "adaptive_weight", "d_loss", "d_real", "d_fake")  # It logs.
    numbers = dict.fromkeys(("adversarial_weight", "feature_weight"), configs.check_weight)

    def set_discriminator(self, discriminator, loss, adversarial_weight, feature_weight):
        checks.check_networks(discriminator=discriminator)
        self.discriminator = discriminator
        self.adversarial_loss = adversarial.get(loss)
        self.adversarial_weight = adversarial_weight
        self.feature_weight = feature_weight
        if self.built:
            self.check_discriminator()

    def build(self, input_shape):
        super().build(input_shape)
        self.check_discriminator()

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Configure training: an optimizer of the autoencoder, the generator here, and one of D.

        Else as `keras.Model.compile`. The optimizers keep no averages (`use_ema`).
        """
        for optimizer in (generator_optimizer, discriminator_optimizer):
            if getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False):
                raise ValueError(
                    f"`use_ema=True` averages weights, and a {type(self).__name__} makes no use of "
                    f"the averages. Leave it out."
                )
        super().compile(generator_optimizer, discriminator_optimizer, **kwargs)

    def optimized(self):
        theirs = self.discriminator.trainable_variables
        known = {id(variable) for variable in theirs}
        own = [variable for variable in self.trainable_variables if id(variable) not in known]
        return [(self.optimizer.generator, own), (self.optimizer.discriminator, theirs)]

    @backend.step
    def train_step(self, data):
        x, sample_weight, y = self.unpack(data)
        d_terms = self.discriminator_step(x, y)
        (optimizer, variables), _ = self.optimized()
        output = backend.descend(optimizer, variables, self.objective, x, sample_weight, y)
        return self.update_metrics({**checks.terms_of(output), **d_terms}, x)

    def discriminator_step(self, x, y=None):
        """Descend once with the discriminator, on x and on examples made of it."""
        fakes = backend.without_gradient(self.fakes, x, y, True)
        _, (optimizer, variables) = self.optimized()
        output = backend.descend(optimizer, variables, self.discriminator_objective, x, fakes, y)
        return checks.terms_of(output)

    @backend.step
    def test_step(self, data):
        x, sample_weight, y = self.unpack(data, training=False)
        _, terms = self.objective(x, sample_weight, y, training=False)
        fakes = self.fakes(x, y, training=False)
        _, d_terms = self.discriminator_objective(x, fakes, y, training=False)
        return self.update_metrics({**terms, **d_terms}, x)

    def objective(self, x, sample_weight, y=None, *, training=True):
        """Return the loss of all but the discriminator, and the scalars to log."""
        # First, so that the losses which its layers add are those of this step.
        real = backend.without_gradient(self.judged, x, y, training)
        loss, terms, parameters = self.autoencode(x, sample_weight, y, training=training)
        fakes = self.examples(parameters, y, training)
        judged = [self.judged(fake, y, training) for fake in fakes]
        features = ops.mean(_distance(real, judged[0]))
        g_loss = sum(self.game_loss(real, fake) for fake in judged) / len(judged)
        adaptive_weight = self.slopes_ratio(x, parameters, real, y, training)
        loss = loss + self.now("feature_weight") * features
        loss = loss + self.now("adversarial_weight") * adaptive_weight * g_loss
        game = {"features": features, "g_loss": g_loss, "adaptive_weight": adaptive_weight}
        return loss, {**terms, **game, "loss": loss}

    def discriminator_objective(self, x, fakes, y=None, *, training=True):
        """Return the discriminator's loss, the mean over the batches `fakes`, and its scalars."""
        real = self.judged(x, y, training)[0]
        judged = [self.judged(fake, y, training)[0] for fake in fakes]
        losses = [ops.mean(self.adversarial_loss.discriminator_loss(real, fake)) for fake in judged]
        loss = sum(losses) / len(losses)
        d_fake = sum(map(ops.mean, judged)) / len(judged)
        terms = {"d_loss": loss, "d_real": ops.mean(real), "d_fake": d_fake}
        return loss + total_in_float32(self.discriminator.losses), terms

    def slopes_ratio(self, x, parameters, real, y, training):
        """Return lambda: how long the reconstruction's slope is, next to that of the game.

        Both are slopes with respect to the decoder's outputs for a batch. Without a slope of the
        game lambda is 0, and NaN if the slope overflows. No gradient reaches it.
        """

        def reconstruction(parameters):
            nats = -likelihoods.log_prob(self.likelihood, x, parameters)
            fake = self.judged(self.likelihood.mean(parameters), y, training)
            return ops.mean(nats + self.now("feature_weight") * _distance(real, fake))

        def game(parameters):
            fake = self.judged(self.likelihood.mean(parameters), y, training)
            return SLOPE_SCALE * self.game_loss(real, fake)

        parameters = ops.stop_gradient(parameters)
        ours, theirs = (
            backend.mean_over_replicas(ops.sum(ops.square(backend.input_gradient(fn, parameters))))
            for fn in (reconstruction, game)
        )
        theirs = ops.where(ops.isfinite(theirs), theirs, float("nan")) / SLOPE_SCALE**2
        is_flat = theirs * LARGEST**2 <= ours
        ratio = ops.where(is_flat, 0.0, ops.sqrt(ours / ops.where(is_flat, 1.0, theirs)))
        return ops.stop_gradient(ratio)

    def game_loss(self, real, fake):
        """Return the generator's loss of what `judged` gives, the mean over all patches."""
        return ops.mean(self.adversarial_loss.generator_loss(real[0], fake[0]))

    def judged(self, x, y=None, training=False):
        """Return D's raw outputs, (batch * patches, 1), and a list of its features of each x."""
        outputs = self.discriminator(x if y is None else [x, y], training=training)
        logits, *features = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return ops.reshape(in_float32(logits), (-1, 1)), list(map(in_float32, features))

    def fakes(self, x, y, training):
        """Return batches of examples for the discriminator, the first those made of x."""
        return self.examples(self.parameters_of(x, y, training), y, training)

    def parameters_of(self, x, y, training):
        """Return the parameters of p(x|z) at the z of each x."""
        raise NotImplementedError

    def examples(self, parameters, y, training):
        """Return the batches of examples that play against the data, reconstructions first."""
        return [self.likelihood.mean(parameters)]

    def added_losses(self):
        return super().added_losses() - total_in_float32(self.discriminator.losses)

    def now(self, name):
        """Return the number `name` as a step computes with it."""
        return configs.at_step(getattr(self, name), self.optimizer.iterations)

    def check_batch_size(self, n, batch_size):
        super().check_batch_size(n, batch_size)
        if 1 not in {min(n, batch_size), n % batch_size}:
            return
        compares = checks.compares_examples(self.discriminator)
        reason = "compares the examples of a batch" if compares else None
        if keras.config.backend() == "torch":
            layers = all_layers(self.discriminator)
            if any(isinstance(c, keras.layers.Conv2D) and c.filters == 1 for c in layers):
                reason = "has a convolution to one channel, whose gradient PyTorch lacks for one"
        if reason:
            raise ValueError(
                f"The discriminator {reason}, and of {n} examples in batches of {batch_size} one "
                f"is left alone. Change the batch size, or leave that example out."
            )

    def check_discriminator(self):
        """Raise ValueError unless the discriminator takes this model's examples."""
        x = keras.KerasTensor((None, *self.example_shape))
        expected = self.input_shape_of(self.discriminator, x.shape)
        if not checks.fits(x.shape, expected):
            raise ValueError(
                f"The examples have shape {self.example_shape}, but the discriminator expects "
                f"{tuple(expected[1:])}. Build both for the same examples."
            )
        outputs = checks.output_spec(self.discriminator, self.symbolic_inputs(x))
        logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        if logits.shape[-1] != 1:
            raise ValueError(
                f"The discriminator's first output has shape {logits.shape}. Raw outputs are "
                f"expected, (batch, 1), or of patches (batch, height, width, 1)."
            )
        if hasattr(self.discriminator, "outputs"):
            first = keras.Model(self.discriminator.inputs, self.discriminator.outputs[0])
            bounds.check_raw_outputs(first, self.symbolic_inputs(x), self.adversarial_loss)

    def get_config(self):
        return {
            **super().get_config(),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "adversarial_loss": keras.saving.serialize_keras_object(self.adversarial_loss),
            "adversarial_weight": configs.serialize(self.adversarial_weight),
            "feature_weight": configs.serialize(self.feature_weight),
        }


def _distance(real, fake):
    """Return half the squared distance of the features of each example, (batch,), or 0."""
    squares = [ops.square(a - b) for a, b in zip(real[1], fake[1], strict=True)]
    return 0.5 * sum(ops.sum(s, axis=list(range(1, len(s.shape)))) for s in squares)
