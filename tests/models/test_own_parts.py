"""Parts that people write themselves: what they give is checked, and the message has the line."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.helpers import every_batch_mode
from tests.models import tiny

ROWS = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")


def vae(kind=kg.VAE, likelihood="gaussian"):
    model = kind(*kg.networks.mlp_vae((6,), 2, (4,)), likelihood=likelihood, seed=0)
    model.compile(keras.optimizers.SGD(0.01))
    return model


class SquaredError(kg.likelihoods.Likelihood):
    axis = None

    def value_log_prob(self, x, parameters):
        values = -ops.square(x - parameters)
        return values if self.axis is None else ops.sum(values, axis=self.axis)

    def mean(self, parameters):
        return parameters


class SummedTooEarly(SquaredError):
    axis = -1


class MeanOverTheBatch(SquaredError):
    def log_prob(self, x, parameters):
        return ops.mean(self.value_log_prob(x, parameters))


class NotSummed(SquaredError):
    def log_prob(self, x, parameters):
        return self.value_log_prob(x, parameters)


@pytest.mark.once
@pytest.mark.parametrize(
    "likelihood, message",
    [
        (SummedTooEarly(), "`value_log_prob` of SummedTooEarly .* one number for each value"),
        (MeanOverTheBatch(), r"`log_prob` of MeanOverTheBatch gives the shape \(\)"),
        (NotSummed(), "`log_prob` of NotSummed .* one number for each example"),
    ],
)
def test_a_likelihood_gives_a_number_for_each_value_or_example(likelihood, message):
    with pytest.raises(ValueError, match=message):
        vae(likelihood=likelihood).train_on_batch(ROWS)


@pytest.mark.once
def test_a_likelihood_without_draws_says_so():
    assert vae(likelihood=SquaredError()).sample(2).shape == (2, 6)
    with pytest.raises(NotImplementedError, match="SquaredError has no `sample`"):
        vae(likelihood=SquaredError()).sample(2, draw_pixels=True)


class LossAlone(kg.VAE):
    def objective(self, *args, **kwargs):
        loss, _ = super().objective(*args, **kwargs)
        return loss


class NothingAtAll(kg.VAE):
    def objective(self, *args, **kwargs):
        super().objective(*args, **kwargs)


class LogsOfOneStep(kg.VAE):
    def train_step(self, data):
        x, *others = self.unpack(data)
        loss = self.objective, x, *others
        return kg.backend.descend(self.optimizer, self.trainable_variables, *loss)[1]


class LossOfEach(kg.VAE):
    def objective(self, x, *args, **kwargs):
        loss, terms = super().objective(x, *args, **kwargs)
        return loss + ops.sum(x, axis=1), terms


class NoLogs(kg.VAE):
    @kg.backend.step
    def train_step(self, data):
        super().train_step(data)


@pytest.mark.parametrize(
    "kind, message",
    [
        (LossAlone, "return loss, terms"),
        (LossOfEach, r"The loss has shape \(8,\)"),
        (NothingAtAll, "The loss is None.*`return loss, terms`"),
        (LogsOfOneStep, r"`fit` would log 0. .*`return self.update_metrics\(terms, x\)`"),
        (NoLogs, r"return self.update_metrics\(terms, x\)"),
    ],
)
def test_a_step_gives_logs_and_an_objective_one_loss_with_its_terms(kind, message):
    with pytest.raises(ValueError, match=message):
        vae(kind).train_on_batch(ROWS)


def test_a_step_of_ones_own_needs_no_decorator():
    class Plain(kg.VAE):
        def train_step(self, data):
            x, *rest = self.unpack(data)
            variables = self.trainable_variables
            _, terms = kg.backend.descend(self.optimizer, variables, self.objective, x, *rest)
            return self.update_metrics({**terms, "twice": 2 * terms["kl"]}, x)

    model = vae(Plain)
    logs = model.train_on_batch(ROWS, return_dict=True)
    assert int(model.optimizer.iterations) == 1
    np.testing.assert_allclose(logs["twice"], 2 * logs["kl"], rtol=1e-6)


class Steps:
    def train_step(self, data):
        x, *rest = self.unpack(data)
        variables = self.trainable_variables
        _, terms = kg.backend.descend(self.optimizer, variables, self.objective, x, *rest)
        return self.update_metrics(terms, x)


def test_a_step_of_a_mixin_needs_no_decorator_either():
    class Mixed(Steps, kg.VAE):
        pass

    model = vae(Mixed)
    model.fit(ROWS, batch_size=4, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert "train_step" not in vars(type("Plain", (kg.VAE,), {}))


def _objective(*parameters):
    line = f"def objective({', '.join(('self', *parameters))}): return 1 / 0"
    exec(line, {}, methods := {})
    return type("Own", (kg.VAE,), methods)


@pytest.mark.once
@pytest.mark.parametrize(
    "parameters",
    [("x",), ("x", "weight"), ("x", "w", "y"), ("x", "w", "y", "more", "*", "training")],
)
def test_an_objective_that_cannot_be_called_is_refused_by_compile(parameters):
    line = r"`def objective\(self, x, sample_weight, y=None, \*, training=True\):`"
    with pytest.raises(ValueError, match=rf"`objective\(self, x.*of Own cannot be.*{line}"):
        vae(_objective(*parameters))


@pytest.mark.once
def test_an_objective_under_a_step_of_its_own_has_any_parameters():
    own = _objective("x")
    own.unpack = lambda self, data, training=True: super(own, self).unpack(data)[:1]
    vae(own)
    vae(_objective("x", "*rest", "**more"))
    networks = kg.networks.point_gan((6,), 2, (4,))

    class Players(kg.GAN):
        def generator_objective(self, z, x_real, y=None, *, training=True):
            return super().generator_objective(z, x_real, y, training=training)

    Players(*networks, latent_dim=2).compile("sgd", "sgd")

    class NoLabels(kg.GAN):
        def discriminator_step(self, x_real):
            return super().discriminator_step(x_real)

    with pytest.raises(ValueError, match=r"`def discriminator_step\(self, x_real, y=None\):`"):
        NoLabels(*networks, latent_dim=2).compile("sgd", "sgd")


def test_a_gradient_outside_a_step_is_refused():
    model = vae()
    with pytest.raises(RuntimeError, match="inside a step. Decorate the `train_step`"):
        kg.backend.descend(model.optimizer, model.trainable_variables, lambda: ops.zeros(()))


@pytest.mark.once
@pytest.mark.parametrize("argument", ["loss", "penalties"])
def test_wgan_has_its_own_loss(argument):
    networks = kg.networks.point_gan((6,), 2, (4,))
    with pytest.raises(ValueError, match=f"leave `{argument}` out"):
        kg.WGAN(*networks, latent_dim=2, **{argument: "r1"})


class Head(kg.VAE):
    """With a layer of its own, and others without weights or that are never called."""

    built_in_init = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head, self.drop = keras.layers.Dense(1), keras.layers.Dropout(0.1)
        if self.built_in_init:
            self.head.build((None, 2))

    def objective(self, x, *args, **kwargs):
        loss, terms = super().objective(x, *args, **kwargs)
        error = ops.mean(ops.square(self.head(self.drop(self.encoder(x)[0])) - x[:, :1]))
        return loss + error, {**terms, "error": error}


class BuiltHead(Head):
    built_in_init = True


def test_a_layer_of_ones_own_is_built_before_training():
    model = vae(Head)
    for train in (lambda: model.fit(ROWS, verbose=0), lambda: model.train_on_batch(ROWS)):
        with pytest.raises(ValueError, match=r"`head`, a Dense .*`self.head.build\(\(None, 2\)\)`"):
            train()
    assert not model.head.built
    model = vae(BuiltHead)  # As advised.
    before = ops.convert_to_numpy(model.head.kernel)
    model.train_on_batch(ROWS)
    model.train_on_batch(ROWS)
    assert np.abs(ops.convert_to_numpy(model.head.kernel) - before).max() > 0


@pytest.mark.once
def test_what_an_optimizer_was_built_for_is_said():
    late = vae(Head)
    late.head.build((None, 2))  # After `compile`.
    first, second = vae(), vae()
    second.compile(first.optimizer)
    for model in (late, second):
        with pytest.raises(ValueError, match="built for others, of another model or of fewer"):
            model.train_on_batch(ROWS)


class Info(kg.GAN):
    """InfoGAN: a network of its own, which no player has."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.q = keras.layers.Dense(2)
        self.q.build((None, 6))

    def generator_objective(self, z, *args, **kwargs):
        loss, terms = super().generator_objective(z, *args, **kwargs)
        return loss + ops.mean(ops.square(self.q(self.generator(z)) - z)), terms


class InfoOfPlayer(Info):
    def optimized(self):
        (optimizer, variables), discriminator = super().optimized()
        return [(optimizer, variables + self.q.trainable_variables), discriminator]


def test_a_network_of_no_player_is_named_and_trains_once_a_player_has_it():
    networks = kg.networks.point_gan((6,), 2, (4,))
    info, trained = Info(*networks, latent_dim=2), InfoOfPlayer(*networks, latent_dim=2)
    info.compile("sgd", "sgd")
    with pytest.warns(UserWarning, match="not change .*kernel, .*belong to no player.*`optimized`"):
        info.check_frozen()
    trained.compile("sgd", keras.optimizers.SGD(0.01))
    before = ops.convert_to_numpy(trained.q.kernel)
    trained.train_on_batch(ROWS)  # Without a warning, which would be an error.
    trained.train_on_batch(ROWS)
    assert np.abs(ops.convert_to_numpy(trained.q.kernel) - before).max() > 0


@pytest.mark.parametrize("layers", [keras.layers, kg.layers])
def test_keras_spectral_normalization_is_replaced_on_torch(layers):
    x = keras.Input((6, 1))
    h = layers.SpectralNormalization(keras.layers.Conv1D(2, 3))(x)
    discriminator = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(h)))
    z = keras.Input((2,))
    generator = keras.Model(z, keras.layers.Reshape((6, 1))(keras.layers.Dense(6)(z)))
    gan = kg.GAN(generator, discriminator, latent_dim=2)
    gan.compile("sgd", "sgd")
    if layers is keras.layers and keras.config.backend() == "torch":
        with pytest.raises(ValueError, match="Use `kg.layers.SpectralNormalization`"):
            gan.train_on_batch(ROWS[..., None])
    elif keras.config.backend() == "torch":
        gan.train_on_batch(ROWS[..., None])


@pytest.mark.parametrize("name", ["compute_loss", "compute_metrics"])
def test_keras_s_hooks_that_no_step_would_call_are_refused_by_compile(name):
    own = type("Own", (kg.VAE,), {name: lambda self, *args, **kwargs: 0.0})
    with pytest.raises(ValueError, match=f"`{name}` of Own is not called: .* by `objective`"):
        vae(own)
    own.train_step = lambda self, data: {"loss": self.compute_loss()}
    vae(type("Owner", (own,), {"train_step": own.train_step}))


class EncoderAlone(kg.VAE):
    """A step on a part of the variables that the optimizer was built for."""

    def train_step(self, data):
        data = self.unpack(data)
        variables = self.encoder.trainable_variables
        _, terms = kg.backend.descend(self.optimizer, variables, self.objective, *data)
        return self.update_metrics(terms, data[0])


@every_batch_mode
def test_an_optimizer_steps_on_a_part_of_its_variables(mode):
    """As on all of those that are left, where the others are frozen."""
    trained = []
    for kind in (EncoderAlone, kg.VAE):
        keras.utils.set_random_seed(2)
        vae = kind(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
        vae.decoder.trainable = kind is EncoderAlone
        before = vae.decoder.get_weights()
        vae.compile(keras.optimizers.Adam(0.01), **mode)
        for _ in range(3):
            vae.train_on_batch(tiny.images(8))
        for a, b in zip(vae.decoder.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)
        trained.append(vae.encoder.get_weights())
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
