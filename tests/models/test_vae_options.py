"""Free bits, dynamic binarisation, and networks that leave a size open."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny
from tests.models.test_vae import constant_networks, evaluated

GREY = np.array([0.0, 0.1, 0.5, 0.8, 1.0], "float32")


def kl(mean, log_var):
    return 0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var)


@pytest.mark.once
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_free_bits_charge_each_latent_for_no_less(beta):
    # KLs of 2, .0284 and 0 nats; the second and third are lifted to .3.
    mean, log_var = [2.0, 0.0, 0.0], [0.0, np.log(1.3), 0.0]
    logs = evaluated(
        kg.VAE(*constant_networks(mean, log_var, [0.0]), beta=beta, free_bits=0.3),
        np.ones((4, 1), "float32"),
    )
    kls = kl(np.array(mean), np.array(log_var))
    assert logs["reconstruction"] == pytest.approx(np.log(2), rel=1e-5)
    assert logs["kl"] == pytest.approx(kls.sum(), rel=1e-5)
    assert logs["loss"] == pytest.approx(np.log(2) + beta * (2 + 0.3 + 0.3), rel=1e-5)
    assert logs["elbo"] == pytest.approx(-np.log(2) - kls.sum(), rel=1e-5)


@pytest.mark.once
def test_free_bits_look_at_the_mean_over_the_batch():
    # The latent costs 2 nats for one example and nothing for the other: 1 on average.
    x = np.array([[2.0], [0.0]], "float32")
    inputs, z = keras.Input((1,)), keras.Input((1,))
    encoder = keras.Model(inputs, [1.0 * inputs, 0.0 * inputs])
    decoder = keras.Model(z, 0.0 * z)
    for free_bits, charged in ((0.9, 1.0), (1.1, 1.1)):
        vae = kg.VAE(encoder, decoder, "gaussian", free_bits=free_bits)
        logs = evaluated(vae, x)
        assert logs["loss"] - logs["reconstruction"] == pytest.approx(charged, rel=1e-4)
        assert logs["kl"] == pytest.approx(1.0, rel=1e-5)


@pytest.mark.once
def test_free_bits_keep_latents_that_would_collapse():
    # All variances are below sigma^2: the best linear VAE is the one that ignores z.
    x = np.random.default_rng(0).normal(scale=0.7, size=(512, 4)).astype("float32")
    active, kls = [], []
    for free_bits in (0.0, 0.2):
        keras.utils.set_random_seed(0)
        vae = kg.VAE(
            *kg.networks.linear_vae((4,), 2), kg.likelihoods.Gaussian(1.0), free_bits=free_bits
        )
        vae.compile(keras.optimizers.Adam(0.03))
        often = np.tile(x, (8, 1))  # In few epochs: each takes longer than its steps.
        kls.append(vae.fit(often, batch_size=128, epochs=10, verbose=0).history["kl"][-1])
        active.append(kg.metrics.active_units(vae.encode(x)[0]))
    assert active == [0, 2]
    assert kls[0] < 0.02 and kls[1] == pytest.approx(2 * 0.2, abs=0.05)


def drawn(vae, x, training):
    """What the model sees of x in a step: with a logit of 1 for each pixel, from the logs."""
    vae.compile(keras.optimizers.SGD(0.0))
    step = vae.train_on_batch if training else vae.test_on_batch
    reconstruction = []
    for row in x:
        vae.reset_metrics()
        reconstruction.append(step(row[None].astype("float32"), return_dict=True)["reconstruction"])
    # -log p(x) = n softplus(1) - sum of x.
    return x.shape[1] * np.log1p(np.exp(1.0)) - np.array(reconstruction)


@pytest.mark.parametrize("training", [True, False])
def test_pixels_are_drawn_with_the_mean_that_is_their_grey(training):
    vae = kg.VAE(*constant_networks([0.0], [0.0], [1.0] * 1000), dynamic_binarization=True, seed=0)
    for grey in GREY:
        sums = drawn(vae, np.full((8, 1000), grey), training)
        np.testing.assert_allclose(sums, sums.round(), atol=2e-3)  # Whole pixels.
        deviation = np.sqrt(grey * (1 - grey) * 8000)
        assert abs(sums.sum() - 8000 * grey) <= 4 * deviation + 0.01
        assert len(np.unique(sums.round())) > 1 or grey in (0, 1)  # Each batch draws anew.


@pytest.mark.once
def test_without_it_the_grey_values_are_the_data():
    vae = kg.VAE(*constant_networks([0.0], [0.0], [1.0] * 1000))
    sums = drawn(vae, np.full((2, 1000), 0.25), training=True)
    np.testing.assert_allclose(sums, 250, rtol=1e-4)


@pytest.mark.once
def test_binary_data_stay_as_they_are():
    x = tiny.images(8).round()
    logs = []
    for dynamic in (False, True):
        keras.utils.set_random_seed(0)
        vae = tiny.vae(dynamic_binarization=dynamic)
        vae.evaluation_sampling.noise = lambda shape: ops.ones(shape)
        logs.append(evaluated(vae, x))
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)


@pytest.mark.once
def test_the_log_likelihood_is_of_drawn_pixels_too():
    vae = kg.VAE(*constant_networks([0.0], [0.0], [1.0] * 1000), dynamic_binarization=True, seed=0)
    x = np.full((50, 1000), 0.3, "float32")
    # z tells nothing: log p(x) = sum of x - n softplus(1), whatever the number of draws.
    first, second = (
        vae.log_likelihood(x, num_samples=2, verbose=0) + 1000 * np.log1p(np.exp(1.0))
        for _ in range(2)
    )
    np.testing.assert_allclose(first, first.round(), atol=5e-3)
    assert first.mean() == pytest.approx(300, abs=4 * np.sqrt(0.21 * 1000 / 50))
    assert np.std(first) == pytest.approx(np.sqrt(0.21 * 1000), rel=0.4)
    assert np.any(first.round() != second.round())


@pytest.mark.once
def test_iwae_draws_pixels_too():
    networks = constant_networks([0.0], [0.0], [1.0] * 1000)
    for model in (kg.IWAE, kg.DReGIWAE):
        iwae = model(*networks, num_samples=3, dynamic_binarization=True, seed=0)
        sums = drawn(iwae, np.full((8, 1000), 0.4), training=True)
        np.testing.assert_allclose(sums, sums.round(), atol=2e-3)
        assert sums.mean() == pytest.approx(400, abs=4 * np.sqrt(0.24 * 1000 / 8))


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"free_bits": -0.1}, "`free_bits` is -0.1. Pass a number that is not negative"),
        ({"free_bits": float("nan")}, "`free_bits` is nan"),
        ({"free_bits": None}, "`free_bits` is None"),
        (
            {"dynamic_binarization": True, "likelihood": "gaussian"},
            "makes pixels black or white, but the likelihood is Gaussian. Pass Bernoulli",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        tiny.vae(**arguments)


class TwiceVAE(kg.VAE):
    """Takes two gradient steps on each batch, and notes the x that it saw last."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.greatest_grey = self.add_weight(shape=(), trainable=False, initializer="zeros")

    @kg.backend.step
    def train_step(self, data):
        data = self.unpack(data)
        for _ in range(2):
            _, terms = kg.backend.descend(
                self.optimizer, self.trainable_variables, self.objective, *data
            )
        self.greatest_grey.assign(ops.max(ops.minimum(data[0], 1 - data[0])))
        return self.update_metrics(terms, data[0])


def test_a_step_of_ones_own_that_unpacks_its_data_leaves_nothing_out():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    beta = kg.schedules.LinearWarmUp(10)
    for binarized in (False, True):
        vae = TwiceVAE(*networks, beta=beta, dynamic_binarization=binarized, seed=1)
        vae.compile(keras.optimizers.Adam(0.001))
        vae.fit(tiny.images(24), batch_size=8, verbose=0)
        # Three batches, of two updates each: the last one began after four.
        np.testing.assert_allclose(ops.convert_to_numpy(vae.current_beta()), 0.4, rtol=1e-6)
        grey = float(ops.convert_to_numpy(vae.greatest_grey))
        assert grey == 0 if binarized else grey > 0.4
        logs = vae.evaluate(tiny.images(24), verbose=0, return_dict=True)
        np.testing.assert_allclose(
            logs["loss"], logs["reconstruction"] + 0.4 * logs["kl"], rtol=1e-5
        )


def test_unpack_moves_the_noise_of_its_own_stream_alone():
    vae = tiny.vae(dynamic_binarization=True)
    x = tiny.images(8)
    trained, evaluated = (vae.unpack(x, training=training)[0] for training in (True, False))
    for drawn in (trained, evaluated):
        assert set(np.unique(ops.convert_to_numpy(drawn))) == {0.0, 1.0}
    assert np.any(ops.convert_to_numpy(trained) != ops.convert_to_numpy(evaluated))
    other = tiny.vae(dynamic_binarization=True)
    np.testing.assert_array_equal(  # The evaluation before did not move the training's noise.
        ops.convert_to_numpy(vae.unpack(x)[0]),
        [ops.convert_to_numpy(other.unpack(x)[0]) for _ in range(2)][1],
    )


def sequences(size=None):
    """Return an encoder of sequences of any length, or of `size`, and a decoder of 12 values."""
    x, z = keras.Input((size, 3)), keras.Input((2,))
    h = keras.layers.LSTM(8)(keras.layers.Masking(-9.0)(x))
    steps = keras.layers.LSTM(8, return_sequences=True)(keras.layers.RepeatVector(12)(z))
    heads = [keras.layers.Dense(2)(h), keras.layers.Dense(2)(h)]
    return keras.Model(x, heads), keras.Model(z, keras.layers.Dense(3)(steps))


@pytest.mark.once
def test_a_size_that_the_encoder_leaves_open_is_the_decoders():
    vae = kg.VAE(*sequences(), likelihood="gaussian")
    assert vae.example_shape == (12, 3)
    vae.compile("adam")
    x = np.random.default_rng(0).normal(size=(16, 12, 3)).astype("float32")
    assert np.isfinite(vae.fit(x, verbose=0).history["loss"][0])
    assert vae.sample(2).shape == (2, 12, 3)
    with pytest.raises(ValueError, match=r"built for \(n, 12, 3\)"):
        vae.fit(x[:, :11], verbose=0)
    with pytest.raises(ValueError, match=r"output has shape \(12, 3\)"):
        kg.VAE(*sequences(11), likelihood="gaussian")


@pytest.mark.once
@pytest.mark.parametrize("role", ["decoder", "generator", "discriminator"])
@pytest.mark.parametrize("several", [list, lambda outputs: dict(zip("ab", outputs, strict=True))])
def test_a_network_of_several_outputs_is_refused(several, role):
    vae, gan = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (4,)), tiny.gan()
    networks = {"decoder": vae[1], "generator": gan.generator, "discriminator": gan.discriminator}
    one = networks[role]
    networks[role] = keras.Model(one.inputs, several([one.outputs[0], one.outputs[0]]))
    with pytest.raises(ValueError, match=f"The {role} gives .*one tensor"):
        if role == "decoder":
            kg.VAE(vae[0], networks["decoder"])
        else:
            kg.GAN(
                networks["generator"],
                networks["discriminator"],
                gan.latent_dim,
                packing=gan.packing,
            )
