import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers


def test_minibatch_discrimination_by_hand():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    layer = layers.MinibatchDiscrimination(num_kernels=5, kernel_dim=2)
    y = ops.convert_to_numpy(layer(ops.convert_to_tensor(x)))
    tensor = layer.get_weights()[0].reshape(3, 5, 2)  # T, (A, B, C)
    rows = np.einsum("na,abc->nbc", x, tensor)
    closeness = np.zeros((4, 5))
    for i in range(4):
        for j in range(4):
            closeness[i] += np.exp(-np.abs(rows[i] - rows[j]).sum(axis=-1))
    np.testing.assert_allclose(y, np.concatenate([x, closeness], axis=1), rtol=1e-5, atol=1e-6)


def test_a_collapsed_batch_has_closeness_n_and_no_deviation():
    x = ops.ones((6, 3))
    closeness = ops.convert_to_numpy(layers.MinibatchDiscrimination(2, 2)(x))[:, 3:]
    np.testing.assert_allclose(closeness, 6, rtol=1e-6)
    deviation = ops.convert_to_numpy(layers.MinibatchStdDev()(x))[:, 3:]
    np.testing.assert_allclose(deviation, 1e-4, rtol=1e-3)  # sqrt of the 1e-8 inside the root.


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 4, 3)])
@pytest.mark.parametrize("group_size", [None, 2, 3, 6])
def test_minibatch_deviation_by_hand(shape, group_size):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y = ops.convert_to_numpy(layers.MinibatchStdDev(group_size)(ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(y[..., :3], x)
    groups = 6 // (group_size or 6)
    for i in range(6):
        deviation = x[i % groups :: groups].std(axis=0).mean()  # i, i + groups, ...
        np.testing.assert_allclose(y[i, ..., 3], deviation, rtol=1e-5)


def test_shapes_are_known_before_the_batch_size():
    x = keras.Input((4, 4, 3))
    h = layers.MinibatchStdDev(group_size=4)(x)
    assert h.shape == (None, 4, 4, 4)
    h = layers.MinibatchDiscrimination(5, 2)(keras.layers.Flatten()(h))
    assert h.shape == (None, 69)
    assert keras.Model(x, h)(ops.ones((8, 4, 4, 3))).shape == (8, 69)


@pytest.mark.parametrize("layer", [layers.MinibatchDiscrimination(2, 2), layers.MinibatchStdDev()])
def test_a_batch_of_one_is_refused(layer):
    with pytest.raises(ValueError, match="a single example. Pass at least 2"):
        layer(ops.ones((1, 3)))


def test_a_batch_that_does_not_split_into_groups_is_refused():
    with pytest.raises(ValueError, match="groups of 4, and this one has 6"):
        layers.MinibatchStdDev(group_size=4)(ops.ones((6, 3)))


def test_images_need_flattening_before_discrimination():
    with pytest.raises(ValueError, match=r"Put Flatten\(\) before it"):
        layers.MinibatchDiscrimination(2, 2)(ops.ones((2, 4, 4, 3)))


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_sizes_are_refused_at_the_door(size):
    with pytest.raises(ValueError, match="`num_kernels` is .*at least 1"):
        layers.MinibatchDiscrimination(size, 2)
    with pytest.raises(ValueError, match="`kernel_dim` is .*at least 1"):
        layers.MinibatchDiscrimination(2, size)
    with pytest.raises(ValueError, match="`group_size` is .*at least 2"):
        layers.MinibatchStdDev(size)


@pytest.mark.parametrize(
    "layer",
    [
        layers.MinibatchDiscrimination(3, 2, kernel_initializer=keras.initializers.HeNormal(0)),
        layers.MinibatchStdDev(group_size=2),
    ],
)
def test_config_round_trip(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
