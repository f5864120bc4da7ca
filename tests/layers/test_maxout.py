import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers


def test_the_largest_of_neighbours():
    x = ops.convert_to_tensor([[1.0, 2, 3, 6, 5, 4], [-1, -2, -3, -6, -5, -4]])
    np.testing.assert_array_equal(layers.Maxout(3)(x), [[3, 6], [-1, -4]])


def test_two_pieces_make_the_absolute_value():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, layers.Maxout(2)(keras.layers.Dense(2)(inputs)))
    model.set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    x = np.linspace(-2, 2, 7)[:, None]
    np.testing.assert_allclose(model.predict(x, verbose=0), np.abs(x), rtol=1e-6)


def test_images_keep_their_place():
    x = keras.Input((None, None, 6))
    y = layers.Maxout(2)(x)
    assert y.shape == (None, None, None, 3)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype("float32")
    expected = np.maximum(x[..., ::2], x[..., 1::2])
    np.testing.assert_array_equal(layers.Maxout(2)(ops.convert_to_tensor(x)), expected)


@pytest.mark.parametrize("pieces", [0, 2.5])
def test_pieces_below_one_are_refused(pieces):
    with pytest.raises(ValueError, match="Pass an integer, at least 1"):
        layers.Maxout(pieces)


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="one of every 4 channels, and its input has 6"):
        layers.Maxout(4)(ops.ones((2, 6)))
