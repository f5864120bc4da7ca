"""NumPy numbers, and one value where a sequence is expected, are taken for what they mean."""

import json

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.arguments import as_sequence, check_integer, check_integers
from tests.models import tiny

N = np.int64
WHOLE = [3, np.int64(3), np.int32(3), np.uint8(3), 3.0, np.float32(3), np.array(3)]


@pytest.mark.parametrize("value", WHOLE)
def test_a_whole_number_of_any_type_is_an_int(value):
    assert check_integer("k", value) == 3 and type(check_integer("k", value)) is int


@pytest.mark.parametrize("value", [0, -1, 2.5, np.nan, np.inf, True, None, "3", [3], np.ones(3)])
def test_what_is_no_positive_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="`k` is .*Pass an integer, at least 1"):
        check_integer("k", value)


def test_one_value_is_a_sequence_of_one():
    assert as_sequence(16) == (16,) and as_sequence("r1") == ("r1",) and as_sequence([1]) == (1,)
    assert check_integers("hidden", N(16)) == (16,)
    assert check_integers("hidden", np.array([4, 5])) == (4, 5)
    assert check_integers("hidden", [4.0, N(5)]) == (4, 5)
    with pytest.raises(ValueError, match="`hidden` is .* Pass positive"):
        check_integers("hidden", ())


SHAPE = tuple(np.array([8, 8, 1]))
# Each: what builds the networks, and what builds the same ones from NumPy's numbers or one value.
NETWORKS = {
    "mlp_vae": (
        lambda: kg.networks.mlp_vae((8, 8, 1), 2, (6,), num_classes=3, parameters_per_value=2),
        lambda: kg.networks.mlp_vae(SHAPE, N(2), N(6), num_classes=N(3), parameters_per_value=N(2)),
    ),
    "mlp_vae of a table": (
        lambda: kg.networks.mlp_vae((30,), 2, (6,)),
        lambda: kg.networks.mlp_vae(30, N(2), 6),
    ),
    "mlp_autoencoder": (
        lambda: kg.networks.mlp_autoencoder((8, 8, 1), 2, (6,)),
        lambda: kg.networks.mlp_autoencoder(SHAPE, N(2), 6),
    ),
    "conv_vae": (
        lambda: kg.networks.conv_vae((8, 8, 1), 2, (4,), num_classes=3),
        lambda: kg.networks.conv_vae(SHAPE, N(2), 4, num_classes=3.0),
    ),
    "conv_autoencoder": (
        lambda: kg.networks.conv_autoencoder((8, 8, 1), 2, (4,)),
        lambda: kg.networks.conv_autoencoder(np.array(SHAPE), 2.0, N(4)),
    ),
    "unet_autoencoder": (
        lambda: kg.networks.unet_autoencoder((8, 8, 1), (2, 3)),
        lambda: kg.networks.unet_autoencoder(SHAPE, np.array([2, 3])),
    ),
    "linear_vae": (
        lambda: kg.networks.linear_vae((8, 8, 1), 2),
        lambda: kg.networks.linear_vae(SHAPE, N(2)),
    ),
    "mlp_gan": (
        lambda: kg.networks.mlp_gan((8, 8, 1), 2, (6,), (5,), packing=2, num_classes=3),
        lambda: kg.networks.mlp_gan(SHAPE, N(2), 6, N(5), packing=N(2), num_classes=N(3)),
    ),
    "dcgan": (
        lambda: kg.networks.dcgan((9, 9, 1), 2, (4,), 5, (3,), "layer", num_classes=3),
        lambda: kg.networks.dcgan((9.0, N(9), 1), N(2), 4, N(5), 3, "layer", num_classes=N(3)),
    ),
    "point_gan": (
        lambda: kg.networks.point_gan((2,), 2, (6,), num_classes=3),
        lambda: kg.networks.point_gan(N(2), N(2), 6, num_classes=N(3)),
    ),
    "pacgan_points": (
        lambda: kg.networks.pacgan_points((2,), 2, 2),
        lambda: kg.networks.pacgan_points(2, N(2), N(2)),
    ),
}


def configs(networks):
    """Their configs, as JSON writes them, without the names that Keras numbers."""
    text = json.dumps([keras.saving.serialize_keras_object(n)["config"] for n in networks])
    names = dict.fromkeys(part for part in text.replace('"', " ").split() if "_" in part)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f'"{name}"', f'"{name.rstrip("0123456789").rstrip("_")}"')
    return text


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_numpy_numbers_and_one_value(name):
    plain, other = (builder() for builder in NETWORKS[name])
    assert configs(plain) == configs(other)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_channels_last_whatever_the_setting(name, channels_first):
    other = configs(NETWORKS[name][0]())
    keras.config.set_image_data_format("channels_last")
    assert configs(NETWORKS[name][0]()) == other


@pytest.mark.parametrize("network", [kg.networks.dcgan, kg.networks.mlp_gan])
def test_models_and_pictures_work_with_channels_first(network, channels_first, tmp_path):
    sizes = ((4, 6),) if network is kg.networks.dcgan else ((6,), (6,))
    gan = kg.GAN(*network((8, 10, 1), 2, *sizes), latent_dim=2)
    gan.compile("sgd", "sgd")
    pictures = [kg.callbacks.SampleGrid(tmp_path, 4)]
    gan.fit(tiny.images(shape=(8, 10, 1)), verbose=0, callbacks=pictures)
    assert gan.sample(2).shape == (2, 8, 10, 1)
    vae = kg.VAE(*kg.networks.conv_vae((8, 12, 1), 2, (4,)))
    vae.compile("sgd")
    x = tiny.images(shape=(8, 12, 1))
    pictures = [kg.callbacks.ReconstructionGrid(x, tmp_path)]
    vae.fit(x, verbose=0, callbacks=pictures)
    assert {f.name for f in tmp_path.iterdir()} >= {"epoch_0001.png", "reconstruction_0001.png"}


def labelled():
    return tiny.images(20), np.arange(20) % 3


def labelled_models():
    n = np.arange(3).max() + 1
    networks = kg.networks.mlp_vae((8, 8, 1), N(2), 6, num_classes=n)
    vae = kg.VAE(*networks, num_classes=n, beta=np.float32(0.5), free_bits=np.float64(0), seed=N(1))
    vae.compile("sgd")
    networks = kg.networks.mlp_gan((8, 8, 1), N(2), 6, 6, num_classes=n, packing=N(2))
    counts = {"d_steps": N(2), "g_steps": N(1), "packing": N(2)}
    gan = kg.GAN(*networks, N(2), num_classes=n, penalties=kg.losses.R1(np.float32(1)), **counts)
    gan.compile("sgd", "sgd")
    return vae, gan


def test_models_built_from_numpy_numbers_train_and_are_saved(tmp_path):
    x, y = labelled()
    for model in labelled_models():
        callbacks = [
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
            kg.callbacks.Checkpoint(tmp_path / type(model).__name__),
        ]
        model.fit(x, y, verbose=0, shuffle=False, callbacks=callbacks)
        model.save(tmp_path / "model.keras")
        for name in ("best", "model"):
            loaded = kg.saving.load_model(tmp_path / f"{name}.keras")
            assert loaded.get_config()["num_classes"] == 3
        json.dumps(keras.saving.serialize_keras_object(model))


def test_one_penalty_need_not_be_in_a_list():
    networks = kg.networks.point_gan((2,), 2, 4)
    assert len(kg.GAN(*networks, 2, penalties=kg.losses.R1(1.0)).penalties) == 1
    assert isinstance(kg.GAN(*networks, 2, penalties="r1").penalties[0], kg.losses.R1)
    with pytest.raises(ValueError, match="A penalty is 'r3'"):
        kg.GAN(*networks, 2, penalties="r3")


@pytest.mark.parametrize(
    "build, name, bad",
    [
        (tiny.vae, "beta", -1.0),
        (tiny.vae, "free_bits", -1.0),
        (tiny.iwae, "num_samples", 0),
        (tiny.denoising_vae, "stddev", (0.5, 0.1)),
        (tiny.r3gan, "d_steps", 1.5),
        (tiny.wgan, "g_steps", 0),
        (tiny.wgan, "clip", -1.0),
        (lambda: kg.losses.R1(), "gamma", "10"),
        (lambda: kg.losses.DRAGAN(), "scale", -0.1),
        (lambda: kg.losses.NonSaturating(), "label_smoothing", 1.0),
        (lambda: kg.likelihoods.Gaussian(), "sigma", 0.0),
        (lambda: kg.likelihoods.DiscretizedLogistic(), "min_scale", np.inf),
    ],
)
def test_a_number_is_checked_whenever_it_is_set(build, name, bad):
    thing = build()
    before = getattr(thing, name)
    with pytest.raises(ValueError, match=f"`{name}` is "):
        setattr(thing, name, bad)
    assert getattr(thing, name) == before


def test_methods_take_whole_numbers_of_any_type():
    vae, gan = tiny.vae(), tiny.gan()
    x = tiny.images(2)
    for three in (3.0, N(3)):
        assert vae.sample(three).shape == (3, 8, 8, 1) and gan.sample(three).shape == (3, 8)
        assert vae.interpolate(x, x, steps=three).shape == (2, 3, 8, 8, 1)
        assert vae.log_likelihood(x, num_samples=three, verbose=0).shape == (2,)
        assert vae.anomaly_score(x, num_samples=three).shape == (2,)
    for call in (vae.sample, gan.sample, vae.draw_latents):
        with pytest.raises(ValueError, match=r"`num_samples` is 2.5. Pass an integer"):
            call(2.5)
    assert kg.IWAE(vae.encoder, vae.decoder, num_samples=N(4)).num_samples == 4


@pytest.mark.parametrize(
    "layer",
    [
        kg.layers.Maxout(N(2)),
        kg.layers.MinibatchDiscrimination(N(2), 3.0),
        kg.layers.MinibatchStdDev(N(2)),
        kg.layers.SpectralNormalization(keras.layers.Dense(2), N(2)),
        kg.likelihoods.Categorical(N(4)),
        kg.likelihoods.DiscretizedLogistic(N(4)),
    ],
)
def test_layers_keep_ints(layer):
    counts = ("pieces", "num_kernels", "kernel_dim", "group_size", "power_iterations")
    counts += ("num_classes", "num_levels")
    kept = [value for name, value in layer.get_config().items() if name in counts]
    assert kept and all(type(value) is int for value in kept)
