import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen import layers, losses
from keras_gen.losses import penalties
from tests.steps import PenaltyStep, double_precision, input_gradient, set_singular_vectors

ALL = [
    losses.GradientPenalty(weight=2.0, target=0.5),
    losses.DRAGAN(weight=2.0, scale=0.7, target=0.5),
    losses.R1(gamma=3.0),
    losses.R2(gamma=3.0),
]


class Recorder:
    """Stands in for the model's draws: notes what was asked for and gives `value`."""

    def __init__(self, value=0.25):
        self.value = value
        self.asked = []

    def uniform(self, shape):
        self.asked.append(("uniform", tuple(int(size) for size in shape)))
        return ops.full(shape, self.value)

    def normal(self, shape):
        self.asked.append(("normal", tuple(int(size) for size in shape)))
        return ops.full(shape, self.value)


@pytest.mark.parametrize(
    "penalty, values",
    [
        # Slopes 5, 1 and 0, over three axes.
        (losses.GradientPenalty(), [160, 0, 10]),
        (losses.GradientPenalty(weight=2.0, target=0.0), [50, 2, 0]),
        (losses.DRAGAN(weight=10.0, target=2.0), [90, 10, 40]),
        (losses.R1(gamma=10.0), [125, 5, 0]),
        (losses.R2(gamma=1.0), [12.5, 0.5, 0]),
    ],
)
def test_penalties_by_hand(penalty, values):
    gradient = np.zeros((3, 2, 2, 2), "float32")
    gradient[0, 0, 1, 0], gradient[0, 1, 0, 1], gradient[1, 1, 1, 1] = 3, -4, 1
    value = ops.convert_to_numpy(penalty.value(ops.convert_to_tensor(gradient)))
    np.testing.assert_allclose(value, values, rtol=1e-5, atol=1e-4)


def test_half_precision_gradients_give_float32_penalties():
    gradient = ops.full((1, 100), 300.0, dtype="float16")  # Its square is infinite in float16.
    value = losses.R1(gamma=2.0).value(gradient)
    np.testing.assert_allclose(ops.convert_to_numpy(value), [9e6], rtol=1e-6)


def test_the_slope_of_a_linear_critic_is_its_weight():
    kernel = np.array([[3.0], [-4.0]], "float32")
    gradient = input_gradient(lambda x: ops.matmul(x, kernel), np.ones((2, 2), "float32"))
    value = losses.GradientPenalty().value(ops.convert_to_tensor(gradient))
    np.testing.assert_allclose(ops.convert_to_numpy(value), [160, 160], rtol=1e-5)  # 10 (5 - 1)^2


@pytest.mark.parametrize("m", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_wgan_gp_with_a_linear_critic_has_slope_one_plus_m_over_two_lambda(m, weight):
    # D(x) = w x between means 0 and m: a parabola in w < 0, so three values give its minimum.
    with double_precision():

        def objective(w):
            real, fake = np.array([-1.0, 1.0]), np.array([-1.0, 1.0]) + m
            gradient = ops.convert_to_tensor(np.array([[w], [w]]))
            loss = losses.Wasserstein().discriminator_loss(
                ops.convert_to_tensor(w * real), ops.convert_to_tensor(w * fake)
            ) + losses.GradientPenalty(weight).value(gradient)
            return float(ops.mean(loss))

        a, b, c = np.polyfit([-1, -2, -3], [objective(w) for w in (-1.0, -2.0, -3.0)], 2)
    assert b / (2 * a) == pytest.approx(1 + m / (2 * weight), rel=1e-9)
    assert b**2 / (4 * a) - c == pytest.approx(m + m**2 / (4 * weight), rel=1e-9)


def test_gradient_penalty_mixes_each_pair_by_one_uniform_number():
    x_real, x_fake = np.ones((3, 2, 2, 1), "float32"), np.zeros((3, 2, 2, 1), "float32")
    random = Recorder()
    losses.GradientPenalty().draw(random, ops.convert_to_tensor(x_real))
    assert random.asked == [("uniform", (3, 1, 1, 1))]
    eps = np.array([0.0, 0.25, 1.0], "float32").reshape(3, 1, 1, 1)
    points = losses.GradientPenalty().points(*map(ops.convert_to_tensor, (x_real, x_fake + 4, eps)))
    np.testing.assert_allclose(ops.convert_to_numpy(points)[:, 0, 0, 0], [4, 3.25, 1])


def test_dragan_perturbs_real_examples_by_the_deviation_of_the_batch():
    x_real = np.array([[-2.0, 2.0], [2.0, -2.0]], "float32")
    random = Recorder(value=1.5)
    penalty = losses.DRAGAN(scale=0.5)
    noise = penalty.draw(random, ops.convert_to_tensor(x_real))
    assert random.asked == [("normal", (2, 2))]
    points = penalty.points(ops.convert_to_tensor(x_real), None, noise)
    np.testing.assert_allclose(ops.convert_to_numpy(points), x_real + 0.5 * 2.0 * 1.5, rtol=1e-6)


def test_r1_is_taken_at_real_and_r2_at_fake_examples_without_noise():
    x_real, x_fake, random = ops.zeros((3, 2)), ops.ones((2, 2)), Recorder()
    for penalty, points in ((losses.R1(), x_real), (losses.R2(), x_fake)):
        assert penalty.draw(random, x_real) is None
        assert penalty.points(x_real, x_fake, None) is points
    assert random.asked == []


def test_gradient_penalty_refuses_different_numbers_of_real_and_fake():
    with pytest.raises(ValueError, match="3 real and 2 fake"):
        losses.GradientPenalty().points(ops.zeros((3, 2)), ops.zeros((2, 2)), ops.zeros((3, 1)))


def test_a_flat_discriminator_has_a_finite_gradient():
    inputs = keras.Input((3,))
    flat = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(inputs))
    x = np.ones((2, 3), "float32")
    for penalty in (losses.GradientPenalty(), losses.DRAGAN()):
        step = PenaltyStep(flat, penalty, x, x, np.zeros_like(x))
        assert step.value() == pytest.approx(10, rel=1e-5)
        for gradient in step.gradient():
            np.testing.assert_allclose(gradient, 0, atol=1e-6)


def around(layer):
    """A small discriminator that is not linear, around one layer, for (4, 4, 2) images."""
    x = keras.Input((4, 4, 2))
    h = keras.layers.Dense(4, activation="tanh")(x)  # At every pixel.
    h = layer(h)
    h = keras.layers.Dense(3, activation="tanh")(keras.layers.Flatten()(h))
    model = keras.Model(x, keras.layers.Dense(1)(h))
    random = np.random.default_rng(2)
    for weight in model.trainable_variables:  # One discriminator on every backend.
        weight.assign(random.normal(scale=0.7, size=weight.shape))
    set_singular_vectors(model)
    return model


def relative_error_of_slope(discriminator, penalty=ALL[0], training=True):
    """The gradient of a penalty along a random direction, against finite differences."""
    random = np.random.default_rng(3)
    shape = (4, *discriminator.input_shape[1:])
    x_real, x_fake, noise = random.normal(size=(3, *shape))
    step = PenaltyStep(discriminator, penalty, x_real, x_fake, noise, training)
    directions = [random.normal(size=v.shape) for v in discriminator.trainable_variables]
    slope = sum(np.sum(g * d) for g, d in zip(step.gradient(), directions, strict=True))
    expected = step.slope(directions)
    assert abs(expected) > 1e-3  # Else nothing would be compared.
    return abs(slope - expected) / abs(expected)


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: type(penalty).__name__)
def test_gradients_of_penalties_agree_with_finite_differences(penalty):
    with double_precision():
        discriminator = around(keras.layers.LeakyReLU())
        assert relative_error_of_slope(discriminator, penalty) < 1e-5


LAYERS = {
    "Conv2D": lambda: keras.layers.Conv2D(3, 3, strides=2, padding="same", activation="tanh"),
    "Conv2DTranspose": lambda: keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
    "MaxPooling2D": lambda: keras.layers.MaxPooling2D(),
    "AveragePooling2D": lambda: keras.layers.AveragePooling2D(2),
    "GlobalAveragePooling2D": lambda: keras.layers.GlobalAveragePooling2D(),
    "UpSampling2D": lambda: keras.layers.UpSampling2D(),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "LayerNormalization of images": lambda: layers.LayerNormalization(axis=[1, 2, 3]),
    "GroupNormalization": lambda: layers.GroupNormalization(groups=2),
    "MinibatchStdDev": lambda: layers.MinibatchStdDev(group_size=2),
    "MinibatchDiscrimination": lambda: keras.Sequential(
        [keras.layers.Flatten(), layers.MinibatchDiscrimination(3, 2)]
    ),
    "SpectralNormalization of Dense": lambda: layers.SpectralNormalization(
        keras.layers.Dense(4, activation="tanh")
    ),
    "SpectralNormalization of Conv2D": lambda: layers.SpectralNormalization(
        keras.layers.Conv2D(3, 2, activation="tanh")
    ),
    "SpectralNormalization of Conv2DTranspose": lambda: layers.SpectralNormalization(
        keras.layers.Conv2DTranspose(2, 3, activation="tanh")
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_penalty_gradients_through_layers_agree_with_finite_differences(layer):
    with double_precision():
        discriminator = around(LAYERS[layer]())
        penalties.check_second_derivatives(discriminator)
        assert relative_error_of_slope(discriminator) < 1e-5


def test_penalty_gradients_are_the_same_compiled():
    stack = keras.Sequential(
        [
            layers.SpectralNormalization(keras.layers.Conv2D(4, 3)),
            layers.BatchNormalization(),
            layers.MinibatchStdDev(),
        ]
    )
    discriminator = around(stack)
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 2)).astype("float32")
    step = PenaltyStep(discriminator, losses.R1(), x)
    step.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=True)
    eager = step.gradient()
    step.compile(optimizer=keras.optimizers.SGD(1.0))
    for gradient, expected in zip(step.gradient(), eager, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


KERAS_LAYERS = {
    "BatchNormalization": lambda: keras.layers.BatchNormalization(),
    "LayerNormalization": lambda: keras.layers.LayerNormalization(),
    "GroupNormalization": lambda: keras.layers.GroupNormalization(groups=2),
    "UpSampling2D": lambda: keras.layers.UpSampling2D(interpolation="bilinear"),
    "Resizing": lambda: keras.layers.Resizing(6, 6),
}


@pytest.mark.parametrize("name", KERAS_LAYERS)
def test_layers_are_refused_exactly_where_their_second_derivative_is_wrong(name):
    with double_precision():
        discriminator = around(keras.Sequential([KERAS_LAYERS[name]()]))
        error = relative_error_of_slope(discriminator)
    if keras.config.backend() == "tensorflow":
        assert error > 1e-4
        replacement = f"keras_gen.layers.{name}" if name.endswith("zation") else "nearest"
        with pytest.raises(ValueError, match=f"a {name} of Keras.*is wrong.*Use .*{replacement}"):
            penalties.check_second_derivatives(discriminator)
    else:
        assert error < 1e-5
        penalties.check_second_derivatives(discriminator)


@pytest.mark.parametrize(
    "penalty",
    [*ALL, losses.R1(kg.schedules.CosineRamp(5))],
    ids=lambda penalty: type(penalty).__name__,
)
def test_a_penalty_survives_serialisation(penalty):
    config = keras.saving.serialize_keras_object(penalty)
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(again) is type(penalty)
    assert again.get_config() == penalty.get_config()


@pytest.mark.parametrize(
    "name, kind, config",
    [
        ("gradient_penalty", losses.GradientPenalty, {"weight": 10.0, "target": 1.0}),
        ("dragan", losses.DRAGAN, {"weight": 10.0, "scale": 0.5, "target": 1.0}),
        ("r1", losses.R1, {"gamma": 10.0}),
        ("r2", losses.R2, {"gamma": 10.0}),
    ],
)
def test_names_give_the_defaults_of_the_papers(name, kind, config):
    penalty = penalties.get(name)
    assert type(penalty) is kind and penalty.get_config() == config
    assert penalties.get(penalty) is penalty


def test_a_scheduled_number_is_read_at_a_step():
    falling = losses.GradientPenalty(weight=kg.schedules.LinearWarmUp(4, 8.0, 0.0), target=0.0)
    costs = [falling.at(step).value(ops.ones((1, 4))) for step in (0, 1, 9)]
    np.testing.assert_allclose([float(ops.convert_to_numpy(c)[0]) for c in costs], [32, 24, 0])


@pytest.mark.parametrize("identifier", ["wgan", None, losses.R1])
def test_get_refuses_what_is_no_penalty_and_lists_the_names(identifier):
    with pytest.raises(ValueError, match="'gradient_penalty'.*'r2'"):
        penalties.get(identifier)


@pytest.mark.parametrize("kind", [losses.R1, losses.R2, losses.GradientPenalty, losses.DRAGAN])
@pytest.mark.parametrize("number", [-1.0, float("nan")])
def test_weights_below_zero_are_refused(kind, number):
    with pytest.raises(ValueError, match="not negative"):
        kind(number)


@keras.saving.register_keras_serializable("tests")
class Halfway(losses.Penalty):
    """Of one's own, without arguments."""

    def points(self, x_real, x_fake, noise):
        return (x_real + x_fake) / 2

    def value(self, gradient):
        return ops.sum(ops.square(gradient), axis=list(range(1, len(gradient.shape))))


def test_a_penalty_of_ones_own_trains_and_is_in_the_file_of_its_gan(tmp_path):
    gan = kg.GAN(*kg.networks.point_gan(hidden=(4,)), latent_dim=2, penalties=[Halfway()], seed=0)
    gan.compile("sgd", "sgd")
    history = gan.fit(np.ones((8, 2), "float32"), verbose=0).history
    assert history["penalty"][0] > 0
    gan.save(tmp_path / "gan.keras")
    (penalty,) = keras.saving.load_model(tmp_path / "gan.keras", safe_mode=True).penalties
    assert type(penalty) is Halfway


class Rigid(keras.layers.Layer):
    """A layer of which the framework takes no gradient, or none twice."""

    def call(self, x):
        if keras.config.backend() == "jax":
            return ops.while_loop(lambda x: ops.sum(x) < 100.0, lambda x: (x + 1.0,), (x,))[0]
        images = ops.reshape(x, (-1, 2, 2, 1))
        if keras.config.backend() == "tensorflow":
            return ops.reshape(ops.image.resize(images, (2, 2), "bicubic"), (-1, 4))
        from torch.nn import attention, functional

        q = ops.moveaxis(images, 3, 1)
        with attention.sdpa_kernel(attention.SDPBackend.FLASH_ATTENTION):
            return ops.reshape(functional.scaled_dot_product_attention(q, q, q), (-1, 4))


def test_a_layer_without_second_derivative_is_explained():
    x = keras.Input((4,))
    discriminator = keras.Model(x, keras.layers.Dense(1)(Rigid()(keras.layers.Dense(4)(x))))
    generator, _ = kg.networks.point_gan((4,), 2, hidden=(4,))
    gan = kg.GAN(generator, discriminator, 2, penalties=["r1"])
    gan.compile("sgd", "sgd")
    before = gan.get_weights()
    with pytest.raises(
        ValueError, match="A penalty needs the discriminator's gradient.*cannot take"
    ):
        gan.fit(np.ones((8, 4), "float32"), verbose=0)
    for old, new in zip(before, gan.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_attention_under_a_penalty_has_its_second_derivative():
    x = keras.Input((4, 4, 1))
    h = keras.layers.Dense(8)(keras.layers.Reshape((16, 1))(x))
    h = h + keras.layers.MultiHeadAttention(2, 4)(h, h)
    out = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(h))
    networks = kg.networks.mlp_gan((4, 4, 1), 4, (8,), (8,))
    gan = kg.GAN(networks[0], keras.Model(x, out), 4, penalties=["r1"], seed=0)
    gan.compile(generator_optimizer="adam", discriminator_optimizer=keras.optimizers.Adam(0.01))
    images = np.random.default_rng(0).random((32, 4, 4, 1), "float32")
    penalties = gan.fit(images, epochs=8, batch_size=8, verbose=0).history["penalty"]
    assert 0 < penalties[-1] < 0.5 * max(penalties)  # Training makes D flatter.
