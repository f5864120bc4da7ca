"""JAX on a CPU: the transposed convolution without zeros is Keras's."""

import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

if keras.config.backend() != "jax":
    pytest.skip("on TensorFlow and torch Keras's own is as fast", allow_module_level=True)

jax = pytest.importorskip("jax")
if jax.default_backend() != "cpu":
    pytest.skip("on a GPU Keras's own is as fast", allow_module_level=True)

from keras_gen.accelerate.conv2d_transpose import without_dilation  # noqa: E402


def value(tensor):
    return ops.convert_to_numpy(tensor)


def network_of(*layers, channels=4):
    return keras.Sequential([keras.Input((None, None, channels)), *layers])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def is_keras_s(layer):
    """Whether the layer runs its class's own `call`."""
    return layer.call.__func__ is type(layer).call if hasattr(layer.call, "__func__") else False


SIZES = [
    *((5, 2, (7, 4)), (3, 2, (5, 3)), (4, 2, (3, 6)), (3, 1, (4, 4)), (2, 2, (3, 3))),
    *((3, 3, (2, 3)), ((7, 3), (3, 1), (4, 5)), ((3, 5), (2, 3), (3, 2)), (1, 1, (2, 2))),
]


@pytest.mark.parametrize("size, strides, side", SIZES)
def test_it_is_the_transpose_of_the_strided_convolution(size, strides, side):
    layer = keras.layers.Conv2DTranspose(9, size, strides, padding="same", use_bias=False)
    model = network_of(layer)
    without_dilation(model)
    assert not is_keras_s(layer)
    x = draw(2, *side, 4)
    y = value(model(x))
    s = (strides, strides) if isinstance(strides, int) else strides
    assert y.shape == (2, side[0] * s[0], side[1] * s[1], 9)
    # <T x, v> = <x, C v> for the convolution C by the same kernel, and any v.
    v = draw(*y.shape, seed=1)
    convolved = value(ops.conv(v, layer.kernel, strides=s, padding="same"))
    np.testing.assert_allclose(np.sum(y * v), np.sum(x * convolved), rtol=1e-4, atol=1e-3)


BIAS = {"activation": "relu", "bias_initializer": "random_normal"}


@pytest.mark.parametrize(
    "size, strides, side, options",
    [
        *((*case, BIAS) for case in SIZES),
        (5, 2, (7, 4), {}),
        (5, 2, (7, 4), {"use_bias": False, "activation": "tanh", "kernel_regularizer": "l2"}),
    ],
)
def test_values_and_gradients_are_those_of_keras_s_layer(size, strides, side, options):
    config = {"filters": 9, "kernel_size": size, "strides": strides, "padding": "same", **options}
    layers = [keras.layers.Conv2DTranspose(**config) for _ in range(2)]
    ours, keras_s = (network_of(layer) for layer in layers)
    keras_s.set_weights(ours.get_weights())
    without_dilation(ours)
    assert [is_keras_s(layer) for layer in layers] == [False, True]
    x = draw(2, *side, 4)
    target = draw(2, *value(keras_s(x)).shape[1:], seed=1)

    def gradients_of(model):
        def loss(weights, x):
            y, _ = model.stateless_call(weights, [], x)
            return ops.mean(ops.square(y - target))

        return jax.grad(loss, argnums=(0, 1))([w.value for w in model.trainable_weights], x)

    tolerance = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(value(ours(x)), value(keras_s(x)), **tolerance)
    (a, dx), (b, dx_of_keras) = gradients_of(ours), gradients_of(keras_s)
    for gradient, expected in zip([*a, dx], [*b, dx_of_keras], strict=True):
        np.testing.assert_allclose(gradient, expected, **tolerance)


class OnesOwn(keras.layers.Conv2DTranspose):
    pass


@pytest.mark.parametrize(
    "layer",
    [
        lambda: OnesOwn(9, 3, 2, padding="same"),
        lambda: keras.layers.Conv2DTranspose(9, 3, 2, padding="valid"),
        lambda: keras.layers.Conv2DTranspose(1, 3, 2, padding="same"),
        lambda: keras.layers.Conv2DTranspose(9, 3, padding="same", dilation_rate=2),
        lambda: keras.layers.Conv2DTranspose(9, 3, 2, padding="same", output_padding=0),
        lambda: keras.layers.Conv2DTranspose(9, 2, 3, padding="same"),
        lambda: keras.layers.Conv2D(9, 3, 2, padding="same"),
    ],
    ids=["subclass", "valid", "few filters", "dilated", "output padding", "gaps", "convolution"],
)
def test_other_layers_are_left_alone(layer):
    layer = layer()
    without_dilation(network_of(layer))
    assert is_keras_s(layer)


def test_layers_of_networks_within_networks_are_meant_and_only_in_models_that_are_compiled():
    layer = keras.layers.Conv2DTranspose(9, 3, 2, padding="same")
    inner = network_of(layer)
    outer = keras.Sequential([keras.Input((8, 8, 4)), inner])
    assert is_keras_s(layer)
    without_dilation(outer)
    assert not is_keras_s(layer)


def conv_vae():
    return kg.VAE(*kg.networks.conv_vae(tiny.IMAGE_SHAPE, 3, filters=(8, 8)), seed=1)


def transposed(model):
    layers = model.decoder.layers
    return [layer for layer in layers if type(layer) is keras.layers.Conv2DTranspose]


def test_a_model_that_is_compiled_twice_trains_as_with_keras_s_layer():
    ends = []
    for compiles in (0, 1, 2):
        keras.utils.set_random_seed(0)
        model = conv_vae()
        for _ in range(max(compiles, 1)):
            model.compile(keras.optimizers.SGD(0.01))
        if compiles == 0:
            for layer in transposed(model):
                vars(layer).pop("call", None)
        fast = [not is_keras_s(layer) for layer in transposed(model)]
        assert any(fast) == bool(compiles)
        model.fit(tiny.images(16), batch_size=8, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for weights in ends[1:]:
        for a, b in zip(ends[0], weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_file_knows_nothing_of_it(tmp_path):
    model = conv_vae()
    config = model.decoder.get_config()
    model.compile("adam")
    assert any(not is_keras_s(layer) for layer in transposed(model))
    assert model.decoder.get_config() == config
    model.save(tmp_path / "vae.keras")
    with zipfile.ZipFile(tmp_path / "vae.keras") as file:
        assert b"dilation" not in file.read("config.json").replace(b"dilation_rate", b"")
    z = draw(5, 3)
    for loaded in (
        keras.saving.load_model(tmp_path / "vae.keras", compile=False),
        keras.saving.load_model(tmp_path / "vae.keras"),
    ):
        np.testing.assert_allclose(loaded.generate(z), model.generate(z), rtol=1e-5, atol=1e-6)
        assert any(not is_keras_s(layer) for layer in transposed(loaded)) == loaded.compiled
    copied = keras.models.clone_model(model.decoder)
    assert all(is_keras_s(layer) for layer in copied.layers)


def test_a_network_takes_pictures_of_any_size():
    network = network_of(keras.layers.Conv2DTranspose(9, 3, strides=2, padding="same"), channels=2)
    without_dilation(network)
    assert network.output_shape == (None, None, None, 9)
    for side in ((3, 5), (4, 2)):
        x = np.ones((1, *side, 2), "float32")
        assert network(x).shape == (1, 2 * side[0], 2 * side[1], 9)
    x = keras.Input((None, None, 2))
    assert keras.Model(x, network(x)).output_shape == (None, None, None, 9)
