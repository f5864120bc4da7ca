import math

import keras
import numpy as np
from keras import ops

from keras_gen import bounds, configs, seeds
from keras_gen.dtypes import in_float32

ROUNDING = 1e-6


def elementwise(value_log_prob):
    """Mark a `value_log_prob` that treats every value alike, wherever it stands in an example.

    `log_prob` then flattens the examples to (batch, values) before it calls the method. On a CPU,
    XLA is many times slower if the last axis has size 1, as in grey images, even if only the
    output is flattened. The mark belongs to the method. A method that overrides it has no mark,
    because it may depend on the position.
    """
    value_log_prob.elementwise = True
    return value_log_prob


class Likelihood(configs.TakesVariables, seeds.SavesSeeds, keras.layers.Layer):
    """Base class of the likelihoods: a subclass writes `value_log_prob`, `mean` and `sample`.

    It writes `check_data` too if not every finite value has a density, and sets
    `parameters_per_value` if the decoder gives more than one output for each value. Decorate it
    with `@keras.saving.register_keras_serializable(...)`, so that a model's file knows it. Its
    arguments are attributes and in `get_config`, next to `super().get_config()`. `KINDS` in
    `keras_gen/likelihoods/__init__.py` lists the classes that have a name, as "bernoulli" has.
    A `value_log_prob` that treats every value by itself is faster with `@elementwise`.

    Args:
        seed: Integer or None, for `sample`.
    """

    parameters_per_value = 1  # Decoder outputs for every value of x.
    needs_raw_outputs = True  # Not from a sigmoid or the like.
    white = None  # The integer that 1 stands for, where the data are levels.
    domain = None  # (least, greatest) value with a density; None if every finite one has one.

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        (stream,) = seeds.split(seed, 1)
        self.seed_generator = keras.random.SeedGenerator(stream)
        self.built = True  # A weight is made in __init__: its shape does not depend on x.

    def log_prob(self, x, parameters):
        """Return log p(x | parameters) of every example in nats, (batch,)."""
        x, parameters = in_float32(x), in_float32(parameters)
        self.check_shapes(tuple(x.shape), tuple(parameters.shape))
        shape = tuple(x.shape[1:])
        fits = shape == tuple(parameters.shape[1:]) and None not in shape
        if fits and getattr(self.value_log_prob, "elementwise", False):
            x, parameters = (ops.reshape(v, (-1, math.prod(shape))) for v in (x, parameters))
        value_log_prob = self.value_log_prob(x, parameters)
        _check_shape(self, "value_log_prob", value_log_prob, (None, *x.shape[1:]), "value")
        return ops.sum(value_log_prob, axis=list(range(1, len(value_log_prob.shape))))

    def value_log_prob(self, x, parameters):
        """Return log p of every number in `x`, in nats, in the shape of `x`."""
        raise NotImplementedError(f"{type(self).__name__} has no `value_log_prob`. Write it.")

    def mean(self, parameters):
        """Return E[x | parameters], in the shape of the data."""
        raise NotImplementedError(f"{type(self).__name__} has no `mean`. Write it.")

    def sample(self, parameters):
        """Draw from p(x | parameters), in the shape of the data.

        By `self.noise`, or with `seed=self.seed_generator`: the model sets that stream where it
        is asked for draws with a seed, and knows no other.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `sample`. Write it.")

    def check_data(self, x):
        """Raise ValueError if the NumPy array `x` holds a value of density zero, as NaN is."""
        if not np.all(np.isfinite(x)):
            raise ValueError("The data hold NaN or infinite values. Remove them before training.")

    def check_shapes(self, x_shape, parameters_shape):
        """Raise ValueError unless the decoder's output has the right shape for the data."""
        expected = (*x_shape[1:-1], x_shape[-1] * self.parameters_per_value)
        if tuple(parameters_shape[1:]) != expected:
            raise ValueError(
                f"The decoder's output has shape {tuple(parameters_shape[1:])}. For data of "
                f"shape {tuple(x_shape[1:])}, {type(self).__name__} takes {expected}: "
                f"{self.parameters_per_value} output(s) for every value. Change the decoder's "
                f"last layer, or pass another likelihood."
            )

    def check_bounds(self, low, high):
        """Raise ValueError if a decoder whose outputs stay in [low, high] squashes them."""
        if low >= -1 and high <= 1:
            raise ValueError(
                f"The decoder {bounds.describe(low, high)}. {type(self).__name__} expects raw "
                f"outputs of any size: leave the activation out."
            )

    def noise(self, distribution, parameters):
        """Draw from `keras.random.uniform` or `normal`, in the shape and type of `parameters`."""
        dtype = keras.backend.standardize_dtype(parameters.dtype)
        return distribution(ops.shape(parameters), dtype=dtype, seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.parameters_per_value)

    def call(self, parameters):
        return self.mean(parameters)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**configs.deserialize(config))


def log_prob(likelihood, x, parameters):
    """Return `likelihood.log_prob(x, parameters)`; ValueError unless it is (batch,)."""
    values = likelihood.log_prob(x, parameters)
    _check_shape(likelihood, "log_prob", values, (x.shape[0],), "example")
    return values


def _check_shape(likelihood, method, values, expected, unit):
    shape = tuple(values.shape)
    sizes = zip(shape, expected, strict=False)
    if len(shape) != len(expected) or any(None not in pair and len({*pair}) > 1 for pair in sizes):
        raise ValueError(
            f"`{method}` of {type(likelihood).__name__} gives the shape {shape}, and {expected} is "
            f"expected: one number for each {unit}. Take sums or means over no other axes."
        )


def check_in_unit_interval(x, likelihood, top=None):
    """Raise ValueError unless every value of the NumPy array `x` lies in [0, 1].

    `top` is the greatest level of data in levels 0, 1, ..., which may come without having been
    divided by it.
    """
    low, high = float(np.min(x)), float(np.max(x))
    # Data that were scaled in float32 may end at 1 + 1e-7. NaN fails both comparisons.
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    way = "Scale all data alike, those of validation too: into [0, 1]"
    if x.ndim < 4:  # No images.
        way += (
            "; or, for `likelihood=Gaussian()`, by `(x - x_train.mean(axis=0)) / "
            "(x_train.std(axis=0) + 1e-6)`"
        )
    if not np.isfinite(high - low):
        raise ValueError(
            f"{type(likelihood).__name__} takes values in [0, 1], and the data lie in "
            f"[{low:g}, {high:g}]. Remove NaN and infinite values."
        )
    if low >= 0 and high <= 255 and (top == 255 or (top is None and high > 127)):
        way = "Divide 8-bit images by 255"
    elif low >= 0 and top is not None and high <= top:
        way = f"Divide levels from 0 to {top} by {top}"
    elif top is not None and (low, high) == (1, top + 1):
        way = f"For levels from 1 to {top + 1} pass `(x - 1) / {top}`"
    raise ValueError(
        f"{type(likelihood).__name__} takes values in [0, 1], and the data lie in "
        f"[{low:g}, {high:g}]. {way}."
    )
