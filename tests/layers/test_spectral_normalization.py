import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers, losses
from tests.steps import PenaltyStep

# The wrapped layer, an input shape, and its kernel as a matrix with a column an output channel.
CASES = {
    "Dense": (
        lambda: keras.layers.Dense(3, activation="tanh", bias_initializer="ones"),
        (2, 5),
        lambda kernel: kernel,
    ),
    "Conv2D": (
        lambda: keras.layers.Conv2D(3, 3, strides=2, padding="same", activation="tanh"),
        (2, 4, 4, 2),
        lambda kernel: kernel.reshape(-1, 3),
    ),
    "Conv2DTranspose": (
        lambda: keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
        (2, 4, 4, 2),
        lambda kernel: kernel.transpose(0, 1, 3, 2).reshape(-1, 3),
    ),
    "Conv1D": (
        lambda: keras.layers.Conv1D(3, 2, padding="causal", bias_initializer="ones"),
        (2, 4, 2),
        lambda kernel: kernel.reshape(-1, 3),
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_output_is_that_of_the_kernel_over_its_largest_singular_value(case, training):
    keras.utils.set_random_seed(1)
    make, shape, matrix = CASES[case]
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))
    layer = layers.SpectralNormalization(make(), power_iterations=100)
    layer(x, training=True)
    kernel, bias = layer.layer.get_weights()
    sigma = np.linalg.svd(matrix(kernel), compute_uv=False)[0]
    assert ops.convert_to_numpy(layer.sigma()) == pytest.approx(sigma, rel=1e-5)

    plain = make()
    plain.build(shape)
    plain.set_weights([kernel / sigma, bias])
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x, training=training)),
        ops.convert_to_numpy(plain(x)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_one_step_is_one_power_iteration_by_hand():
    keras.utils.set_random_seed(1)
    layer = layers.SpectralNormalization(keras.layers.Dense(3, use_bias=False), power_iterations=2)
    layer.build((None, 5))
    u, kernel = layer.get_weights()
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    y = ops.convert_to_numpy(layer(ops.convert_to_tensor(x), training=True))
    for _ in range(2):
        u = u @ kernel.T @ kernel
    u = u / np.linalg.norm(u)
    np.testing.assert_allclose(layer.get_weights()[0], u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, x @ kernel / np.linalg.norm(u @ kernel.T), rtol=1e-5, atol=1e-6)


def test_only_training_moves_the_singular_vector_and_nothing_moves_the_kernel():
    layer = layers.SpectralNormalization(keras.layers.Dense(3))
    layer.build((None, 5))
    x = ops.ones((2, 5))
    u, kernel, _ = layer.get_weights()
    at_inference = ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(layer.get_weights()[0], u)
    in_training = ops.convert_to_numpy(layer(x, training=True))
    assert np.abs(layer.get_weights()[0] - u).max() > 1e-3
    assert np.abs(in_training - at_inference).max() > 1e-3
    np.testing.assert_array_equal(layer.get_weights()[1], kernel)
    # After the step, inference is the same function as training was; u is made a unit vector again,
    # which on some processors changes its last bit.
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), in_training, rtol=1e-6)
    assert [weight.name for weight in layer.non_trainable_weights] == ["u"]


def test_the_gradient_goes_through_sigma():
    # A kernel and its multiples give one function, so no gradient points along the kernel.
    inputs = keras.Input((5,))
    wrapped = layers.SpectralNormalization(keras.layers.Dense(3, activation="tanh"))
    outputs = keras.layers.Dense(1)(wrapped(inputs))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    step = PenaltyStep(keras.Model(inputs, outputs), losses.R1(), x)
    kernel = ops.convert_to_numpy(wrapped.layer.kernel)
    gradient = step.gradient()[0]
    assert np.abs(gradient).max() > 0.05
    assert np.sum(gradient * kernel) == pytest.approx(0, abs=1e-5)


def test_a_fitted_layer_has_norm_one_at_inference():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.SpectralNormalization(keras.layers.Dense(5, use_bias=False)),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    model.fit(x, x * [10, 0.3, 0.3, 0.3, 0.3], batch_size=16, epochs=20, verbose=0)
    function = model.predict(np.eye(5, dtype="float32"), verbose=0)
    assert np.linalg.svd(function, compute_uv=False)[0] == pytest.approx(1, rel=1e-2)


def test_a_kernel_of_zeros_gives_the_bias():
    layer = layers.SpectralNormalization(
        keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones")
    )
    y = layer(ops.ones((2, 5)), training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), 1)


def test_sigma_is_float32_and_moves_in_half_precision():
    keras.utils.set_random_seed(1)
    inner = keras.layers.Dense(3, dtype="mixed_float16")
    layer = layers.SpectralNormalization(inner, power_iterations=50, dtype="mixed_float16")
    y = layer(ops.ones((2, 5)), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    sigma = layer.sigma()
    assert keras.backend.standardize_dtype(sigma.dtype) == "float32"
    kernel, _ = layer.layer.get_weights()
    expected = np.linalg.svd(kernel, compute_uv=False)[0]
    assert ops.convert_to_numpy(sigma) == pytest.approx(expected, rel=1e-5)
    expected = np.ones((2, 5)) @ kernel / expected
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, rtol=5e-3, atol=5e-3)


def test_regularisers_of_the_wrapped_layer_count_once():
    layer = layers.SpectralNormalization(keras.layers.Dense(3, kernel_regularizer="l2"))
    layer(ops.ones((2, 5)))
    expected = 0.01 * np.sum(layer.layer.get_weights()[0] ** 2)
    assert [ops.convert_to_numpy(loss) for loss in layer.losses] == [pytest.approx(expected)]


@pytest.mark.parametrize("power_iterations", [0, 1.5])
def test_power_iterations_below_one_are_refused(power_iterations):
    with pytest.raises(ValueError, match="Pass an integer, at least 1"):
        layers.SpectralNormalization(keras.layers.Dense(3), power_iterations)


def test_layers_without_a_kernel_matrix_are_refused():
    with pytest.raises(ValueError, match="is a Flatten. SpectralNormalization wraps Dense, Conv1D"):
        layers.SpectralNormalization(keras.layers.Flatten())
