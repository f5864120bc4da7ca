"""Numbers of models that may be variables, and their configs."""

import functools
import inspect
import math
import numbers
import warnings

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen.arguments import plain
from keras_gen.dtypes import output_dtype


@keras.saving.register_keras_serializable("keras_gen")
class VariableNumber:
    """A `keras.Variable` that was given for a number, as a config writes it: by its value."""

    def __init__(self, variable):
        self.variable = variable

    def get_config(self):
        return {"value": value_of(self.variable), "dtype": self.variable.dtype}

    @classmethod
    def from_config(cls, config):
        return keras.Variable(config["value"], dtype=config["dtype"], trainable=False)


def serialize(number):
    """Return the config of a number, of a pair, or of a schedule or variable for a number."""
    if isinstance(number, (tuple, list)):
        return tuple(map(serialize, number))
    if isinstance(number, keras.Variable):
        number = VariableNumber(number)
    return keras.saving.serialize_keras_object(number)


def deserialize(config):
    """Return the arguments of a constructor from a config with such numbers."""
    return {name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}


class Configured:
    """Base class of objects whose config is their constructor's arguments, by default none."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**deserialize(config))


def value_of(number):
    """Return the value of a scalar variable, or the number itself; not within a step."""
    if not isinstance(number, keras.Variable):
        return number
    if number.shape != ():
        raise ValueError(f"A variable for a number has shape {number.shape}. Pass a scalar, ().")
    return ops.convert_to_numpy(number).item()


def check_not_negative(name, value):
    """Return a number or variable; ValueError unless its value is finite and not negative."""
    number = plain(value_of(value))
    if not isinstance(number, numbers.Real) or not 0 <= number < math.inf:
        raise ValueError(
            f"`{name}` is {value!r}. Pass a number that is not negative, or a scalar "
            f"`keras.Variable`."
        )
    return value


def check_weight(name, value):
    """Return a number, variable or schedule; ValueError as `check_not_negative`."""
    scheduled = isinstance(value, LearningRateSchedule)
    check_not_negative(name, float(value(0)) if scheduled else value)
    return value


def check_positive(name, value):
    """Return a number or variable; ValueError unless its value is positive and finite."""
    number = plain(value_of(value))
    if not isinstance(number, numbers.Real) or not 0 < number < math.inf:
        raise ValueError(f"`{name}` is {value!r}. Pass a positive number, or such a variable.")
    return value


def keep_from_training(number):
    """Mark the variables that stand for a number, or for a pair, as not trained."""
    for part in keras.tree.flatten(number):
        if isinstance(part, keras.Variable):
            part.trainable = False


def in_step(number):
    """Return what a step computes with: the tensor of a variable, or the number itself."""
    if isinstance(number, keras.Variable):
        # TensorFlow multiplies no tensors of different types.
        return ops.cast(ops.convert_to_tensor(number), output_dtype())
    return plain(number)  # TensorFlow multiplies no float32 by a float64 of NumPy.


def at_step(number, step):
    """Return what a step computes with, as `in_step`, and of a schedule its value at `step`."""
    if isinstance(number, LearningRateSchedule):
        return ops.cast(number(step), output_dtype())
    return in_step(number)


class ChecksNumbers:
    """Mixin before other bases: `numbers` maps the names of attributes to `check(name, value)`.

    Whoever sets such an attribute gets the check's ValueError, or what it returns as the value.
    """

    numbers = {}

    def __setattr__(self, name, value):
        if name in self.numbers:
            value = self.numbers[name](name, value)
            keep_from_training(value)
            object.__setattr__(self, name, value)  # Keras would make a weight of a variable.
        else:
            super().__setattr__(name, value)


class TakesVariables(ChecksNumbers):
    """Mixin before `keras.layers.Layer`, of whose `numbers` each may be a `keras.Variable`.

    Such a variable is state but no weight: no optimizer moves it, and a file holds its value as
    that of the argument.
    """

    @property
    def variables(self):
        both = [*super().variables, *_variables_in(self)]
        return list({id(variable): variable for variable in both}.values())


def _variables_in(thing):
    """Return the variables that a layer, or its parts that are no layers, got for numbers."""
    variables, kept = [], vars(thing)  # No `getattr`: a compiled step asks for them each time.
    for name in argument_names(type(thing)):
        value = kept.get(name, kept.get(f"_{name}"))  # Behind a property.
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, keras.Variable):
                variables.append(part)
            elif is_part(part):
                variables += _variables_in(part)
    return variables


def is_part(value):
    """Return whether a value is an object with settings of its own, such as a schedule."""
    if isinstance(value, (type, keras.layers.Layer, keras.Variable)):
        return False
    return hasattr(type(value), "from_config")


@functools.cache
def argument_names(kind):
    """Return the names of what the constructors of a class and of its bases take, not Keras's."""
    names = {
        name
        for base in kind.__mro__
        if base.__module__.split(".")[0] not in ("keras", "torch", "tensorflow", "jax", "flax")
        for name in inspect.signature(base.__init__).parameters
    }
    if "loss" in names:  # That attribute of a model is Keras's own.
        names.add("adversarial_loss")
    return sorted(names - {"self", "args", "kwargs", "trainable", "optimizer"})


def warn_of_lost_arguments(model):
    """Warn if `get_config` of a user's class leaves out an argument that was given to it.

    The class is that of the model or of a part. A file lacks the argument: a loaded object has the
    default.
    """
    parts = [model]
    for value in vars(model).values():
        parts += value if isinstance(value, (list, tuple)) else [value]
    for kind, part in {type(part): part for part in parts}.items():
        makers = [_definer(kind, name) for name in ("__init__", "from_config", "get_config")]
        if None in makers or not _is_users(makers[0]) or _is_users(makers[1]):
            continue
        try:
            known = set(part.get_config())
        except Exception:  # Written by anybody; what cannot be written says so itself.
            continue
        for name, taken in list(inspect.signature(kind.__init__).parameters.items())[1:]:
            is_kept = name in known or taken.kind in (taken.VAR_POSITIONAL, taken.VAR_KEYWORD)
            value = getattr(part, name, taken.default)
            if is_kept or repr(value) == repr(taken.default):  # Of arrays, == is no truth value.
                continue
            warnings.warn(
                f"`get_config` of {kind.__name__} does not return `{name}`, so a loaded one has "
                f'the default. Let it return `{{**super().get_config(), "{name}": '
                f"self.{name}}}`.",
                stacklevel=3,
            )


def _definer(kind, name):
    return next((base for base in kind.__mro__ if name in vars(base)), None)


def _is_users(kind):
    return kind.__module__.split(".")[0] not in ("keras", "keras_gen", "builtins")
