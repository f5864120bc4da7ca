import keras
import numpy as np
import pytest
from keras import ops
from scipy import integrate, stats

import keras_gen as kg
from tests.models import tiny


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def linear(inputs, outputs, kernel=None, **kwargs):
    x = keras.Input((inputs,))
    network = keras.Model(x, keras.layers.Dense(outputs, **kwargs)(x))
    if kernel is not None:
        network.set_weights([np.full((inputs, outputs), kernel)])
    return network


def shifted(m):
    """A generator of N(m, 1) from z."""
    z = keras.Input((1,))
    return keras.Model(z, z + float(m))


# With p = N(0, 1), q = N(m, 1); the optimal logit m^2 / 2 - m x is linear.
EXACT = {0.5: (1.325672, -0.662836, 0.787836), 1.0: (1.163451, -0.581726, 1.081726)}


@pytest.mark.once
@pytest.mark.parametrize("m", EXACT)
def test_a_trained_logistic_discriminator_reaches_the_exact_values(m):
    # Quantiles for samples: the mean over them is the integral, so nothing is left to chance.
    quantiles = stats.norm.ppf((np.arange(4096) + 0.5) / 4096).astype("float32")[:, None]
    values = {}
    for loss in (kg.losses.Minimax(), kg.losses.NonSaturating()):
        gan = kg.GAN(shifted(m), linear(1, 1), latent_dim=1, loss=loss)
        gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(1.0))
        quantiles_ = ops.convert_to_tensor(quantiles)
        gan.noise.normal = gan.evaluation_noise.normal = lambda shape, z=quantiles_: z
        # 300 batches, in few epochs: each takes longer than its steps.
        often = np.tile(quantiles, (50, 1))
        gan.fit(often, batch_size=4096, epochs=6, shuffle=False, verbose=0)
        values[type(loss)] = gan.evaluate(quantiles, batch_size=4096, return_dict=True, verbose=0)
        kernel, bias = (float(w.squeeze()) for w in gan.discriminator.get_weights())
        np.testing.assert_allclose([kernel, bias], [-m, m**2 / 2], atol=2e-3)
    d_loss, saturating, non_saturating = EXACT[m]
    minimax, alternative = values[kg.losses.Minimax], values[kg.losses.NonSaturating]
    np.testing.assert_allclose(minimax["d_loss"], d_loss, atol=2e-3)
    np.testing.assert_allclose(alternative["d_loss"], d_loss, atol=2e-3)
    np.testing.assert_allclose(minimax["g_loss"], saturating, atol=2e-3)
    np.testing.assert_allclose(alternative["g_loss"], non_saturating, atol=2e-3)


def test_at_the_optimum_the_logs_are_those_of_one_half():
    gan = kg.GAN(shifted(0.0), linear(1, 1, kernel_initializer="zeros"), latent_dim=1)
    gan.compile("sgd", "sgd")
    logs = gan.evaluate(np.ones((8, 1), "float32"), return_dict=True, verbose=0)
    expected = {"d_loss": 2 * np.log(2), "g_loss": np.log(2), "loss": 3 * np.log(2)}
    expected |= {"d_real": 0, "d_fake": 0, "p_real": 0.5, "p_fake": 0.5}
    assert logs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("g", [0.0, 1.0])
@pytest.mark.parametrize("h", [0.1, 0.01])
def test_a_step_on_the_dirac_gan_is_the_alternating_map(g, h):
    """Mescheder et al. (2018): data at 0, D(x) = psi x, G = theta, R1 of weight g."""

    class Theta(keras.layers.Layer):
        def build(self, input_shape):
            self.theta = self.add_weight(shape=(1,), name="theta")

        def call(self, z):
            return 0 * z + self.theta

    def step(theta, psi):
        z = keras.Input((1,))
        generator, discriminator = keras.Model(z, Theta()(z)), linear(1, 1, use_bias=False)
        generator.set_weights([np.array([theta])])
        discriminator.set_weights([np.array([[psi]])])
        penalties = [kg.losses.R1(g)] if g else []
        gan = kg.GAN(generator, discriminator, 1, loss="minimax", penalties=penalties)
        gan.compile(keras.optimizers.SGD(h), keras.optimizers.SGD(h))
        gan.train_on_batch(np.zeros((4, 1), "float32"))
        return np.array(
            [
                float(w.squeeze())
                for w in (generator.get_weights()[0], discriminator.get_weights()[0])
            ]
        )

    # The map at the equilibrium (0, 0), by differences: it is smooth and odd.
    e = 1e-2
    jacobian = np.stack([step(e, 0.0) - step(-e, 0.0), step(0.0, e) - step(0.0, -e)], 1) / (2 * e)
    exact = np.array([[1 - h**2 / 4, h * (1 - h * g) / 2], [-h / 2, 1 - h * g]])
    np.testing.assert_allclose(jacobian, exact, atol=2e-5)
    if g == 0:  # On the circle: the players neither approach nor leave the equilibrium.
        np.testing.assert_allclose(np.abs(np.linalg.eigvals(exact)), 1, atol=1e-12)


def test_a_discriminator_step_leaves_the_generator_alone_and_the_other_way_round():
    gan = tiny.gan()
    x = tiny.examples(gan, 8)
    for still, moving in (("generator", "discriminator"), ("discriminator", "generator")):
        rates = {still: 0.0, moving: 0.1}
        gan.compile(*(keras.optimizers.SGD(rates[p]) for p in ("generator", "discriminator")))
        before = {p: [numpy(v) for v in getattr(gan, p).trainable_variables] for p in rates}
        gan.train_on_batch(x)
        for player, weights in before.items():
            now = [numpy(v) for v in getattr(gan, player).trainable_variables]
            changed = [np.any(a != b) for a, b in zip(weights, now, strict=True)]
            assert any(changed) if player == moving else not any(changed)


def test_each_optimizer_counts_its_own_steps():
    gan = tiny.gan()
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    gan.fit(tiny.examples(gan, 16), batch_size=8, epochs=3, verbose=0)
    counts = gan.optimizer.generator.iterations, gan.optimizer.discriminator.iterations
    assert [int(numpy(count)) for count in counts] == [6, 12]


def test_each_step_of_the_discriminator_has_its_own_part_of_the_batch():
    seen = []
    gan = kg.GAN(shifted(0.0), linear(1, 1), 1, d_steps=3)
    gan.compile("sgd", "sgd", run_eagerly=True)
    objective = gan.discriminator_objective

    def spy(x_real, x_fake, points, y=None, *, training=True):
        # On JAX a tracer even here: its shape is what can be seen.
        seen.append((tuple(x_real.shape), tuple(x_fake.shape)))
        return objective(x_real, x_fake, points, y, training=training)

    gan.discriminator_objective = spy
    gan.train_on_batch(np.arange(8, dtype="float32")[:, None])
    assert seen == [((3, 1), (3, 1)), ((3, 1), (3, 1)), ((2, 1), (2, 1))]


def test_packing_joins_examples_in_a_row_on_the_last_axis():
    gan = kg.GAN(linear(2, 3), linear(6, 1), latent_dim=2, packing=2)
    x = np.arange(15, dtype="float32").reshape(5, 3)
    expected = [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]  # The fifth is cut.
    np.testing.assert_array_equal(numpy(gan.pack(ops.convert_to_tensor(x))), expected)


def test_packed_images_are_joined_on_the_channels():
    z, x = keras.Input((2,)), keras.Input((2, 2, 6))
    generator = keras.Model(z, keras.layers.Reshape((2, 2, 3))(keras.layers.Dense(12)(z)))
    discriminator = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    gan = kg.GAN(generator, discriminator, latent_dim=2, packing=2)
    x = np.random.default_rng(0).random((4, 2, 2, 3)).astype("float32")
    packed = numpy(gan.pack(ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(packed[1], np.concatenate([x[2], x[3]], axis=-1))


def test_wgan_gp_with_a_linear_critic_finds_the_exact_slope():
    # Slope 1 + m / (2 lambda), objective m + m^2 / (4 lambda).
    m, weight = 1.0, 5.0
    x = stats.norm.ppf((np.arange(512) + 0.5) / 512).astype("float32")[:, None]
    penalties = [kg.losses.GradientPenalty(weight)]
    # From the right side: the wrong sign of the slope is a local optimum, 1 - m / (2 lambda).
    critic = linear(1, 1, kernel_initializer=keras.initializers.Constant(-0.5))
    gan = kg.GAN(shifted(m), critic, 1, loss="wasserstein", penalties=penalties)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.05))
    gan.noise.normal = gan.evaluation_noise.normal = lambda shape: ops.convert_to_tensor(x)
    gan.fit(np.tile(x, (50, 1)), batch_size=512, epochs=2, shuffle=False, verbose=0)
    logs = gan.evaluate(x, batch_size=512, return_dict=True, verbose=0)
    slope = abs(float(gan.discriminator.get_weights()[0].squeeze()))
    np.testing.assert_allclose(slope, 1 + m / (2 * weight), rtol=1e-4)
    np.testing.assert_allclose(
        -logs["d_loss"] - logs["penalty"], m + m**2 / (4 * weight), rtol=1e-3
    )


def test_wgan_cuts_the_critics_weights_after_each_of_its_steps():
    """One step by hand: w + h (mean of real - mean of fake), cut to [-c, c]; G then follows it."""
    h, c = 0.1, 0.02
    gan = kg.WGAN(shifted(0.5), linear(1, 1, kernel=0.0, use_bias=False), 1, clip=c, d_steps=1)
    gan.compile(keras.optimizers.SGD(h), keras.optimizers.SGD(h))
    gan.noise.normal = lambda shape: ops.zeros(shape)  # Fakes are at 0.5.
    for x, expected in ((0.6, 0.01), (0.55, 0.015), (2.0, c), (-2.0, -c)):
        gan.train_on_batch(np.full((4, 1), x, "float32"))
        weight = float(gan.discriminator.get_weights()[0].squeeze())
        np.testing.assert_allclose(weight, expected, rtol=1e-4)


def test_wgan_has_the_papers_defaults():
    gan = tiny.wgan()
    assert kg.WGAN(gan.generator, gan.discriminator, 2).get_config()["clip"] == 0.01
    assert kg.WGAN(gan.generator, gan.discriminator, 2).d_steps == 5
    gan.compile()
    for player in (gan.optimizer.generator, gan.optimizer.discriminator):
        assert isinstance(player, keras.optimizers.RMSprop)
        np.testing.assert_allclose(float(numpy(player.learning_rate)), 5e-5, rtol=1e-6)
    with pytest.raises(ValueError, match="`clip` is 0"):
        kg.WGAN(gan.generator, gan.discriminator, 2, clip=0)


def test_a_regulariser_is_paid_by_the_player_that_owns_it():
    def regular(inputs, outputs):
        x = keras.Input((inputs,))
        dense = keras.layers.Dense(
            outputs, kernel_regularizer=keras.regularizers.L2(0.5), kernel_initializer="ones"
        )
        return keras.Model(x, dense(x))

    # D's weights are zero but for what the regulariser does; losses are flat at zero slope.
    gan = kg.GAN(linear(1, 2), regular(2, 1), latent_dim=1, loss="wasserstein")
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
    gan.noise.normal = lambda shape: ops.zeros(shape)  # Fakes at 0, and data at 0.
    gan.train_on_batch(np.zeros((4, 2), "float32"))
    np.testing.assert_allclose(gan.discriminator.get_weights()[0], 1 - 0.1 * 2 * 0.5, rtol=1e-6)


def test_head_start_holds_a_player_still():
    gan = tiny.r3gan()
    hold = kg.optimizers.HeadStart(0.1, hold_steps=3)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(hold))
    x = tiny.examples(gan, 8)
    start = gan.discriminator.get_weights()
    moved = []
    for _ in range(5):
        gan.train_on_batch(x)
        moved.append(np.any(gan.discriminator.get_weights()[0] != start[0]))
    assert moved == [False, False, False, True, True]


def test_averaged_samples_are_of_averaged_weights_and_raw_ones_stay(tmp_path):
    gan = kg.GAN(linear(1, 1, use_bias=False), linear(1, 1), 1, loss="wasserstein")
    gan.compile(
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), keras.optimizers.SGD(0.1)
    )
    x, z = tiny.images(8, shape=(1,)), np.ones((2, 1))
    average = None
    for _ in range(4):
        gan.fit(x, batch_size=8, verbose=0)
        kernel = float(gan.generator.get_weights()[0].squeeze())
        average = kernel if average is None else 0.5 * average + 0.5 * kernel
    np.testing.assert_allclose(gan.generate(z), kernel, rtol=1e-6)
    np.testing.assert_allclose(gan.generate(z, ema=True), average, rtol=1e-5)
    np.testing.assert_allclose(gan.generate(z), kernel, rtol=1e-6)
    assert abs(average - kernel) > 1e-4
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    np.testing.assert_allclose(loaded.generate(z, ema=True), average, rtol=1e-5)
    with pytest.raises(ValueError, match="use_ema=True"):
        tiny.gan().generate(np.ones((1, 2)), ema=True)


def test_interpolation_follows_the_great_circle_or_the_line():
    z = keras.Input((2,))
    gan = kg.GAN(keras.Model(z, 1.0 * z), linear(2, 1), latent_dim=2)
    z_from, z_to = np.array([[1.0, 0]]), np.array([[0, 1.0]])
    circle = gan.interpolate(z_from, z_to, steps=3)
    np.testing.assert_allclose(circle[0], [[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)
    line = gan.interpolate(z_from, z_to, steps=3, spherical=False)
    np.testing.assert_allclose(line[0], [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-6)
    same = gan.interpolate(z_from, z_from, steps=3)
    np.testing.assert_allclose(same[0], [[1, 0]] * 3, atol=1e-6)


def test_a_schedulers_learning_rate_names_the_two():
    gan = tiny.gan()
    gan.compile("sgd", "sgd")
    with pytest.raises(AttributeError, match="optimizer.generator.learning_rate"):
        gan.optimizer.learning_rate = 0.1


BAD = {
    "no optimizer": (lambda: tiny.gan().compile("adam"), "two optimizers"),
    "one optimizer": (lambda: tiny.gan().compile(optimizer="adam"), "two optimizers"),
    "a loss": (lambda: tiny.gan().compile("sgd", "sgd", loss="mse"), "`compile` got loss="),
    "latent_dim": (lambda: kg.GAN(linear(2, 3), linear(3, 1), 4), "shape .2,.. Pass latent_dim=2"),
    "sizes": (lambda: kg.GAN(linear(2, 3), linear(4, 1), 2), "expects .4,."),
    "two logits": (lambda: kg.GAN(linear(2, 3), linear(3, 2), 2), "One raw output"),
    "sigmoid": (
        lambda: kg.GAN(linear(2, 3), linear(3, 1, activation="sigmoid"), 2),
        "raw outputs, logits",
    ),
    "steps": (lambda: kg.GAN(linear(2, 3), linear(3, 1), 2, d_steps=0), "`d_steps` is 0"),
    "a loss's name": (lambda: kg.GAN(linear(2, 3), linear(3, 1), 2, loss="vanilla"), "'hinge'"),
    "no network": (lambda: kg.GAN(kg.networks.dcgan, linear(3, 1), 2), "`generator` is a function"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_players_and_compilers_are_refused(case):
    call, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("n, batch_size", [(3, 3), (9, 8), (20, 2)])
def test_a_batch_too_small_for_its_steps_and_packs_is_refused_before_training(n, batch_size):
    gan = tiny.gan()  # d_steps=2, packing=2
    gan.compile("sgd", "sgd")
    before = gan.get_weights()
    with pytest.raises(ValueError, match="too small: 4 are needed"):
        gan.fit(tiny.examples(gan, n), batch_size=batch_size, verbose=0)
    for a, b in zip(before, gan.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_of_one_is_refused_by_layers_that_compare():
    x = keras.Input((3,))
    h = kg.layers.MinibatchDiscrimination(2, 2)(x)
    gan = kg.GAN(linear(2, 3), keras.Model(x, keras.layers.Dense(1)(h)), 2)
    gan.compile("sgd", "sgd")
    with pytest.raises(ValueError, match="too small: 2 are needed"):
        gan.fit(tiny.images(5, shape=(3,)), batch_size=4, verbose=0)


def test_a_penalty_over_a_layer_that_is_wrong_there_is_refused(backend):
    x = keras.Input((3,))
    discriminator = keras.Model(x, keras.layers.Dense(1)(keras.layers.LayerNormalization()(x)))

    def build():
        return kg.GAN(linear(2, 3), discriminator, 2, penalties=["r1"])

    if backend == "tensorflow":
        with pytest.raises(ValueError, match="keras_gen.layers.LayerNormalization"):
            build()
    else:
        build()


def test_data_that_cannot_be_imitated_are_refused():
    gan = tiny.gan()
    gan.compile("sgd", "sgd")
    x = tiny.examples(gan, 8)
    for bad, match in (
        (np.where(x > 0.5, np.nan, x), "NaN"),
        (x[:, :4], r"shape \(8, 4\)"),
        (x.astype("uint8"), "floats are expected"),
    ):
        with pytest.raises(ValueError, match=match):
            gan.fit(bad, verbose=0)
    with pytest.raises(ValueError, match="cannot weight examples"):
        gan.fit(x, sample_weight=np.ones(8), verbose=0)


def test_mixed_precision_scales_both_players():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        gan = tiny.r3gan()
    finally:
        keras.config.set_dtype_policy("float32")
    gan.compile("adam", "adam")
    for player in (gan.optimizer.generator, gan.optimizer.discriminator):
        assert isinstance(player, keras.optimizers.LossScaleOptimizer)
    history = gan.fit(tiny.examples(gan, 24), batch_size=8, epochs=3, verbose=0).history
    assert np.all(np.isfinite(list(history.values())))


def test_the_jensen_shannon_divergence_of_the_table_is_that_of_its_densities():
    # The table of exact values above, from its definition.
    for m, (d_loss, _, _) in EXACT.items():

        def integrand(x, m=m):
            p, q = stats.norm.pdf(x), stats.norm.pdf(x, m)
            return -p * np.log(p / (p + q)) - q * np.log(q / (p + q))

        np.testing.assert_allclose(integrate.quad(integrand, -9, 10)[0], d_loss, atol=1e-6)


@pytest.mark.parametrize(
    "validation", [{"validation_data": tiny.images(33, (8,))}, {"validation_split": 31 / 128}]
)
def test_validation_batches_that_are_too_small_are_refused_before_any_step(validation):
    gan = tiny.wgan()
    gan.d_steps = 5
    gan.compile()
    x = tiny.images(128, (8,))
    with pytest.raises(ValueError, match="too small"):
        gan.fit(x, **validation, verbose=0)
    assert tiny.steps(gan) == 0


def test_the_optimizer_of_a_player_is_found():
    gan = tiny.gan()
    gan.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.2))
    assert not hasattr(gan, "generator_optimizer")
    with pytest.raises(AttributeError, match="it is `optimizer.generator`"):
        gan.generator_optimizer.learning_rate = 0.3
    gan.optimizer.generator.learning_rate = 0.3
    assert float(gan.optimizer.generator.learning_rate) == pytest.approx(0.3)


def test_validation_reads_a_schedule_at_the_step_that_training_has_reached():
    """Two validations of one `fit`, where gamma is 1/2 and 1. The slope has length 1 everywhere."""
    r1 = kg.losses.R1(kg.schedules.LinearWarmUp(4))  # gamma / 2 * |slope|^2
    players = linear(1, 1), linear(1, 1, 1.0, use_bias=False)
    gan = kg.GAN(*players, latent_dim=1, penalties=[r1])
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    x = np.random.default_rng(0).standard_normal((16, 1), dtype="float32")
    history = gan.fit(x, batch_size=8, epochs=2, validation_data=x, verbose=0).history
    np.testing.assert_allclose(history["val_penalty"], [0.25, 0.5], rtol=1e-6)
