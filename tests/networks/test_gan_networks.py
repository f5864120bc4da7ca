import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers, losses, networks
from keras_gen.losses import penalties
from tests.steps import PenaltyStep, double_precision, set_singular_vectors

IMAGE_BUILDERS = {
    "mlp_gan": lambda **kwargs: networks.mlp_gan((4, 4, 2), 3, (5, 6), (4,), **kwargs),
    "dcgan": lambda **kwargs: networks.dcgan((8, 8, 2), 3, (4, 6), 3, **kwargs),
    "resnet_gan": lambda **kwargs: networks.resnet_gan((8, 8, 2), 3, 4, **kwargs),
}


def spectral_dcgan(**kwargs):
    return networks.dcgan((8, 8, 2), 3, (4, 6), 3, discriminator_norm="spectral", **kwargs)


DISCRIMINATORS = {
    "mlp_gan": IMAGE_BUILDERS["mlp_gan"],
    "dcgan, batch": IMAGE_BUILDERS["dcgan"],
    "dcgan, layer": lambda: networks.dcgan((8, 8, 2), 3, (4, 6), 3, discriminator_norm="layer"),
    "dcgan, no norm": lambda: networks.dcgan((8, 8, 2), 3, (4, 6), 3, discriminator_norm=None),
    "dcgan, object": lambda: networks.dcgan(
        (8, 8, 2), 3, (4, 6), 3, discriminator_norm=layers.LayerNormalization(axis=[1, 2, 3])
    ),
    "resnet_gan": IMAGE_BUILDERS["resnet_gan"],
    "point_gan": lambda: networks.point_gan(hidden=(5, 4), packing=2),
    "point_gan, waves and signs": lambda: networks.point_gan(
        (2,), 3, (5,), frequencies=(1, 3), latent_signs=2
    ),
    "pacgan_points": lambda: networks.pacgan_points(packing=2),
}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.once
def test_the_textbook_mlp_has_the_usual_sizes():
    generator, discriminator = networks.mlp_gan((28, 28, 1), latent_dim=100)
    assert generator.count_params() == 1_493_520
    assert discriminator.count_params() == 533_505


@pytest.mark.once
def test_the_mlp_by_hand():
    generator, discriminator = networks.mlp_gan((2,), 2, (3,), (3,))
    random = np.random.default_rng(0)
    for network in (generator, discriminator):
        network.set_weights([random.uniform(0.5, 1.5, w.shape) - 0.8 for w in network.weights])
    z = random.normal(size=(4, 2))

    kernel, bias, gamma, beta, mean, variance, out_kernel, out_bias = generator.get_weights()
    variance = np.abs(variance)
    generator.set_weights([kernel, bias, gamma, beta, mean, variance, out_kernel, out_bias])
    h = z @ kernel + bias
    h = np.where(h > 0, h, 0.2 * h)
    h = gamma * (h - mean) / np.sqrt(variance + 1e-3) + beta
    images = (np.tanh(h @ out_kernel + out_bias) + 1) / 2
    np.testing.assert_allclose(numpy(generator(z)), images, rtol=1e-5, atol=1e-6)

    kernel, bias, out_kernel, out_bias = discriminator.get_weights()
    h = (2 * images - 1) @ kernel + bias
    logits = np.where(h > 0, h, 0.2 * h) @ out_kernel + out_bias
    np.testing.assert_allclose(numpy(discriminator(images)), logits, rtol=1e-5, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "shape, start, filters",
    [
        ((28, 28, 1), (7, 7), (64, 128)),
        ((32, 32, 3), (4, 4), (64, 128, 256)),
        ((64, 64, 3), (4, 4), (64, 128, 256, 512)),
    ],
)
def test_dcgan_has_the_layers_of_the_paper(shape, start, filters):
    generator, discriminator = networks.dcgan(shape, 100)
    channels = (shape[-1], *filters)
    inner = sum(25 * a * b for a, b in zip(channels, channels[1:], strict=False))
    size = start[0] * start[1] * filters[-1]
    # No bias before batch normalisation, which has four numbers a channel.
    assert generator.count_params() == 100 * size + inner + 4 * sum(filters) + shape[-1]
    assert discriminator.count_params() == (inner + filters[0] + 4 * sum(filters[1:]) + size + 1)
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    block = ["Conv2D", "BatchNormalization", "LeakyReLU"]
    assert kinds[2:-2] == ["Conv2D", "LeakyReLU", *block * (len(filters) - 1)]
    kinds = [type(layer).__name__ for layer in generator.layers]
    block = ["Conv2DTranspose", "BatchNormalization", "ReLU"]
    start = ["Dense", "Reshape", "BatchNormalization", "ReLU"]
    end = ["Conv2DTranspose", "Activation", "Rescaling"]
    assert kinds[1:] == [*start, *block * (len(filters) - 1), *end]


@pytest.mark.once
@pytest.mark.parametrize(
    "shape, filters, inner",
    [
        ((28, 28, 3), (4, 5, 6, 7), [(14, 14), (7, 7), (4, 4), (2, 2)]),  # Stacked MNIST's.
        ((9, 6, 1), (4, 5, 6), [(5, 3), (3, 2), (2, 1)]),
        ((5, 5, 1), (4,), [(3, 3)]),
    ],
)
def test_dcgan_takes_any_size_by_rounding_up(shape, filters, inner):
    generator, discriminator = networks.dcgan(shape, 3, filters, kernel_size=3)
    sizes = [
        layer.output.shape[1:3]
        for layer in discriminator.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert sizes == inner
    x = generator.predict_on_batch(np.zeros((2, 3)))
    assert x.shape == (2, *shape)
    assert discriminator.predict_on_batch(x).shape == (2, 1)


@pytest.mark.once
def test_dcgan_starts_as_small_numbers_that_differ_by_layer():
    for network in networks.dcgan((28, 28, 1), 64, (32, 64, 64)):
        kernels = [numpy(w) for w in network.weights if "kernel" in w.path]
        for kernel in kernels:
            if kernel.size > 5000:
                assert kernel.std() == pytest.approx(0.02, rel=0.05)
        assert len({kernel.reshape(-1)[0] for kernel in kernels}) == len(kernels)
        gammas = np.concatenate([numpy(w) for w in network.weights if "gamma" in w.path])
        assert gammas.mean() == pytest.approx(1, abs=0.01)
        assert gammas.std() == pytest.approx(0.02, rel=0.3)


@pytest.mark.once
def test_a_discriminator_can_be_smaller_than_its_generator():
    generator, discriminator = networks.dcgan((8, 8, 1), 3, (6, 8), discriminator_filters=(2, 3))
    assert [w.shape[-1] for w in discriminator.weights if "kernel" in w.path] == [2, 3, 1]
    assert [w.shape for w in generator.weights if "kernel" in w.path][0] == (3, 2 * 2 * 8)


@pytest.mark.once
@pytest.mark.parametrize("build", IMAGE_BUILDERS.values(), ids=IMAGE_BUILDERS)
def test_images_reach_0_and_1_and_the_discriminator_sees_them_from_minus_1_to_1(build):
    generator, discriminator = build()
    x = numpy(generator(1e6 * np.random.default_rng(0).normal(size=(8, 3))))
    assert (x.min(), x.max()) == (0, 1)
    if len(x.shape) == 4:
        first = keras.Model(discriminator.input, discriminator.layers[1].output)
        np.testing.assert_array_equal(numpy(first(x)), 2 * x - 1)


@pytest.mark.once
@pytest.mark.parametrize("build", DISCRIMINATORS.values(), ids=DISCRIMINATORS)
def test_a_discriminator_gives_one_raw_number(build):
    _, discriminator = build()
    x = np.random.default_rng(0).random((8, *discriminator.input_shape[1:]))
    logits = numpy(discriminator(x))
    assert logits.shape == (8, 1)
    *weights, kernel, bias = discriminator.get_weights()
    discriminator.set_weights([*weights, -1e4 * kernel, bias + 1e4])
    np.testing.assert_allclose(numpy(discriminator(x)), 1e4 - 1e4 * logits, rtol=1e-4, atol=1)


@pytest.mark.once
@pytest.mark.parametrize(
    "build, shape",
    [
        (networks.mlp_gan, (6, 6, 3)),
        (networks.dcgan, (6, 6, 3)),
        (networks.resnet_gan, (6, 6, 3)),
        (networks.point_gan, (2,)),
        (networks.pacgan_points, (2,)),
    ],
)
def test_packing_multiplies_the_last_axis_of_the_discriminator(build, shape):
    generator, discriminator = build(shape, 4, packing=3)
    assert generator.output_shape == (None, *shape)
    assert discriminator.input_shape == (None, *shape[:-1], 3 * shape[-1])
    assert discriminator.output_shape == (None, 1)


@pytest.mark.once
@pytest.mark.parametrize("m", [1, 4])
def test_pacgan_points_have_the_layers_of_its_code(m):
    generator, discriminator = networks.pacgan_points(packing=m)
    assert generator.count_params() == 2 * 400 + 3 * 400**2 + 4 * 4 * 400 + 400 * 2 + 2
    assert discriminator.count_params() == (2 * m + 1) * 1000 + 2 * 201 * 1000 + 201


@pytest.mark.once
def test_waves_of_points_and_signs_of_z_by_hand():
    generator, discriminator = networks.point_gan(
        (2,), 3, (3,), "relu", frequencies=(0.5, 3), latent_signs=2
    )
    random = np.random.default_rng(0)
    for network in (generator, discriminator):
        network.set_weights([random.normal(size=w.shape) for w in network.weights])

    def mlp(network, h):
        kernel, bias, out_kernel, out_bias = network.get_weights()
        return np.maximum(h @ kernel + bias, 0) @ out_kernel + out_bias

    z, x = random.normal(size=(4, 3)), random.normal(size=(4, 2))
    seen = np.concatenate([z[:, :1], np.sign(z[:, 1:])], axis=1)
    np.testing.assert_allclose(numpy(generator(z)), mlp(generator, seen), rtol=1e-4, atol=1e-5)
    phases = np.concatenate([0.5 * x, 3 * x], axis=1)
    waves = np.concatenate([x, np.sin(phases), np.cos(phases)], axis=1)
    expected = mlp(discriminator, waves)
    np.testing.assert_allclose(numpy(discriminator(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.once
def test_points_go_anywhere():
    generator, _ = networks.point_gan()
    x = numpy(generator(1e3 * np.random.default_rng(0).normal(size=(64, 2))))
    assert x.min() < -10 and x.max() > 10


@pytest.mark.once
@pytest.mark.parametrize("build", [*IMAGE_BUILDERS, "spectral", "points", "pacgan"])
def test_outputs_are_float32_under_a_mixed_policy(build):
    builders = {
        **IMAGE_BUILDERS,
        "spectral": lambda: networks.dcgan((8, 8, 2), 3, (4,), discriminator_norm="spectral"),
        "points": networks.point_gan,
        "pacgan": networks.pacgan_points,
    }
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator, discriminator = builders[build]()
    finally:
        keras.config.set_dtype_policy("float32")
    x = generator(np.zeros((2, generator.input_shape[-1])))
    assert keras.backend.standardize_dtype(x.dtype) == "float32"
    assert keras.backend.standardize_dtype(discriminator(x).dtype) == "float32"
    assert discriminator.layers[2].compute_dtype == "bfloat16"


def test_spectral_normalisation_bounds_every_layer_of_dcgan():
    _, discriminator = spectral_dcgan()
    wrapped = [
        layer for layer in discriminator.layers if isinstance(layer, layers.SpectralNormalization)
    ]
    assert [type(layer.layer).__name__ for layer in wrapped] == ["Conv2D", "Conv2D", "Dense"]
    x = np.random.default_rng(0).random((4, 8, 8, 2))
    before = numpy(discriminator(x, training=True))
    for layer in wrapped:
        layer.layer.kernel.assign(100 * layer.layer.kernel)
    np.testing.assert_allclose(numpy(discriminator(x)), before, rtol=0.5, atol=1e-3)


@pytest.mark.once
def test_a_given_normalisation_is_copied_into_every_place():
    norm = layers.GroupNormalization(groups=2, epsilon=0.1, name="mine")
    _, discriminator = networks.dcgan((16, 16, 1), 3, (4, 6, 8), discriminator_norm=norm)
    copies = [
        layer for layer in discriminator.layers if isinstance(layer, layers.GroupNormalization)
    ]
    assert [(c.groups, c.epsilon, c.gamma.shape) for c in copies] == [
        (2, 0.1, (6,)),
        (2, 0.1, (8,)),
    ]
    assert not norm.built


def test_layer_normalisation_of_dcgan_is_over_the_whole_image():
    _, discriminator = networks.dcgan((8, 8, 1), 3, (4, 6), 3, discriminator_norm="layer")
    (norm,) = [n for n in discriminator.layers if isinstance(n, layers.GroupNormalization)]
    h = keras.Model(discriminator.input, norm.output)(np.random.default_rng(0).random((3, 8, 8, 1)))
    h = numpy(h).reshape(3, -1)
    np.testing.assert_allclose(h.mean(axis=1), 0, atol=1e-5)
    assert norm.gamma.shape == (6,)


class Labelled(keras.Model):
    """A discriminator of [x, y] for labels that are always the same."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.y = np.arange(4) % 3
        self.built = True

    @property
    def input_shape(self):
        return self.network.input_shape[0]

    def call(self, x, training=False):
        return self.network([x, ops.convert_to_tensor(self.y)], training=training)


def labelled(build, conditioning):
    def with_labels():
        return None, Labelled(build(num_classes=3, conditioning=conditioning)[1])

    return with_labels


PENALISED = {
    **DISCRIMINATORS,
    "dcgan, spectral": spectral_dcgan,
}
PENALISED |= {
    f"{name}, {conditioning}": labelled(build, conditioning)
    for name, build in {
        "mlp_gan": lambda **kwargs: networks.mlp_gan((8, 8, 2), 3, (5,), (6, 5), **kwargs),
        "dcgan": lambda **kwargs: networks.dcgan((8, 8, 2), 3, (4, 6), 3, **kwargs),
        "dcgan, spectral": spectral_dcgan,
        "resnet_gan": IMAGE_BUILDERS["resnet_gan"],
        "point_gan, waves": lambda **kwargs: networks.point_gan(
            hidden=(5, 4), frequencies=(1, 3), **kwargs
        ),
        "point_gan": lambda **kwargs: networks.point_gan(hidden=(5, 4), **kwargs),
    }.items()
    for conditioning in ("projection", "concatenation")
}


@pytest.mark.parametrize("build", PENALISED.values(), ids=PENALISED)
def test_penalties_over_discriminators_agree_with_finite_differences(build):
    with double_precision():
        _, discriminator = build()
        penalties.check_second_derivatives(discriminator)
        random = np.random.default_rng(0)
        # The same on every backend, and larger than they start: small penalties have no digits.
        discriminator.set_weights(
            [random.normal(scale=w.shape[0] ** -0.5, size=w.shape) for w in discriminator.weights]
        )
        set_singular_vectors(discriminator)
        x = random.random((4, *discriminator.input_shape[1:]))
        step = PenaltyStep(discriminator, losses.R1(), x)
        directions = [random.normal(size=v.shape) for v in discriminator.trainable_variables]
        # A small step: thousands of kinks of maxout are near.
        expected = step.slope(directions, step=1e-7)
        assert abs(expected) > 1e-3
        slope = sum(np.sum(g * d) for g, d in zip(step.gradient(), directions, strict=True))
        assert slope == pytest.approx(expected, rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("build", DISCRIMINATORS.values(), ids=DISCRIMINATORS)
def test_networks_survive_a_keras_file(build, tmp_path):
    for network in build():
        inputs = np.random.default_rng(0).random((2, *network.input_shape[1:]))
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
        np.testing.assert_allclose(numpy(again(inputs)), numpy(network(inputs)), rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "build, arguments, match",
    [
        (networks.mlp_gan, {"image_shape": (8, 8, 1), "latent_dim": 0}, "latent_dim"),
        (networks.mlp_gan, {"generator_hidden": (5, -1)}, "`generator_hidden` is"),
        (networks.mlp_gan, {"discriminator_hidden": ()}, "`discriminator_hidden` is"),
        (networks.mlp_gan, {"packing": 0}, "`packing` is 0"),
        (networks.dcgan, {"image_shape": (64,)}, "Pass \\(height, width, channels\\)"),
        (networks.dcgan, {"filters": ()}, "`filters` is"),
        (networks.dcgan, {"discriminator_filters": ()}, "`discriminator_filters` is"),
        (networks.dcgan, {"kernel_size": 0}, "`kernel_size` is"),
        (networks.dcgan, {"image_shape": (8, None, 1)}, "image_shape"),
        (networks.dcgan, {"discriminator_norm": "instance"}, "`discriminator_norm` is 'instance'"),
        (networks.dcgan, {"packing": 1.5}, "`packing` is 1.5"),
        (networks.point_gan, {"shape": (8, 8, 1)}, "Points are vectors"),
        (networks.point_gan, {"hidden": (0,)}, "`hidden` is 0"),
        (networks.point_gan, {"latent_signs": 2}, "at least one value continuous"),
        (networks.point_gan, {"latent_signs": -1}, "`latent_signs` is -1"),
        (networks.pacgan_points, {"shape": (8, 8, 1)}, "Points are vectors"),
        (networks.pacgan_points, {"packing": 0}, "`packing` is 0"),
    ],
)
def test_what_cannot_be_built_is_refused(build, arguments, match):
    images = build in (networks.mlp_gan, networks.dcgan)
    defaults = {"image_shape": (8, 8, 1), "latent_dim": 2} if images else {}
    with pytest.raises(ValueError, match=match):
        build(**{**defaults, **arguments})
