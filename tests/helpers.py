"""Parts of tests that several files share."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen import backend
from tests.steps import double_precision

DEFAULT = pytest.param({}, id="default")
EAGER = pytest.param({"run_eagerly": True}, id="eager")
COMPILED = pytest.param({"jit_compile": True}, id="jit_compile")
MODES = [DEFAULT, EAGER, COMPILED]
every_mode = pytest.mark.parametrize("mode", MODES)
# Without the mode whose `train_on_batch` is that of another: JAX compiles by default (and gives
# memory away with jit_compile=True, but in `fit` alone), PyTorch's default is eager.
SAME_AS_DEFAULT = {"jax": COMPILED, "torch": EAGER, "tensorflow": None}[keras.config.backend()]
BATCH_MODES = [m for m in MODES if m is not SAME_AS_DEFAULT]
every_batch_mode = pytest.mark.parametrize("mode", BATCH_MODES)
every_precision = pytest.mark.parametrize("precision", ["float32", "float64"])


def is_slow(mode):
    """Whether a step takes a tenth of a second and more: eager JAX traces each one."""
    return keras.config.backend() == "jax" and mode.get("run_eagerly", False)


def in_precision(precision):
    """Return a context in which everything is made and computed in `precision`."""
    return double_precision() if precision == "float64" else contextlib.nullcontext()


def whole_in_precision(network, precision):
    """Return a copy of `network`, not trained, of which no layer has a dtype of its own.

    Those of `kg.networks` end in float32, whatever the policy.
    """

    def copy(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": precision})

    return keras.models.clone_model(network, clone_function=copy)


def tolerance(precision, optimizer):
    """Return the error that rounding may leave; Adam magnifies that of small gradients."""
    if precision == "float64":
        return 1e-8
    return 1e-5 if optimizer == "sgd" else 1e-4


# Powers of two, as tests/golden/make.py has them.
GOLDEN_OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(2**-7),
    "adam": lambda: keras.optimizers.Adam(2**-8, 0.5, 1 - 2**-10, 2**-23),
}


class GivenNoise(kg.layers.Sampling):
    """Noise that comes with the batch: the draws of one step, handed out in order."""

    def hand_out(self, draws):
        self.draws = iter(draws)

    def normal(self, shape):
        return next(self.draws)

    def uniform(self, shape):
        return next(self.draws)


class _VAEGivenNoise:
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sampling = GivenNoise()

    def unpack(self, data, training=True):
        x, noise, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, sample_weight, *_ = super().unpack((x,))
        # TensorFlow multiplies no float32, which the weights are, with the float64 of some tests.
        return x, ops.cast(sample_weight, x.dtype), noise

    def objective(self, x, sample_weight, y=None, *, training=True):
        # As an input of the objective the noise also reaches one that is compiled by itself.
        self.sampling.hand_out([y])
        return super().objective(x, sample_weight, training=training)


class _GANGivenNoise:
    stream = "noise"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        setattr(self, self.stream, GivenNoise())

    @backend.step
    def train_step(self, data):
        x, noise, _ = keras.utils.unpack_x_y_sample_weight(data)
        getattr(self, self.stream).hand_out(noise)
        return super().train_step((x,))


class _VAEGANGivenNoise(_GANGivenNoise):
    stream = "sampling"


def given_noise(model):
    """Return the class `model` with the noise of training as an input: `train_on_batch(x, noise)`.

    A VAE's noise is one array, the eps of z. A GAN's is a tuple of arrays in the order in which
    the step draws: of each discriminator step z and what the penalties need, then of each
    generator step z. A VAEGAN's is one too: of each player's step eps, then z of the prior.
    """
    kinds = {kg.GAN: _GANGivenNoise, kg.VAEGAN: _VAEGANGivenNoise, kg.VAE: _VAEGivenNoise}
    mixin = next(mixin for kind, mixin in kinds.items() if issubclass(model, kind))
    return type(f"{model.__name__}GivenNoise", (mixin, model), {})


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def weights_of(model):
    return [numpy(weight) for weight in model.weights]


def state_of(model):
    """Return all that training moves, the optimizer's part and noise included, as copies."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(numpy(variable)) for variable in variables]


def put_back(model, state):
    """Put back what `state_of` gave. What the model has traced or compiled is kept: that takes
    most of the time of a test.
    """
    variables = [*model.variables, *model.optimizer.variables]
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)
