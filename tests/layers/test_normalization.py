import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers
from tests.steps import input_gradient

CASES = {
    "BatchNormalization": ("BatchNormalization", {"momentum": 0.9}),
    "BatchNormalization of axis 1": ("BatchNormalization", {"axis": 1, "scale": False}),
    "LayerNormalization": ("LayerNormalization", {}),
    "LayerNormalization of images": ("LayerNormalization", {"axis": [1, 2, 3]}),
    "LayerNormalization, plain": ("LayerNormalization", {"scale": False, "center": False}),
    "GroupNormalization": ("GroupNormalization", {"groups": 2}),
    "GroupNormalization of axis 1": ("GroupNormalization", {"groups": 3, "axis": 1}),
    "instance normalisation": ("GroupNormalization", {"groups": -1, "center": False}),
}


def pair(case):
    """Our layer and Keras's, with the same random weights, and an input."""
    name, arguments = CASES[case]
    random = np.random.default_rng(0)
    x = random.normal(1, 2, size=(5, 3, 2, 4)).astype("float32")
    ours, theirs = (getattr(of, name)(**arguments) for of in (layers, keras.layers))
    for layer in (ours, theirs):
        layer.build(x.shape)
    weights = [random.uniform(0.5, 2, size=weight.shape) for weight in ours.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs, x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_moving_statistics_are_those_of_keras(case, training):
    ours, theirs, x = pair(case)
    arguments = {"training": training} if "Batch" in case else {}
    for _ in range(2):
        y, expected = (
            ops.convert_to_numpy(layer(ops.convert_to_tensor(x), **arguments))
            for layer in (ours, theirs)
        )
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=2e-6)
    for weight, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_first_derivatives_are_those_of_keras(case):
    ours, theirs, x = pair(case)
    arguments = {"training": True} if "Batch" in case else {}
    gradient, expected = (
        input_gradient(lambda x, of=layer: ops.sin(of(x, **arguments)), x)
        for layer in (ours, theirs)
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_configs_are_those_of_keras(case):
    ours, theirs, _ = pair(case)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ours))
    assert type(again) is type(ours)
    assert {**again.get_config(), "name": ""} == {**theirs.get_config(), "name": ""}


def test_half_precision_is_normalised_in_float32():
    x = np.array([[300.0, 300.0, -300.0, -300.0]], "float16")  # Squares overflow in float16.
    layer = layers.LayerNormalization(dtype="mixed_float16")
    y = layer(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(ops.convert_to_numpy(y), np.sign(x), rtol=1e-3)


def test_images_of_any_size_keep_their_shape():
    x = keras.Input((None, None, 4))
    for layer in (layers.BatchNormalization(), layers.GroupNormalization(groups=2)):
        y = layer(x)
        assert y.shape == (None, None, None, 4)
        assert keras.Model(x, y)(ops.ones((2, 3, 5, 4))).shape == (2, 3, 5, 4)
