"""What is changed after `compile` is used, or refused; a variable is a number that may change."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen import configs, settings
from keras_gen.losses import penalties
from tests.helpers import COMPILED, EAGER, SAME_AS_DEFAULT, every_mode, numpy
from tests.models import tiny

ROWS = np.random.default_rng(0).random((8, 8), dtype="float32")


def compiled(model, mode):
    if hasattr(model, "generator"):
        model.compile(tiny.sgd(), tiny.sgd(), **mode)
    else:
        model.compile(tiny.sgd(), **mode)
    return model


def data(model):
    if hasattr(model, "encoder"):
        return np.round(255 * tiny.images(8)).astype("float32") / 255
    return ROWS


def gan(**kwargs):
    return kg.GAN(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2, seed=1, **kwargs)


def logistic_vae():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (4,), parameters_per_value=2)
    return kg.VAE(*networks, kg.likelihoods.DiscretizedLogistic(min_scale=0.5), seed=1)


@keras.saving.register_keras_serializable("test_compiled")
class Shifted(keras.layers.Layer):
    """A user's layer, without a config of its own."""

    def __init__(self, shift, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, x):
        return x + self.shift


class Loudness(penalties.Penalty):
    """A user's penalty, whose config nobody wrote."""

    def __init__(self, loudness):
        self.loudness = loudness

    def points(self, x_real, x_fake, noise):
        return x_real

    def value(self, gradient):
        return self.loudness + 0.0 * ops.sum(gradient, axis=-1)


def nested_vae():
    inner = keras.Sequential([keras.layers.Flatten(), keras.layers.LeakyReLU(0.1), Shifted(0.0)])
    x = keras.Input(tiny.IMAGE_SHAPE)
    h = inner(x)
    encoder = keras.Model(x, [keras.layers.Dense(2)(h), keras.layers.Dense(2)(h)])
    _, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(4,))
    return kg.VAE(encoder, decoder, seed=1)


def shift_nested(model, shift):
    (layer,) = [layer for layer in model.encoder.layers if isinstance(layer, keras.Sequential)]
    layer.layers[-1].shift = shift


def smooth(model, value):
    model.adversarial_loss.label_smoothing = value


def weigh(model, value):
    model.penalties[0].gamma = value


CHANGES = {
    "beta": (tiny.vae, lambda m, v: setattr(m, "beta", v), (1.0, 50.0)),
    "free_bits": (tiny.vae, lambda m, v: setattr(m, "free_bits", v), (0.0, 20.0)),
    "stddev": (tiny.denoising_vae, lambda m, v: setattr(m, "stddev", v), (0.3, 2.0)),
    "gamma": (lambda: gan(penalties=[kg.losses.R1(1.0)]), weigh, (1.0, 90.0)),
    "label_smoothing": (gan, smooth, (0.0, 0.9)),
    "clip": (tiny.wgan, lambda m, v: setattr(m, "clip", v), (0.1, 0.01)),
    "sigma": (
        lambda: tiny.vae(likelihood=kg.likelihoods.Gaussian(1.0)),
        lambda m, v: setattr(m.likelihood, "sigma", v),
        (1.0, 0.2),
    ),
    "min_scale": (logistic_vae, lambda m, v: setattr(m.likelihood, "min_scale", v), (0.5, 5.0)),
}


def losses(model):
    """The losses of a test and of a training step; SGD then has moved the weights."""
    steps = model.test_on_batch, model.train_on_batch
    return [float(step(data(model), return_dict=True)["loss"]) for step in (*steps, *steps)]


def losses_of_file(saving, folder, mode):
    model = saving.load_model(folder / "model.keras")
    if keras.config.backend() == "tensorflow" and not mode:
        model.run_eagerly = True  # Four steps take less time than tracing two.
    return losses(model)


# A batch at a time.
OTHER_MODES = [mode for mode in (EAGER, COMPILED) if mode is not SAME_AS_DEFAULT]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_number_is_that_of_the_file(name, tmp_path):
    assert_change_is_used(name, {}, tmp_path)


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_a_changed_number_is_used_in_other_modes(mode, tmp_path):
    assert_change_is_used("gamma", mode, tmp_path)


def assert_change_is_used(name, mode, tmp_path):
    build, change, (first, second) = CHANGES[name]
    model = compiled(build(), mode)
    before = losses(model)
    change(model, second)
    model.save(tmp_path / "model.keras")
    changed, of_file = losses(model), losses_of_file(keras.saving, tmp_path, mode)
    np.testing.assert_allclose(changed, of_file, rtol=1e-5)
    assert np.abs(np.subtract(before, changed)).max() > 0.05


@pytest.mark.parametrize("name", CHANGES)
def test_a_variable_is_read_in_each_step_saved_and_restored(name, tmp_path):
    assert_variable_is_used(name, {}, tmp_path)


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_a_variable_is_read_in_other_modes(mode, tmp_path):
    assert_variable_is_used("beta", mode, tmp_path)


def assert_variable_is_used(name, mode, tmp_path):
    build, change, (first, second) = CHANGES[name]
    model, number = compiled(build(), mode), keras.Variable(first)
    weights = len(model.trainable_variables)
    change(model, number)
    before = losses(model)
    number.assign(second)
    model.save(tmp_path / "model.keras")
    changed, of_file = losses(model), losses_of_file(kg.saving, tmp_path, mode)
    np.testing.assert_allclose(changed, of_file, rtol=1e-5)
    assert np.abs(np.subtract(before, changed)).max() > 0.05
    assert float(numpy(number)) == pytest.approx(second)  # No optimizer moved it.
    if name not in ("gamma", "label_smoothing"):
        assert len(model.trainable_variables) == weights


def test_a_variable_and_a_number_are_the_same():
    a = compiled(tiny.vae(beta=3.0, free_bits=0.5), {})
    b = compiled(tiny.vae(beta=keras.Variable(3.0), free_bits=keras.Variable(0.5)), {})
    b.set_weights(a.get_weights())
    np.testing.assert_allclose(losses(a), losses(b), rtol=1e-6)
    b.beta = keras.Variable(3, dtype="int32", trainable=False)
    np.testing.assert_allclose(losses(a), losses(b), rtol=1e-6)
    with pytest.raises(ValueError, match="negative"):
        tiny.vae(beta=keras.Variable(-1.0))
    with pytest.raises(ValueError, match="scalar"):
        tiny.vae(beta=keras.Variable([1.0, 2.0]))
    with pytest.raises(ValueError, match="learn_sigma"):
        kg.likelihoods.Gaussian(keras.Variable(1.0), learn_sigma=True)


def warns_of(match, model):
    """The warning of a step that is traced again and again, where steps are traced."""
    traced = model.jit_compile or keras.config.backend() == "tensorflow"
    if traced and not model.run_eagerly:
        return pytest.warns(UserWarning, match=match)
    return contextlib.nullcontext()  # And warnings are errors.


@every_mode
def test_what_a_callback_changes_before_an_epoch_counts_in_it(mode):
    def anneal(epoch, logs=None):
        vae.beta = 10.0 * epoch

    vae = compiled(tiny.vae(beta=7.0), mode)
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=anneal)
    x = tiny.images(8)
    with warns_of("`VAE.beta` has changed 3 times.*beta=keras.Variable", vae):
        logs = vae.fit(x, epochs=3, validation_data=x, verbose=0, callbacks=[callback]).history
    for prefix in ("", "val_"):
        loss, reconstruction, kl = (
            np.array(logs[prefix + name]) for name in ("loss", "reconstruction", "kl")
        )
        np.testing.assert_allclose(loss, reconstruction + [0.0, 10.0, 20.0] * kl, rtol=1e-5)


@every_mode
def test_steps_of_the_discriminator_change_between_two_fits(mode):
    model = compiled(gan(), mode)
    for model.d_steps in (1, 2):
        model.fit(ROWS, batch_size=4, verbose=0)
    optimizers = model.optimizer.discriminator, model.optimizer.generator
    assert [int(numpy(optimizer.iterations)) for optimizer in optimizers] == [2 + 4, 4]


@every_mode
def test_a_layer_frozen_before_an_epoch_is_refused_before_it_trains(mode):
    def freeze(epoch, logs=None):
        vae.encoder.trainable = epoch < 1
        weights.append(numpy(vae.encoder.weights[0]))

    weights = []
    vae = compiled(tiny.vae(), mode)
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=freeze)
    with pytest.raises(ValueError, match="`trainable` has changed. Compile again"):
        vae.fit(tiny.images(8), epochs=3, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(vae.encoder.weights[0], weights[1])
    vae.compile(tiny.sgd(), **mode)  # As the message advises.
    vae.fit(tiny.images(8), verbose=0)
    np.testing.assert_array_equal(vae.encoder.weights[0], weights[1])


def test_an_attribute_of_a_layer_inside_a_network_inside_the_encoder():
    vae, x = compiled(nested_vae(), {}), tiny.images(8)
    means = []
    for shift in (0.0, 5.0):
        shift_nested(vae, shift)
        vae.test_on_batch(x)
        means.append(vae.encode(x)[0])
        kl = vae.test_on_batch(x, return_dict=True)["kl"]
        eager = compiled(kg.VAE(vae.encoder, vae.decoder, seed=1), {"run_eagerly": True})
        np.testing.assert_allclose(kl, eager.test_on_batch(x, return_dict=True)["kl"], rtol=1e-5)
    kernel = numpy(vae.encoder.layers[-2].kernel)
    np.testing.assert_allclose(means[1] - means[0], [5.0 * kernel.sum(0)] * 8, rtol=1e-3)


def test_the_rate_of_a_dropout_is_read_anew():
    vae, x = compiled(tiny.regular_vae(rate=0.5), {}), tiny.images(8)
    vae.optimizer.learning_rate = 0.0
    vae.train_on_batch(x)
    (dropout,) = [layer for layer in vae.encoder.layers if "dropout" in layer.name]
    dropout.rate = 1.0 - 1e-7  # Of mean and log_var the biases are left, which are 0.
    assert vae.train_on_batch(x, return_dict=True)["kl"] < 1e-6


def test_predict_uses_what_has_changed():
    vae, x = compiled(nested_vae(), {}), tiny.images(8)
    vae.predict(x, verbose=0)
    shift_nested(vae, 5.0)
    np.testing.assert_allclose(vae.predict(x, verbose=0), vae.reconstruct(x), rtol=1e-5)
    np.testing.assert_allclose(vae.predict_on_batch(x), numpy(vae(x)), rtol=1e-5)


def test_an_argument_of_a_users_penalty_and_another_likelihood():
    model = compiled(gan(penalties=[Loudness(1.0)]), {})
    assert float(model.train_on_batch(ROWS, return_dict=True)["penalty"]) == 1.0
    model.penalties[0].loudness = 3.0
    assert float(model.train_on_batch(ROWS, return_dict=True)["penalty"]) == 3.0
    vae, x = compiled(tiny.vae(), {}), tiny.images(8)
    vae.evaluate(x, verbose=0)
    vae.likelihood = kg.likelihoods.Gaussian(0.1)
    loss = vae.evaluate(x, verbose=0, return_dict=True)["reconstruction"]
    expected = vae.likelihood.log_prob(x, ops.convert_to_tensor(vae.reconstruct(x)))
    assert loss == pytest.approx(-float(numpy(expected).mean()), rel=0.5)


def test_a_setting_that_changes_in_a_part_of_a_model_is_named():
    model = compiled(gan(penalties=[kg.losses.R1(1.0)]), {"jit_compile": True})
    for model.penalties[0].gamma in (1.0, 2.0, 3.0):
        model.make_train_function()
    with pytest.warns(UserWarning, match=r"`GAN.penalties\[0\].gamma` has changed 3"):
        model.penalties[0].gamma = 4.0
        model.make_train_function()
    model.penalties[0].gamma = gamma = keras.Variable(3.0)  # As the message advises.
    model.make_train_function()
    gamma.assign(4.0)
    assert not settings.has_changed(model, "train")


def test_beta_becomes_a_schedule_and_a_number_again(tmp_path):
    vae, x = compiled(tiny.vae(), {}), tiny.images(8)
    vae.fit(x, verbose=0)
    for beta in (kg.schedules.LinearWarmUp(2, end=8.0), 2.0):
        vae.beta = beta
        logs = vae.fit(x, epochs=3, batch_size=4, verbose=0).history
        vae.save(tmp_path / "vae.keras")
        loaded = keras.saving.load_model(tmp_path / "vae.keras")
        assert type(loaded.beta) is type(beta)
        end = 8.0 if beta != 2.0 else 2.0
        expected = logs["reconstruction"][-1] + end * logs["kl"][-1]
        assert logs["loss"][-1] == pytest.approx(expected, rel=1e-5)
        with pytest.raises(ValueError, match="not negative"):
            vae.beta = -1.0


class Linear(keras.Model):
    """An encoder that `fit` builds, of which Keras knows no config."""

    def __init__(self, function):
        super().__init__()
        self.function, self.flat = function, keras.layers.Flatten()
        self.mean, self.log_var = keras.layers.Dense(2), keras.layers.Dense(2)

    def call(self, x):
        h = self.function(self.flat(x))
        return self.mean(h), self.log_var(h)


def test_beta_of_a_model_that_cannot_be_saved():
    _, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(4,))
    vae, x = compiled(kg.VAE(Linear(lambda x: x), decoder), {}), tiny.images(8)
    vae.fit(x, verbose=0)
    for vae.beta in (30.0, keras.Variable(7.0)):
        logs = vae.fit(x, verbose=0).history
        expected = logs["reconstruction"][0] + configs.value_of(vae.beta) * logs["kl"][0]
        assert logs["loss"][0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="Pass the schedule to the constructor"):
        vae.beta = kg.schedules.LinearWarmUp(2)
    assert configs.value_of(vae.beta) == 7.0
    vae = kg.VAE(Linear(lambda x: x), decoder, beta=kg.schedules.LinearWarmUp(2))  # As advised.
    compiled(vae, {}).fit(x, verbose=0)
    vae.beta = 2.0
    logs = vae.fit(x, verbose=0).history
    assert logs["loss"][0] == pytest.approx(
        logs["reconstruction"][0] + 2.0 * logs["kl"][0], rel=1e-5
    )


def test_another_loss_another_penalty_and_an_optimizers_clipping_are_used():
    model = compiled(gan(), {})
    model.fit(ROWS, verbose=0)
    model.adversarial_loss = kg.losses.Hinge()
    model.penalties.append(kg.losses.R1(5.0))
    logs = model.fit(ROWS, verbose=0).history
    assert set(logs) == {"loss", "d_loss", "g_loss", "d_real", "d_fake", "penalty"}
    for player in model.optimizer.optimizers:
        player.clipnorm = 1e-12
    before = model.get_weights()
    model.fit(ROWS, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-9)


class Counted(kg.VAE):
    traces = 0

    def objective(self, *args, **kwargs):
        type(self).traces += 1
        return super().objective(*args, **kwargs)


@pytest.mark.parametrize("mode", [COMPILED])
def test_a_step_is_made_again_only_if_something_changed(mode):
    Counted.traces, x = 0, tiny.images(8)
    beta = keras.Variable(1.0)
    vae = compiled(Counted(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (4,)), beta=beta), mode)

    def use():
        before = Counted.traces
        vae.fit(x, epochs=2, validation_data=x, verbose=0)
        vae.evaluate(x, verbose=0)
        vae.train_on_batch(x)
        vae.sample(2)
        return Counted.traces - before

    beta.assign(1.0)  # JAX tells numbers of arrays from those of Python.
    first = use()
    assert use() == 0
    beta.assign(2.0)
    assert use() == 0
    vae.free_bits = 0.1
    assert 0 < use() <= first
    assert use() == 0
