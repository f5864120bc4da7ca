import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers
from keras_gen.layers import conv2d_transpose


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("dilates_slowly", [True, False])
@pytest.mark.parametrize(
    "size, strides, side",
    [
        *((5, 2, (7, 4)), (3, 2, (5, 3)), (4, 2, (3, 6)), (3, 1, (4, 4)), (2, 2, (3, 3))),
        *(((7, 3), (3, 1), (4, 5)), ((3, 5), (2, 3), (3, 2)), (1, 1, (2, 2))),
    ],
)
def test_it_is_the_transpose_of_the_strided_convolution(
    monkeypatch, size, strides, side, dilates_slowly
):
    monkeypatch.setattr(backend, "dilates_slowly", lambda: dilates_slowly)
    monkeypatch.setattr(conv2d_transpose, "FEW_FILTERS", 1)
    layer = layers.Conv2DTranspose(3, size, strides=strides, padding="same", use_bias=False)
    x = np.random.default_rng(0).normal(size=(2, *side, 4)).astype("float32")
    y = value(layer(x))
    s = (strides, strides) if isinstance(strides, int) else strides
    assert y.shape == (2, side[0] * s[0], side[1] * s[1], 3)
    # <T x, v> = <x, C v> for the convolution C by the same kernel, and any v.
    v = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    convolved = value(ops.conv(v, layer.kernel, strides=s, padding="same"))
    np.testing.assert_allclose(np.sum(y * v), np.sum(x * convolved), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2, "padding": "same", "activation": "relu", "bias_initializer": "ones"},
        {"strides": 2, "padding": "valid"},
        {"strides": 3, "padding": "same"},
        {"padding": "same", "dilation_rate": 2},
        {"strides": 2, "padding": "same", "output_padding": 0},
    ],
)
def test_it_is_that_of_keras_with_its_weights(monkeypatch, options):
    monkeypatch.setattr(backend, "dilates_slowly", lambda: True)
    monkeypatch.setattr(conv2d_transpose, "FEW_FILTERS", 1)
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    ours, keras_s = (
        library.Conv2DTranspose(2, 3 if options.get("strides") != 3 else 2, **options)
        for library in (layers, keras.layers)
    )
    ours(x), keras_s(x)
    keras_s.set_weights(ours.get_weights())
    np.testing.assert_allclose(value(ours(x)), value(keras_s(x)), atol=1e-6)


def test_a_network_takes_pictures_of_any_size(monkeypatch):
    monkeypatch.setattr(backend, "dilates_slowly", lambda: True)
    x = keras.Input((None, None, 2))
    network = keras.Model(x, layers.Conv2DTranspose(1, 3, strides=2, padding="same")(x))
    assert network.output_shape == (None, None, None, 1)
    assert network(np.ones((1, 3, 5, 2), "float32")).shape == (1, 6, 10, 1)
