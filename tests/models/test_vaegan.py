"""What the game of VAEGAN and VQGAN adds; its updates are in test_golden_vaegan.py."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

BOTH = pytest.mark.parametrize("build", [tiny.vaegan, tiny.conditional_vqgan], ids=tiny.name)


def compiled(model):
    model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
    return model


def logs_of(model, x, y=None):
    return model.evaluate(x, y, batch_size=len(x), return_dict=True, verbose=0)


@BOTH
def test_the_loss_is_the_sum_that_the_docstring_says(build):
    model = compiled(build())
    model.adversarial_weight, model.feature_weight = 0.3, 2.0
    logs = logs_of(model, tiny.examples(model), tiny.labels(model))
    rest = logs["kl"] if "kl" in logs else logs["commitment"]
    game = 0.3 * logs["adaptive_weight"] * logs["g_loss"] + 2 * logs["features"]
    np.testing.assert_allclose(logs["loss"], logs["reconstruction"] + rest + game, rtol=1e-5)


@BOTH
def test_the_adaptive_weight_takes_out_the_scale_of_the_discriminator(build):
    """With the loss -D(x) a D ten times as steep has a tenth of the weight, and the same share."""
    shares = []
    for scale in (1.0, 10.0):
        keras.utils.set_random_seed(0)
        model = build()
        x = model.discriminator.inputs
        logits, *features = model.discriminator.outputs
        scaled = keras.Model(x, [keras.layers.Rescaling(scale)(logits), *features])
        config = {**model.get_config(), "adversarial_loss": "wasserstein"}
        config["discriminator"] = keras.saving.serialize_keras_object(scaled)
        copy = compiled(type(model).from_config(config))
        copy.set_weights(model.get_weights())
        logs = logs_of(copy, tiny.examples(copy), tiny.labels(copy))
        shares.append([logs["adaptive_weight"], logs["adaptive_weight"] * logs["g_loss"]])
    np.testing.assert_allclose(shares[1][0], shares[0][0] / 10, rtol=1e-4)
    np.testing.assert_allclose(shares[1][1], shares[0][1], rtol=1e-4)


def test_without_its_weights_the_game_leaves_training_as_it_was():
    """With both at 0 a VAEGAN trains as the VAE of the same networks."""
    trained = []
    for kind in (kg.VAEGAN, kg.VAE):
        keras.utils.set_random_seed(0)
        networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
        if kind is kg.VAE:
            model = kg.VAE(*networks, seed=1)
            model.compile(keras.optimizers.SGD(0.01))
        else:
            off = {"adversarial_weight": 0.0, "feature_weight": 0.0}
            model = compiled(kg.VAEGAN(*networks, tiny.patches(), seed=1, **off))
        mean = ops.zeros((8, 3))  # Of each draw, as the two take different numbers of them.
        model.sampling.noise = lambda shape, eps=mean: eps
        model.train_on_batch(tiny.images(8))
        trained.append([np.array(w) for w in (model.encoder.get_weights())])
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_regulariser_of_the_discriminator_is_in_its_loss_alone():
    losses = {}
    for l2 in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        x = keras.Input(tiny.IMAGE_SHAPE)
        regulariser = keras.regularizers.L2(l2)
        h = keras.layers.Dense(1, kernel_regularizer=regulariser)(keras.layers.Flatten()(x))
        networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
        model = compiled(kg.VAEGAN(*networks, keras.Model(x, h), seed=1))
        losses[l2] = logs_of(model, tiny.images(8))["loss"]
        before = model.discriminator.get_weights()[0]
        model.train_on_batch(tiny.images(8))
        losses[l2, "moved"] = before - model.discriminator.get_weights()[0]
    np.testing.assert_allclose(losses[0.5], losses[0.0], rtol=1e-6)
    # d/dw of l2 w^2, times the rate .01.
    difference = losses[0.5, "moved"] - losses[0.0, "moved"]
    np.testing.assert_allclose(difference, 0.01 * 2 * 0.5 * before, atol=1e-6)


def test_the_codebook_follows_the_vectors_of_a_batch_once():
    model = compiled(tiny.conditional_vqgan())
    x, y = tiny.examples(model, 8), tiny.labels(model, 8)
    model.train_on_batch(x, y)  # Which places the codebook.
    before = [np.array(ops.convert_to_numpy(w)) for w in model.quantizer.non_trainable_weights]
    again = compiled(tiny.conditional_vqgan())
    again.set_weights(model.get_weights())
    z = again.encoder([ops.convert_to_tensor(x), ops.convert_to_tensor(y, "int32")], training=True)
    again.quantizer(z, training=True)
    model.train_on_batch(x, y)
    after = [np.array(ops.convert_to_numpy(w)) for w in model.quantizer.non_trainable_weights]
    expected = [np.array(ops.convert_to_numpy(w)) for w in again.quantizer.non_trainable_weights]
    assert any(np.any(a != b) for a, b in zip(after, before, strict=True))
    for a, b in zip(after, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


FALLING = keras.optimizers.schedules.PolynomialDecay(-1.0, 4, 0.0)


def network(inputs, outputs, activation=None, **kwargs):
    x = keras.Input(inputs)
    h = keras.layers.Flatten()(x)
    return keras.Model(x, keras.layers.Dense(outputs, activation, **kwargs)(h))


def test_without_a_slope_of_the_game_its_weight_is_0_and_with_an_endless_one_nan():
    for scale, expected in ((0.0, 0.0), (1e30, np.nan)):
        networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
        initializer = keras.initializers.Constant(scale)
        discriminator = network(tiny.IMAGE_SHAPE, 1, kernel_initializer=initializer)
        model = compiled(kg.VAEGAN(*networks, discriminator, adversarial_loss="wasserstein"))
        found = logs_of(model, tiny.images(8))["adaptive_weight"]
        np.testing.assert_array_equal(found, expected)


def test_an_activity_loss_of_the_discriminator_is_in_its_loss_alone():
    losses = []
    for l2 in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        x = keras.Input(tiny.IMAGE_SHAPE)
        h = keras.layers.ActivityRegularization(l2=l2)(keras.layers.Flatten()(x))
        networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
        model = kg.VAEGAN(*networks, keras.Model(x, keras.layers.Dense(1)(h)), seed=1)
        model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
        model.fit(tiny.images(8), batch_size=8, verbose=0)
        losses.append(logs_of(model, tiny.images(8))["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_a_batch_that_a_discriminator_cannot_take_is_refused_before_training():
    x = keras.Input(tiny.IMAGE_SHAPE)
    h = kg.layers.MinibatchStdDev()(x)
    comparing = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(h)))
    networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
    with pytest.raises(ValueError, match="compares the examples of a batch"):
        compiled(kg.VAEGAN(*networks, comparing)).fit(tiny.images(9), batch_size=4, verbose=0)
    model = compiled(tiny.vaegan())
    if keras.config.backend() == "torch":
        with pytest.raises(ValueError, match="whose gradient PyTorch lacks for one"):
            model.fit(tiny.images(9), batch_size=4, verbose=0)
    else:
        model.fit(tiny.images(9), batch_size=4, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("discriminator", "settings", "message"),
    [
        (network((8, 8, 3), 1), {}, "discriminator expects .8, 8, 3.. Build both"),
        (network((8, 8, 1), 2), {}, "Raw outputs are expected, .batch, 1."),
        (None, {}, "Pass a Keras model"),
        (network((8, 8, 1), 1), {"adversarial_weight": -1.0}, "number that is not negative"),
        (network((8, 8, 1), 1), {"feature_weight": FALLING}, "`feature_weight` is -1"),
        (network((8, 8, 1), 1, "sigmoid"), {}, "Hinge expects raw outputs, logits"),
        (network((8, 8, 1), 1), {"dynamic_binarization": True}, "which is grey. Leave it out"),
        (network((8, 8, 1), 1), {"adversarial_loss": "hing"}, "hinge"),
    ],
)
def test_what_cannot_play_is_refused(discriminator, settings, message):
    networks = kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(4, 6))
    with pytest.raises(ValueError, match=message):
        kg.VAEGAN(*networks, discriminator, **settings)


@pytest.mark.once
def test_what_compile_and_fit_cannot_use_is_refused():
    model = tiny.vaegan()
    with pytest.raises(ValueError, match="makes no use of the averages"):
        model.compile(keras.optimizers.Adam(use_ema=True), keras.optimizers.Adam())
    with pytest.raises(ValueError, match="needs two optimizers"):
        model.compile("adam")
    model = compiled(model)
    with pytest.raises(ValueError, match="cannot weight examples"):
        model.fit(tiny.images(8), sample_weight=np.ones(8), verbose=0)
