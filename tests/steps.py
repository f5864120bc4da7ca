"""Gradients for tests, taken inside a step: the one place where every backend takes them."""

import contextlib

import keras
import keras.src.backend.common.dtypes
import numpy as np
from keras import ops

from keras_gen import backend, layers

# JAX compiles each operation of an eager step by itself: one program takes two thirds of the time.
EAGER = {"run_eagerly": keras.config.backend() != "jax"}


def input_gradient(fn, x):
    """d sum(fn(x)) / dx as NumPy."""
    probe = _InputGradient(fn)
    probe.compile(**EAGER)
    return np.asarray(probe.test_on_batch(ops.convert_to_tensor(x), return_dict=True)["gradient"])


class PenaltyStep(keras.Model):
    """Descends on the mean of a penalty over a discriminator, at points given by arrays.

    SGD of step size 1 moves the weights by minus the gradient, which so becomes visible.
    """

    def __init__(self, discriminator, penalty, x_real, x_fake=None, noise=None, training=True):
        super().__init__()
        self.discriminator = discriminator
        self.penalty = penalty
        self.training = training
        self.arrays = [x_real, x_fake, noise]
        self.built = True
        self.compile(optimizer=keras.optimizers.SGD(1.0), **EAGER)

    @backend.step
    def train_step(self, data):
        penalty = backend.descend(self.optimizer, self.trainable_variables, self.mean_penalty)
        return {"penalty": penalty}

    @backend.step
    def test_step(self, data):
        return {"penalty": self.mean_penalty()}

    def mean_penalty(self):
        arrays = [None if a is None else ops.convert_to_tensor(a) for a in self.arrays]
        points = self.penalty.points(*arrays)
        gradient = backend.input_gradient(
            lambda x: self.discriminator(x, training=self.training), points
        )
        return ops.mean(self.penalty.value(gradient))

    def value(self):
        """The mean penalty at the discriminator's weights, all of which stay as they are."""
        weights = self.discriminator.get_weights()
        value = self.test_on_batch(self.arrays[0], return_dict=True)["penalty"]
        self.discriminator.set_weights(weights)
        return float(value)

    def gradient(self):
        """Its gradient by every trainable variable; the weights stay as they are."""
        weights = self.discriminator.get_weights()
        before = [ops.convert_to_numpy(v) for v in self.discriminator.trainable_variables]
        self.train_on_batch(self.arrays[0])
        after = [ops.convert_to_numpy(v) for v in self.discriminator.trainable_variables]
        self.discriminator.set_weights(weights)
        return [b - a for b, a in zip(before, after, strict=True)]

    def slope(self, directions, step=1e-5):
        """The central difference of the penalty along one direction in the weights."""
        variables = self.discriminator.trainable_variables
        values = [ops.convert_to_numpy(v) for v in variables]
        ends = []
        for sign in (1, -1):
            for variable, value, direction in zip(variables, values, directions, strict=True):
                variable.assign(value + sign * step * direction)
            ends.append(self.value())
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return (ends[0] - ends[1]) / (2 * step)


def set_singular_vectors(network):
    """Give each spectral normalisation in it the vector that its power iteration would end at.

    The gradient holds that vector fixed: right once it is found.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, layers.SpectralNormalization):
            axis = -2 if "Transpose" in type(layer.layer).__name__ else -1
            kernel = np.moveaxis(ops.convert_to_numpy(layer.layer.kernel), axis, -1)
            _, _, rows = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))
            layer.u.assign(rows[:1])


@contextlib.contextmanager
def double_precision():
    """Everything made and computed inside is float64: finite differences need the digits."""
    # Off TensorFlow Keras makes float32 of every float64, and JAX does so too.
    table = keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE
    float64, floatx, policy = table["float64"], keras.config.floatx(), keras.config.dtype_policy()
    table["float64"] = "float64"
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    _enable_jax_float64(True)
    try:
        yield
    finally:
        _enable_jax_float64(False)
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx(floatx)
        table["float64"] = float64


class _InputGradient(keras.Model):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn
        self.built = True

    @backend.step
    def test_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"gradient": backend.input_gradient(self.fn, x)}


def _enable_jax_float64(enabled):
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", enabled)
