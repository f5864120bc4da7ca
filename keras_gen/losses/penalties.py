"""Penalties on a discriminator's gradient: the points where it is taken, and its cost there.

`GAN` computes the gradient of the discriminator's raw output at `points`, and adds the mean of
`value` to the discriminator's loss.
"""

import contextlib
import copy
import re

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen import configs, layers
from keras_gen.borrowed import all_layers
from keras_gen.dtypes import in_float32, output_dtype
from keras_gen.identifiers import resolve

# How TensorFlow, JAX and PyTorch say that an operation has no gradient, or no second one.
NO_DERIVATIVE = re.compile("(?i)gradient (registry|defined)|differentiat|derivative .*implemented")


def _check_weight(name, value):
    if not isinstance(value, LearningRateSchedule):
        configs.check_not_negative(name, value)
    return value


class Penalty(configs.ChecksNumbers, configs.Configured):
    """Base class of the penalties; `GradientPenalty` is only the one of WGAN-GP.

    A subclass writes `points` and `value`, and `draw` if its points are random. Decorate it with
    `@keras.saving.register_keras_serializable(...)`, so that a GAN's file knows it. Its arguments,
    if it has any, are attributes and in `get_config`. `KINDS` lists the classes that have a name,
    as "r1" has. The numbers of those here may be scalar `keras.Variable`s, which each step reads,
    or schedules, which a GAN reads at `optimizer.iterations`.

    Example:

    ```python
    @keras.saving.register_keras_serializable("mine")
    class Halfway(kg.losses.Penalty):
        def points(self, x_real, x_fake, noise):
            return (x_real + x_fake) / 2

        def value(self, gradient):
            return ops.sum(ops.square(gradient), axis=list(range(1, len(gradient.shape))))


    Halfway().value(keras.ops.ones((1, 4)))  # 4
    ```
    """

    def draw(self, random, x_real):
        """Return the noise that `points` needs, or None.

        `random` is the model's stream, with `normal(shape)` and `uniform(shape)`, the second over
        [0, 1). Only this method draws, so recorded noise can replace it.
        """
        return None

    def points(self, x_real, x_fake, noise):
        """Return the points where the gradient is taken; row i belongs to row i of `x_real`."""
        raise NotImplementedError

    def value(self, gradient):
        """Return the cost of the gradient at the points, one value per example, (batch,)."""
        raise NotImplementedError

    def at(self, step):
        """Return a copy with the values at a training step in place of schedules."""
        penalty = copy.copy(self)
        for name, number in vars(self).items():
            if isinstance(number, LearningRateSchedule):
                vars(penalty)[name] = ops.cast(number(step), output_dtype())
        return penalty


@keras.saving.register_keras_serializable("keras_gen")
class GradientPenalty(Penalty):
    """Penalty of WGAN-GP: weight * (|grad D(x)| - target)^2, between real and fake examples.

    x = eps x_real + (1 - eps) x_fake, with one eps from U[0, 1] for each pair. |grad| is the
    Euclidean norm over all axes except the batch.

    Args:
        weight: Not negative; lambda in the paper.
        target: Norm of the gradient that costs nothing. 0 gives the zero-centred variant.

    Example:

    ```python
    GradientPenalty().value(keras.ops.ones((1, 4)))  # 10 (2 - 1)^2 = 10
    ```

    Reference:
        Gulrajani et al. (2017), "Improved Training of Wasserstein GANs", equation 3 and
        algorithm 1: https://arxiv.org/abs/1704.00028
    """

    numbers = dict.fromkeys(("weight", "target"), _check_weight)

    def __init__(self, weight=10.0, target=1.0):
        self.weight = weight
        self.target = target

    def draw(self, random, x_real):
        return random.uniform((ops.shape(x_real)[0], *[1] * (len(x_real.shape) - 1)))

    def points(self, x_real, x_fake, noise):
        sizes = x_real.shape[0], x_fake.shape[0]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f"GradientPenalty mixes each real example with a fake one, and there are "
                f"{sizes[0]} real and {sizes[1]} fake examples. Draw as many fake ones as there "
                f"are real ones."
            )
        eps = ops.cast(noise, x_real.dtype)
        return eps * x_real + (1.0 - eps) * x_fake

    def value(self, gradient):
        weight, target = configs.in_step(self.weight), configs.in_step(self.target)
        return weight * ops.square(_norm(gradient) - target)

    def get_config(self):
        return {"weight": configs.serialize(self.weight), "target": configs.serialize(self.target)}


@keras.saving.register_keras_serializable("keras_gen")
class DRAGAN(GradientPenalty):
    """Penalty of DRAGAN: weight * (|grad D(x)| - target)^2, around the real examples.

    x = x_real + scale * std * noise, with noise from N(0, I); std is the standard deviation of
    all numbers in the batch. The paper draws from N(0, c I) without std, for one range of pixels.
    Public implementations scale by std, with this default.

    Args:
        weight: Not negative; lambda in the paper.
        scale: Standard deviation of the noise, in units of that of the batch.
        target: Norm of the gradient that costs nothing; k in the paper.

    Example:

    ```python
    DRAGAN().value(keras.ops.ones((1, 4)))  # 10 (2 - 1)^2 = 10
    ```

    Reference:
        Kodali et al. (2017), "On Convergence and Stability of GANs":
        https://arxiv.org/abs/1705.07215
    """

    numbers = {**GradientPenalty.numbers, "scale": _check_weight}

    def __init__(self, weight=10.0, scale=0.5, target=1.0):
        super().__init__(weight, target)
        self.scale = scale

    def draw(self, random, x_real):
        return random.normal(ops.shape(x_real))

    def points(self, x_real, x_fake, noise):
        scale = configs.in_step(self.scale)
        return x_real + scale * ops.std(x_real) * ops.cast(noise, x_real.dtype)

    def get_config(self):
        return {**super().get_config(), "scale": configs.serialize(self.scale)}


@keras.saving.register_keras_serializable("keras_gen")
class R1(Penalty):
    """R1 penalty: gamma / 2 |grad D(x)|^2 at the real examples.

    Args:
        gamma: Not negative. The paper uses 10 for images; toy data need 1 or less.

    Example:

    ```python
    R1(gamma=10.0).value(keras.ops.ones((1, 4)))  # 10 / 2 * 4 = 20
    ```

    Reference:
        Mescheder et al. (2018), "Which Training Methods for GANs do actually Converge?",
        equation 9: https://arxiv.org/abs/1801.04406
    """

    numbers = {"gamma": _check_weight}

    def __init__(self, gamma=10.0):
        self.gamma = gamma

    def points(self, x_real, x_fake, noise):
        return x_real

    def value(self, gradient):
        return 0.5 * configs.in_step(self.gamma) * _squared_norm(gradient)

    def get_config(self):
        return {"gamma": configs.serialize(self.gamma)}


@keras.saving.register_keras_serializable("keras_gen")
class R2(R1):
    """R2 penalty: gamma / 2 |grad D(x)|^2 at the fake examples.

    Args:
        gamma: Not negative.

    Example:

    ```python
    penalties = [R1(gamma=1.0), R2(gamma=1.0)]
    ```

    Reference:
        Mescheder et al. (2018), equation 10: https://arxiv.org/abs/1801.04406
    """

    def points(self, x_real, x_fake, noise):
        return x_fake


KINDS = (GradientPenalty, DRAGAN, R1, R2)


def get(identifier):
    """Return a penalty as it is, or make one from a name such as "r1"."""
    example = "penalty object such as R1(gamma=10.0)"
    return resolve(identifier, Penalty, KINDS, "A penalty", example)


def check_second_derivatives(discriminator):
    """Raise ValueError if a penalty's gradient would be wrong, without a warning, on TensorFlow."""
    if keras.config.backend() != "tensorflow":
        return
    for layer in all_layers(discriminator):
        replacement = _replacement(layer)
        if replacement:
            raise ValueError(
                f"The discriminator has a penalty on its gradient and the layer {layer.name!r} "
                f"inside, a {type(layer).__name__} of Keras, whose second derivative is wrong "
                f"on {keras.config.backend()}. Use {replacement} instead."
            )


@contextlib.contextmanager
def explained():
    """Turn the error of a framework that cannot take a penalty's gradient into advice."""
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        said = str(error).strip()
        if not NO_DERIVATIVE.search(said):
            raise
        raise ValueError(
            f"A penalty needs the discriminator's gradient, and the derivative of that by the "
            f"weights. {keras.config.backend()} cannot take them: {said.splitlines()[-1]}. Replace "
            f"the layer that does this, or leave the penalties out; "
            f"`kg.layers.SpectralNormalization` bounds the slope without one."
        ) from error


def _replacement(layer):
    for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        wrong, right = getattr(keras.layers, name), getattr(layers, name)
        if isinstance(layer, wrong) and not isinstance(layer, right):
            return f"keras_gen.layers.{name}"
    resizes = isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation != "nearest"
    if resizes or isinstance(layer, keras.layers.Resizing):
        return 'UpSampling2D(interpolation="nearest") or a layer with strides'
    return None


def _norm(gradient):
    # The slope of the square root at 0 is infinite: a flat discriminator would make all NaN.
    return ops.sqrt(_squared_norm(gradient) + 1e-12)


def _squared_norm(gradient):
    squares = ops.square(in_float32(gradient))
    return ops.sum(squares, axis=list(range(1, len(gradient.shape))))
