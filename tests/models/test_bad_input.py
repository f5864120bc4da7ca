"""Bad input is refused before the first step, and the message says what to do."""

import tracemalloc
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.data import ArrayDataset
from tests.models import tiny


def weights(model):
    return [ops.convert_to_numpy(w) for w in model.weights]


def moved(before, model):
    return max(np.abs(a - b).max() for a, b in zip(before, weights(model), strict=True))


ROWS = tiny.images(8)
DATA = ROWS[:, 0, :, 0]  # For the GANs of tiny.py.


def broken(kind):
    x = tiny.images()
    if kind == "nan":
        x[13, 2, 2] = np.nan
    if kind == "negative":
        x[13, 2, 2] = -0.1
    return {
        "above one": x * 255,
        "nan": x,
        "negative": x,
        "integers": np.full(x.shape, 9, "uint8"),
        "rank": x[..., 0],
        "size": tiny.images(shape=(10, 10, 1)),
        "channels": tiny.images(shape=(8, 8, 3)),
        "empty": x[:0],
    }[kind]


MESSAGES = {
    "above one": r"values in \[0, 1\], and the data lie in \[.*, 25[45].*Divide",
    "nan": r"lie in \[nan, nan\].*Remove NaN",
    "negative": r"lie in \[-0.1, ",
    "integers": "type uint8, but floats are expected.*/ 255",
    "rank": r"shape \(20, 8, 8\), but VAE was built for \(n, 8, 8, 1\)",
    "size": r"shape \(20, 10, 10, 1\), but VAE was built for \(n, 8, 8, 1\)",
    "channels": r"shape \(20, 8, 8, 3\), but VAE was built for",
    "empty": "empty",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_fit_refuses_the_data_and_trains_nothing(kind):
    vae = tiny.vae()
    vae.compile("sgd")
    before = weights(vae)
    for arguments in ({"x": broken(kind)}, {"x": tiny.images(), "validation_data": broken(kind)}):
        with pytest.raises(ValueError, match=MESSAGES[kind]):
            vae.fit(**arguments, verbose=0)
    for a, b in zip(before, weights(vae), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["above one", "nan", "size"])
def test_evaluate_encode_and_reconstruct_refuse_them_too(kind):
    vae = tiny.vae()
    vae.compile("sgd")
    for method in (vae.evaluate, vae.encode, vae.reconstruct):
        with pytest.raises(ValueError, match=MESSAGES[kind]):
            method(broken(kind))


@pytest.mark.parametrize("kind", ["rank", "size", "integers"])
def test_train_on_batch_refuses_a_wrong_shape_or_type(kind):
    vae = tiny.vae()
    vae.compile("sgd")
    with pytest.raises(ValueError, match="was built for|floats are expected"):
        vae.train_on_batch(broken(kind))


def test_fit_sees_into_datasets_pipelines_and_generators():
    tf = pytest.importorskip("tensorflow")
    bad = broken("above one")
    vae = tiny.vae()
    vae.compile("sgd")
    for data in (
        ArrayDataset(bad, batch_size=4),
        tf.data.Dataset.from_tensor_slices(bad).batch(4),
        (x for x in [bad]),
        (x for x in []),
        None,
    ):
        with pytest.raises(ValueError, match=r"values in \[0, 1\]|no data"):
            vae.fit(data, verbose=0)


def test_gaussian_takes_any_number_but_nan():
    vae = tiny.vae(likelihood="gaussian")
    vae.compile("sgd")
    vae.fit(10 * tiny.images() - 5, verbose=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        vae.fit(broken("nan"))


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"y": np.zeros(20), "class_weight": {0: 2.0}}, "sample_weight"),
        ({"y": tiny.images()}, "reconstructs `x` itself"),
    ],
)
def test_fit_refuses_what_it_cannot_use(arguments, match):
    vae = tiny.vae()
    vae.compile("sgd")
    with pytest.raises(ValueError, match=match):
        vae.fit(tiny.images(), verbose=0, **arguments)


@pytest.mark.parametrize("name", ["loss", "loss_weights", "metrics", "weighted_metrics"])
def test_compile_refuses_a_loss_and_metrics(name):
    with pytest.raises(ValueError, match=f"`compile` got {name}=.*subclass VAE"):
        tiny.vae().compile("adam", **{name: ["mse"]})


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf"), None, "1"])
def test_a_negative_beta_is_refused(beta):
    with pytest.raises(ValueError, match="`beta` is"):
        tiny.vae(beta=beta)


def test_latent_sizes_that_disagree_are_refused():
    encoder, _ = kg.networks.mlp_vae((8, 8, 1), 3)
    _, decoder = kg.networks.mlp_vae((8, 8, 1), 4)
    with pytest.raises(ValueError, match="z has shape .3,., but the decoder expects .4,."):
        kg.VAE(encoder, decoder)


def test_a_decoder_that_does_not_fit_the_likelihood_is_refused():
    networks = kg.networks.mlp_vae((8, 8, 1), 3, parameters_per_value=2)
    with pytest.raises(ValueError, match=r"\(8, 8, 2\).*Bernoulli takes \(8, 8, 1\)"):
        kg.VAE(*networks)


def test_an_encoder_with_one_output_is_refused():
    with pytest.raises(ValueError, match="two tensors, .mean, log_var."):
        kg.VAE(*kg.networks.mlp_autoencoder((8, 8, 1), 3))


def test_an_encoder_that_draws_z_itself_is_told_to_leave_it_out():
    x = keras.Input((5,))
    encoder = keras.Model(x, [keras.layers.Dense(3)(x) for _ in range(3)])
    _, decoder = kg.networks.mlp_vae((5,), 3)
    with pytest.raises(ValueError, match="this one gives 3 tensors.*z is drawn by the model"):
        kg.VAE(encoder, decoder)


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match="`encoder` is a function. Pass a Keras model"):
        kg.VAE(kg.networks.mlp_vae, tiny.vae().decoder)


def test_layers_frozen_after_compile_are_refused():
    vae = tiny.vae()
    vae.compile("sgd")
    vae.encoder.trainable = False
    with pytest.raises(ValueError, match="Compile again, with a new optimizer"):
        vae.fit(tiny.images(), verbose=0)
    before = vae.encoder.get_weights()
    vae.compile("sgd")
    vae.fit(tiny.images(), verbose=0)
    for a, b in zip(before, vae.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_of_which_nothing_can_train_is_refused():
    vae = tiny.vae()
    vae.encoder.trainable = vae.decoder.trainable = False
    vae.compile("sgd")
    for train in (lambda: vae.fit(tiny.images(), verbose=0), lambda: vae.train_on_batch(ROWS)):
        with pytest.raises(ValueError, match="Nothing can be trained: all weights of this VAE"):
            train()
    vae.evaluate(ROWS, verbose=0)
    vae.decoder.trainable = True  # As advised; an encoder is often kept.
    vae.compile("sgd")
    before = weights(vae.encoder), weights(vae.decoder)
    vae.fit(ROWS, verbose=0)
    assert moved(before[0], vae.encoder) == 0 < moved(before[1], vae.decoder)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_frozen_player_is_named(player):
    gan, other = tiny.gan(), "generator" if player == "discriminator" else "discriminator"
    getattr(gan, player).trainable = False
    gan.compile("sgd", "sgd")
    before = weights(getattr(gan, player)), weights(getattr(gan, other))
    with pytest.warns(UserWarning, match=f"The {player} is frozen: `fit` will not change"):
        gan.fit(DATA, verbose=0)
    assert moved(before[0], getattr(gan, player)) == 0 < moved(before[1], getattr(gan, other))
    getattr(gan, player).trainable = True
    gan.compile("sgd", "sgd")
    gan.fit(DATA, verbose=0)
    assert moved(before[0], getattr(gan, player)) > 0
    gan.trainable = False
    gan.compile("sgd", "sgd")
    with pytest.raises(ValueError, match="Nothing can be trained"):
        gan.fit(DATA, verbose=0)


def test_a_schedule_that_has_ended_at_0_is_named():
    gan, adam = tiny.gan(), keras.optimizers.Adam
    gan.compile(adam(keras.optimizers.schedules.PolynomialDecay(1e-3, 1, 0.0)), adam(1e-3))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The learning rate")
        gan.fit(DATA, epochs=2, verbose=0)
    kernel = gan.generator.trainable_variables[0]
    before = np.array(ops.convert_to_numpy(kernel))
    with pytest.warns(UserWarning, match="The learning rate of the generator is 0. If its"):
        gan.fit(DATA, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(kernel), before)
    gan.compile(adam(1e-3), adam(1e-3))  # As advised.
    gan.fit(DATA, verbose=0)
    assert np.any(ops.convert_to_numpy(kernel) != before)


def test_a_weight_for_every_pixel_is_refused():
    vae = tiny.vae()
    vae.compile("sgd")
    with pytest.raises(ValueError, match="Pass one weight for each example"):
        vae.fit(tiny.images(), sample_weight=np.ones((20, 8, 8)), verbose=0)


def test_heads_of_two_sizes_are_refused():
    x = keras.Input((5,))
    encoder = keras.Model(x, [keras.layers.Dense(3)(x), keras.layers.Dense(2)(x)])
    _, decoder = kg.networks.mlp_vae((5,), 3)
    with pytest.raises(ValueError, match="mean has shape .*3.* and its log_var .*2"):
        kg.VAE(encoder, decoder)


@pytest.mark.once
def test_the_checks_of_data_copy_none_of_them():
    gan = kg.GAN(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2)
    x = np.full((500_000, 8), -3.0, "float32")  # 16 MB.
    tracemalloc.start()
    gan.check_input_data(x)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert gan.largest == 3 and most < x.nbytes / 3  # A boolean for each number, by `isfinite`.


def test_counts_and_codes_are_checked():
    vae, x = tiny.vae(), tiny.images(2)
    for call, match in (
        (lambda: vae.sample(0), "num_samples"),
        (lambda: vae.decode(np.zeros((2, 4))), r"\(2, 4\). Pass \(n, 3\)"),
        (lambda: vae.decode(np.zeros(3)), r"\(3,\). Pass \(n, 3\)"),
        (lambda: vae.interpolate(x, x, steps=1), "at least 2"),
        (lambda: vae.interpolate(x, x[:1]), "pairs"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("size", [2, 4])  # Of examples as large as z, and larger.
def test_networks_in_the_wrong_order_are_named(size, num_classes):
    options = {"hidden": (4,), "num_classes": num_classes}
    generator, discriminator = kg.networks.point_gan((size,), 2, **options)
    with pytest.raises(ValueError, match="Pass the generator first"):
        kg.GAN(discriminator, generator, latent_dim=2, num_classes=num_classes)
    encoder, decoder = kg.networks.mlp_vae((size,), 2, **options)
    with pytest.raises(ValueError, match="Pass the encoder first"):
        kg.VAE(decoder, encoder, num_classes=num_classes)


def test_8_bit_images_are_not_taken_for_noisy_ones():
    model, x = tiny.denoising_autoencoder(), tiny.images(2)
    assert model.denoise(3 * x - 1).shape == x.shape
    with pytest.raises(ValueError, match="`x / 255`"):
        model.denoise(255 * x)


def test_a_grid_of_interpolations_is_of_a_gan(tmp_path):
    vae = tiny.vae()
    vae.compile("sgd")
    with pytest.raises(ValueError, match="draws a GAN's images.* this is a VAE"):
        vae.fit(ROWS, verbose=0, callbacks=[kg.callbacks.InterpolationGrid(tmp_path)])


def test_the_name_of_a_class_is_refused_by_its_number():
    networks = kg.networks.mlp_vae((4,), 2, hidden=(4,), num_classes=3)
    with pytest.raises(ValueError, match="`y` is 'cat'. Pass the number .*from 0 to 2"):
        kg.VAE(*networks, num_classes=3).sample(1, y="cat")


def test_reshape_is_advised_only_where_it_keeps_the_images():
    vae = tiny.vae()
    height, width, channels = vae.encoder.input_shape[1:]
    x = tiny.images(8, shape=(height, width, channels))
    with pytest.raises(ValueError, match=r"`np.asarray\(x\).reshape\(-1, 8, 8, 1\)`"):
        vae.encode(x.reshape(8, -1))
    table = kg.VAE(*kg.networks.mlp_vae((64,), 2, hidden=(4,)))
    with pytest.raises(ValueError, match=r"`np.asarray\(x\).reshape\(-1, 64\)`"):
        table.encode(x)
    with pytest.raises(ValueError, match=r"keras.ops.moveaxis\(x, 1, -1\)"):
        vae.encode(np.moveaxis(x, -1, 1))
    np.testing.assert_array_equal(ops.moveaxis(np.moveaxis(x, -1, 1), 1, -1), x)
    with pytest.raises(ValueError, match="bring the data into this shape"):
        vae.encode(x.reshape(8, 4, 16, 1))


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0])
def test_weights_are_finite_and_not_negative(weight):
    vae = tiny.vae()
    vae.compile(tiny.sgd())
    weights_of_rows = np.where(np.arange(8) == 3, weight, 1.0)
    with pytest.raises(ValueError, match="`sample_weight` goes from"):
        vae.fit(ROWS, sample_weight=weights_of_rows, verbose=0)


@pytest.mark.once
def test_one_z_alone_is_told_with_its_own_shape():
    gan = kg.GAN(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2)
    with pytest.raises(ValueError, match=r"`z` has shape \(2,\)"):
        gan.interpolate(np.zeros(2), np.ones(2))


def test_indices_of_colours_are_divided_by_the_last_of_them():
    likelihood = kg.likelihoods.Categorical(4)
    networks = kg.networks.mlp_vae((8, 8, 1), 2, hidden=(4,), parameters_per_value=4)
    vae = kg.VAE(*networks, likelihood)
    x = np.random.default_rng(0).integers(4, size=(3, 8, 8, 1))
    for kind in ("uint8", "int64"):
        with pytest.raises(ValueError, match=f"type {kind}, but floats are .* / 3`"):
            vae.check_input_data(x.astype(kind))
    vae.check_input_data(x.astype("float32") / 3)
