import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers
from tests import steps


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(
    "size, options",
    [
        (5, {"strides": 2, "padding": "same", "activation": "relu", "bias_initializer": "ones"}),
        (4, {"strides": 2, "padding": "same", "use_bias": False}),
        (3, {"padding": "same", "bias_initializer": "ones"}),
        ((2, 5), {"strides": (3, 2), "padding": "same"}),
        (1, {"strides": 2, "padding": "same"}),
        (3, {"strides": 2, "padding": "valid"}),
        (3, {"padding": "same", "dilation_rate": 2}),
        (3, {"padding": "same", "groups": 2}),
    ],
)
@pytest.mark.parametrize("side", [(5, 4), (6, 7)])
def test_it_and_its_gradients_are_those_of_keras(size, options, side):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *side, 4)).astype("float32")
    ours, keras_s = (library.Conv2D(2, size, **options) for library in (layers, keras.layers))
    ours(x), keras_s(x)
    keras_s.set_weights(ours.get_weights())
    y = value(keras_s(x))
    np.testing.assert_allclose(value(ours(x)), y, atol=1e-6)
    v = rng.normal(size=y.shape).astype("float32")
    slopes = [steps.input_gradient(lambda x: ops.multiply(f(x), v), x) for f in (ours, keras_s)]  # noqa: B023
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_a_network_takes_pictures_of_any_size():
    x = keras.Input((None, None, 2))
    network = keras.Model(x, layers.Conv2D(1, 5, strides=2, padding="same")(x))
    assert network.output_shape == (None, None, None, 1)
    assert network(np.ones((1, 4, 5, 2), "float32")).shape == (1, 2, 3, 1)
