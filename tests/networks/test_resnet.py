import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen import networks
from keras_gen.networks.resnet import double_size, halve_size


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def kernels(network):
    return [numpy(w) for w in network.weights if w.name == "kernel" and len(w.shape) == 4]


def test_resampling_is_bilinear_and_keeps_the_border():
    x = np.outer([1.0, 5.0, 3.0], [2.0, 4.0]).reshape(1, 3, 2, 1)
    twice = np.outer([1.0, 2, 4, 4.5, 3.5, 3], [2, 2.5, 3.5, 4])
    np.testing.assert_allclose(numpy(double_size(x))[0, ..., 0], twice, rtol=1e-6)
    half = np.outer([1.5, 4.25, 3.25], [2.25, 3.75])
    np.testing.assert_allclose(
        numpy(halve_size(twice.reshape(1, 6, 4, 1)))[0, ..., 0], half, rtol=1e-6
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "shape, base, resolutions",
    [
        ((32, 32, 3), (4, 4), 4),
        ((256, 256, 3), (4, 4), 7),
        ((96, 96, 1), (6, 6), 5),
        ((28, 28, 1), (7, 7), 3),
        ((64, 128, 3), (4, 8), 5),
        ((48, 36, 3), (12, 9), None),
        ((33, 33, 3), None, None),
    ],
)
def test_sides_are_halved_until_the_shorter_one_is_below_8(shape, base, resolutions):
    if resolutions is None:
        with pytest.raises(ValueError, match="both sides divisible by 8"):
            networks.resnet_gan(shape, 3, width=1)
        return
    generator, discriminator = networks.resnet_gan(shape, 3, width=1)
    assert generator.output_shape == discriminator.input_shape == (None, *shape)
    (start,) = [n for n in generator.layers if isinstance(n, keras.layers.Reshape)]
    (end,) = [n for n in discriminator.layers if isinstance(n, keras.layers.DepthwiseConv2D)]
    assert start.target_shape[:2] == tuple(end.kernel_size) == base
    assert sum(isinstance(n, keras.layers.Add) for n in discriminator.layers) == resolutions


@pytest.mark.once
def test_the_default_is_small_enough_for_a_cpu():
    generator, discriminator = networks.resnet_gan((64, 64, 3), 64)
    widths = [16, 32, 64, 128, 128]
    blocks = sum(11 * n**2 + 2 * n for n in widths)
    between = 16 * 32 + 32 * 64 + 64 * 128
    assert generator.count_params() == 65 * 16 * 128 + blocks + between + 17 * 3
    assert discriminator.count_params() == 4 * 16 + blocks + between + 16 * 128 + 129
    for network in networks.resnet_vae((64, 64, 3), 64):
        assert network.count_params() < 1_500_000


@pytest.mark.once
def test_a_network_starts_affine_with_outputs_of_one_size():
    """The last convolution of each block is 0, so only the straight path is there."""
    _, discriminator = networks.resnet_gan((16, 16, 3), 3, width=8, depth=2)
    a, b = np.random.default_rng(0).random((2, 4, 16, 16, 3))
    d = [numpy(discriminator(x)) for x in (a, b, a + b, 0 * a)]
    np.testing.assert_allclose(d[0] + d[1], d[2] + d[3], rtol=1e-4, atol=1e-4)


@pytest.mark.once
def test_blocks_start_as_fix_up_has_them():
    generator, _ = networks.resnet_gan((16, 16, 3), 3, width=16, depth=3)
    of_blocks = [k for k in kernels(generator) if k.shape[2] == k.shape[3]]
    gain, blocks = 2 / (1 + 0.2**2), 9
    for first, middle, last in zip(*(of_blocks[i::3] for i in range(3)), strict=True):
        assert not np.any(last)
        for kernel in (first, middle):
            fan_in = np.prod(kernel.shape[:3])
            std = np.sqrt(gain / fan_in) * blocks ** (-1 / 4)
            assert kernel.std() == pytest.approx(std, rel=0.15)


def grouped():
    pair = networks.resnet_gan((8, 8, 3), 2, width=4, groups=2, expansion=2)
    return kg.GAN(*pair, latent_dim=2, loss="hinge", seed=0)


def test_groups_have_a_gradient_or_are_refused_with_the_line_that_mends_it(backend):
    if backend == "jax":
        pytest.skip("XLA has the gradient, with and without groups")
    gan = grouped()
    shapes = {k.shape for k in kernels(gan.discriminator)}
    assert {(3, 3, 4, 8), (3, 3, 8, 16), (1, 1, 4, 8)} <= shapes
    if backend == "tensorflow":
        gan.compile("sgd", "sgd")  # As a file that comes from elsewhere: to sample from.
        with pytest.raises(ValueError, match="groups=2.*pass `jit_compile=True` to `compile`"):
            gan.fit(np.zeros((4, 8, 8, 3), "float32"), verbose=0)
    gan.compile("sgd", "sgd", jit_compile=True if backend == "tensorflow" else "auto")
    before = kernels(gan.discriminator)
    gan.train_on_batch(np.random.default_rng(0).random((4, 8, 8, 3), "float32"))
    assert gan.skipped_updates.numpy().sum() == 0
    # At first nothing goes through a block, as its last convolution is 0.
    changed = [np.any(a != b) for a, b in zip(before, kernels(gan.discriminator), strict=True)]
    assert changed == [True, False, False, True, True, False, False, True, True]


@pytest.mark.once
def test_a_residual_vae_trains_and_has_the_outputs_of_the_convolutional_one(tmp_path):
    shape, arguments = (16, 32, 3), {"num_classes": 3, "parameters_per_value": 2}
    pair = networks.resnet_vae(shape, 5, width=4, attention=True, **arguments)
    like = networks.conv_vae(shape, 5, (4,), **arguments)
    random = np.random.default_rng(0)
    for network, other in zip(pair, like, strict=True):
        assert network.output_shape == other.output_shape
        assert network.input_shape == other.input_shape
        assert any(isinstance(n, keras.layers.MultiHeadAttention) for n in network.layers)
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
        x = [random.random((2, *network.input_shape[0][1:])), np.arange(2)]
        for a, b in zip(*(keras.tree.flatten(n(x)) for n in (network, again)), strict=True):
            np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-6)
    vae = kg.VAE(*pair, likelihood=kg.likelihoods.DiscretizedLogistic(), num_classes=3, seed=0)
    vae.compile(keras.optimizers.Adam(0.01))
    x, y = random.integers(256, size=(4, *shape)).astype("float32") / 255, np.arange(4) % 3
    losses = vae.fit(x, y, batch_size=4, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.once
def test_the_residual_networks_are_made_of_keras_alone():
    """So a network that is saved by itself loads where keras_gen is not installed."""
    gan = networks.resnet_gan((8, 8, 3), 3, width=4, num_classes=3)
    vae = networks.resnet_vae((16, 16, 3), 3, width=4, attention=True, num_classes=3)
    for network in (*gan, *vae):
        assert "keras_gen" not in network.to_json()


@pytest.mark.once
@pytest.mark.parametrize(
    "build, arguments, match",
    [
        (networks.resnet_gan, {"image_shape": (64,)}, "Pass \\(height, width, channels\\)"),
        (networks.resnet_gan, {"width": 0}, "`width` is 0"),
        (networks.resnet_gan, {"depth": 0}, "`depth` is 0"),
        (networks.resnet_gan, {"groups": 3}, "`groups` is 3, and a block has 16 channels"),
        (networks.resnet_gan, {"conditioning": "concat"}, "`conditioning` is 'concat'"),
        (networks.resnet_vae, {"image_shape": (13, 20, 3)}, "divisible by 2"),
        (networks.resnet_vae, {"attention": True}, "never have it"),
        (networks.resnet_vae, {"parameters_per_value": 0}, "`parameters_per_value` is 0"),
    ],
)
def test_what_cannot_be_built_is_refused(build, arguments, match):
    arguments = {"image_shape": (8, 8, 3), "latent_dim": 2, **arguments}
    with pytest.raises(ValueError, match=match):
        build(**arguments)
