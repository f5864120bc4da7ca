"""What a network can give is measured: a squashed end is refused, a linear one never."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_gen as kg
from keras_gen.bounds import known_bounds, output_bounds
from tests.models import tiny

INSIDE = {
    "plain": lambda h: h,
    "batch norm": lambda h: layers.BatchNormalization()(h),
    "layer norm": lambda h: layers.LayerNormalization()(h),
    "tanh": lambda h: layers.Activation("tanh")(h),
    # Behind a layer norm the outputs stay near the bias, at every scale of z.
    "mean image": lambda h: layers.LayerNormalization()(h),
}
ENDS = {"sigmoid": (0, 1), "tanh": (-1, 1), "linear": None, "relu": None}


def network(end, inside, outputs=(8, 8, 1), inputs=3):
    z = keras.Input((inputs,))
    h = INSIDE[inside](layers.Dense(16, kernel_initializer=keras.initializers.GlorotUniform(1))(z))
    mean_image = inside == "mean image"
    h = layers.Dense(
        math.prod(outputs),
        activation=end,
        kernel_initializer=keras.initializers.RandomNormal(0, 0.01 if mean_image else 1, seed=2),
        bias_initializer=keras.initializers.Constant(0.5 * mean_image),
    )(h)
    return keras.Model(z, layers.Reshape(outputs)(h))


def bounds_of(model):
    return output_bounds(model, keras.KerasTensor((None, *model.input_shape[1:])))


def encoder():
    return tiny.vae().encoder


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("end", ENDS)
def test_bounds_are_those_of_the_end(end, inside):
    model = network(end, inside)
    low, high = bounds_of(model)
    assert known_bounds(low, high) == ENDS[end]
    if end == "linear":
        assert low < -10 and high > 10
        kg.VAE(encoder(), model)
    else:
        with pytest.raises(ValueError, match=f"(?i)the decoder ends in a {end}.*expects logits"):
            kg.VAE(encoder(), model)
    kg.VAE(encoder(), model, likelihood="gaussian")


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("end", ENDS)
def test_a_discriminator_that_squashes_is_refused_except_under_least_squares(end, inside):
    discriminator = network(end, inside, outputs=(1,), inputs=4)
    generator = network("linear", "plain", outputs=(4,))
    kg.GAN(generator, discriminator, latent_dim=3, loss="least_squares")
    for loss in ("non_saturating", "hinge", "wasserstein", "relativistic"):
        if ENDS[end]:
            with pytest.raises(ValueError, match=f"discriminator ends in a {end}.*raw outputs"):
                kg.GAN(generator, discriminator, latent_dim=3, loss=loss)
        else:
            kg.GAN(generator, discriminator, latent_dim=3, loss=loss)


class Gated(keras.Model):
    """Ends in a linear layer; the sigmoid in the middle is its last attribute."""

    def __init__(self):
        super().__init__()
        self.a, self.out, self.reshape = (
            layers.Dense(16),
            layers.Dense(64),
            layers.Reshape((8, 8, 1)),
        )
        self.gate = layers.Dense(16, activation="sigmoid")

    def call(self, z):
        return self.reshape(self.out(self.a(z) * self.gate(z)))


class Squashed(Gated):
    def call(self, z):
        return ops.sigmoid(super().call(z))


def squashings():
    z = keras.Input((3,))
    flat, reshape = layers.Dense(64), layers.Reshape((8, 8, 1))
    yield "operation", keras.Model(z, ops.sigmoid(reshape(flat(z))))
    inner = keras.Sequential([layers.Dense(64), reshape, layers.Activation("sigmoid")])
    yield "nested", keras.Model(z, inner(z))
    yield "reshaped", keras.Model(z, reshape(layers.Dense(64, activation="sigmoid")(z)))
    rows = layers.TimeDistributed(layers.Dense(8, activation="sigmoid"))
    h = layers.Reshape((8, 3))(layers.Dense(24)(z))
    yield "time-distributed", keras.Model(z, reshape(rows(h)))
    spectral = kg.layers.SpectralNormalization(layers.Dense(64, activation="sigmoid"))
    yield "wrapped", keras.Model(z, reshape(spectral(z)))
    yield "softmax", keras.Model(z, reshape(layers.Softmax()(flat(z))))
    yield "hard sigmoid", keras.Model(z, reshape(keras.activations.hard_sigmoid(flat(z))))
    yield "clipped", keras.Model(z, reshape(ops.clip(flat(z), 0, 1)))
    crop = layers.Cropping2D(1)(layers.Reshape((10, 10, 1))(layers.Dense(100, "sigmoid")(z)))
    yield "cropped", keras.Model(z, crop)
    bits = layers.Rescaling(1 / 255)(layers.Dense(64, "sigmoid")(z))
    yield "rescaled", keras.Model(z, reshape(bits))


def test_a_decoder_that_squashes_in_any_way_is_refused():
    for name, decoder in squashings():
        with pytest.raises(ValueError, match="ends in a sigmoid"):
            kg.VAE(encoder(), decoder)
            print(name)


def test_a_subclassed_decoder_is_measured_when_it_is_built():
    gated = kg.VAE(encoder(), Gated())
    gated.compile("sgd")
    gated.fit(tiny.images(), verbose=0)
    squashed = kg.VAE(encoder(), Squashed())
    squashed.compile("sgd")
    with pytest.raises(ValueError, match="ends in a sigmoid"):
        squashed.fit(tiny.images(), verbose=0)


@pytest.mark.parametrize("likelihood", ["categorical", "discretized_logistic"])
def test_other_likelihoods_refuse_what_stays_in_the_unit_interval(likelihood):
    likelihood = {
        "categorical": kg.likelihoods.Categorical(2),
        "discretized_logistic": kg.likelihoods.DiscretizedLogistic(),
    }[likelihood]
    kg.VAE(encoder(), network("linear", "tanh", (8, 8, 2)), likelihood)
    kg.VAE(encoder(), network("log_softmax", "plain", (8, 8, 2)), likelihood)
    with pytest.raises(ValueError, match="ends in a sigmoid.*raw outputs"):
        kg.VAE(encoder(), network("sigmoid", "tanh", (8, 8, 2)), likelihood)


@pytest.mark.parametrize(
    "networks",
    [kg.networks.mlp_gan, lambda shape, latent_dim: kg.networks.dcgan(shape, latent_dim, (4, 6))],
)
def test_the_generators_of_kg_networks_are_bounded_by_0_and_1(networks):
    generator, discriminator = networks((8, 8, 1), 4)
    assert known_bounds(*bounds_of(generator)) == (0, 1)
    assert known_bounds(*bounds_of(discriminator)) is None
    points, _ = kg.networks.point_gan((2,), 4)
    assert known_bounds(*bounds_of(points)) is None


def test_measuring_changes_no_weight_and_no_seed():
    x = keras.Input((3,))
    h = layers.Dropout(0.5, seed=1)(layers.BatchNormalization()(x))
    h = layers.Dense(4, kernel_regularizer="l2")(kg.layers.Sampling(seed=1)((h, h)))
    model = keras.Model(x, layers.ActivityRegularization(0.1)(h))
    model(np.ones((2, 3)))
    before = [ops.convert_to_numpy(v).copy() for v in model.variables]
    low, high = bounds_of(model)
    assert low < -10 and high > 10
    after = [ops.convert_to_numpy(v) for v in model.variables]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


class Fastidious(layers.Layer):
    def call(self, x):
        if ops.convert_to_numpy(ops.max(ops.abs(x))) > 50:
            raise RuntimeError("Too large.")
        return x


def test_of_a_network_that_fails_at_such_inputs_nothing_is_said():
    model = keras.Sequential([Fastidious()])
    model.built = True
    inputs = keras.KerasTensor((None, 3))
    assert output_bounds(model, inputs) == (-math.inf, math.inf)
    constant = keras.Sequential([layers.Rescaling(0.0, 0.5)])
    constant.built = True
    assert output_bounds(constant, inputs) == (-math.inf, math.inf)


def frozen_decoder():
    decoder = Gated()
    decoder.a.trainable = False
    return decoder


def test_a_frozen_decoder_is_measured_with_random_weights_too():
    encoder, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (16,), activation="tanh")
    decoder.trainable = False
    kg.VAE(encoder, decoder)  # With its own small weights it would seem to end in a tanh.


def test_building_keeps_frozen_layers_frozen():
    vae = kg.VAE(encoder(), frozen_decoder())
    vae.compile("sgd")
    vae.fit(tiny.images(), epochs=2, verbose=0)
    assert not vae.decoder.a.trainable and vae.decoder.out.trainable
    assert not any(v is w for v in vae.decoder.a.weights for w in vae.trainable_variables)
    assert len(vae.decoder.trainable_variables) == 4

    vae = kg.VAE(encoder(), Gated())
    vae.decoder.trainable = False
    vae.decoder.out.trainable = True
    vae.compile("sgd")
    vae.fit(tiny.images(), verbose=0)
    trained = {id(v) for v in vae.trainable_variables}
    assert {id(v) for v in vae.decoder.weights} & trained == {
        id(v) for v in vae.decoder.out.weights
    }


# A GAN's data.


def gan(end="sigmoid"):
    generator = network(end, "plain")
    discriminator = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
    model = kg.GAN(generator, discriminator, latent_dim=3)
    model.compile("sgd", "sgd")
    return model


UNFIT = {
    ("sigmoid", "eight bits"): "x / 255",
    ("tanh", "eight bits"): "x / 127.5 - 1",
    ("sigmoid", "centred"): "(x + 1) / 2",
    ("sigmoid", "standardised"): "np.interp",
    ("tanh", "standardised"): "np.interp",
    ("sigmoid", "four bits"): "np.interp",
}


def data(kind):
    x = tiny.images(64)
    return {
        "eight bits": np.floor(256 * x),
        "four bits": np.floor(16 * x),
        "centred": 2 * x - 1,
        "standardised": ((x - x.mean()) / x.std() * 2).astype("float32"),
        "unit": x,
    }[kind]


@pytest.mark.parametrize("end, kind", UNFIT)
def test_a_gan_refuses_data_that_its_generator_cannot_make(end, kind):
    model, x = gan(end), data(kind)
    weights = [ops.convert_to_numpy(w).copy() for w in model.weights]
    for call in (
        lambda: model.fit(x, verbose=0),
        lambda: model.fit((batch for batch in [x]), verbose=0),
        lambda: model.fit(data("unit"), validation_data=x, verbose=0),
        lambda: model.train_on_batch(x),
        lambda: model.evaluate(x, verbose=0),
    ):
        with pytest.raises(ValueError, match="generator gives values in.*Scale them") as error:
            call()
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, ops.convert_to_numpy(after))
    # The advice, followed.
    advice = str(error.value).split("`")[1]
    assert advice.startswith(UNFIT[end, kind])
    model.fit(eval(advice, {"x": x, "np": np}).astype("float32"), verbose=0)  # noqa: S307


@pytest.mark.parametrize(
    "end, kind",
    [("linear", "standardised"), ("relu", "eight bits"), ("tanh", "unit"), ("tanh", "centred")],
)
def test_a_gan_takes_data_that_its_generator_can_make(end, kind):
    gan(end).fit(data(kind), verbose=0)
