"""Settings of models: numbers that may be variables, their configs, and whether one has changed."""

import contextlib
import functools
import inspect
import weakref

import keras
from keras import ops

from keras_gen.arguments import plain
from keras_gen.borrowed import all_layers

# For each model the settings with which its compiled functions were made: name -> text.
_made_with = weakref.WeakKeyDictionary()


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


def value_of(number):
    """Return the value of a scalar variable, or the number itself; not within a step."""
    if not isinstance(number, keras.Variable):
        return number
    if number.shape != ():
        raise ValueError(f"A variable for a number has shape {number.shape}. Pass a scalar, ().")
    return ops.convert_to_numpy(number).item()


def keep_from_training(number):
    """Mark the variables that stand for a number, or for a pair, as not trained."""
    for part in keras.tree.flatten(number):
        if isinstance(part, keras.Variable):
            part.trainable = False


def in_step(number):
    """Return what a step computes with: the tensor of a variable, or the number itself."""
    if isinstance(number, keras.Variable):
        # TensorFlow multiplies no tensors of different types.
        return ops.cast(ops.convert_to_tensor(number), keras.config.floatx())
    return plain(number)  # TensorFlow multiplies no float32 by a float64 of NumPy.


class TakesVariables:
    """Mixin before `keras.layers.Layer`: `numbers` lists arguments that may be a `keras.Variable`.

    Such a variable is state but no weight: no optimizer moves it, and a file holds its value as
    that of the argument.
    """

    numbers = ()

    def __setattr__(self, name, value):
        if name in self.numbers:
            keep_from_training(value)
            object.__setattr__(self, name, value)  # Keras would make a weight of a variable.
        else:
            super().__setattr__(name, value)

    @property
    def variables(self):
        both = [*super().variables, *_variables_in(self)]
        return list({id(variable): variable for variable in both}.values())


def has_changed(model, function):
    """Return whether a setting has changed since this was asked of the same model and function.

    Settings are the configs of all layers, and the arguments of a model's constructor, which it
    keeps under the same names. The value of a variable is none: each step reads it.
    """
    before = _made_with.setdefault(model, {}).get(function)
    now = _made_with[model][function] = _settings(model)
    return before != now


def _variables_in(thing):
    """Return the variables that a layer, or its parts that are no layers, got for numbers."""
    variables, kept = [], vars(thing)  # No `getattr`: a compiled step asks for them each time.
    for name in _argument_names(type(thing)):
        value = kept.get(name, kept.get(f"_{name}"))  # Behind a property.
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, keras.Variable):
                variables.append(part)
            elif _is_part(part):
                variables += _variables_in(part)
    return variables


def _settings(model):
    of_keras = [model.run_eagerly, model.jit_compile, model.steps_per_execution]
    if getattr(model, "compiled", False) and hasattr(model, "optimized"):
        of_keras += [_of_optimizer(optimizer) for optimizer, _ in model.optimized()]
    return repr([*of_keras, *map(_described, all_layers(model))])


def _described(thing):
    config = {}
    if not isinstance(thing, keras.Model):  # Its layers are described one by one.
        with contextlib.suppress(Exception):  # Written by anybody; it cannot be saved either.
            config = thing.get_config()
    # The config that Keras makes for a layer without one holds what the constructor was given.
    return type(thing).__name__, _plain({**config, **_arguments(thing)})


def _of_optimizer(optimizer):
    kind, config = _described(getattr(optimizer, "inner_optimizer", optimizer))
    if isinstance(config.get("learning_rate"), float):  # Of a variable, which each step reads.
        del config["learning_rate"]
    return kind, config


def _plain(value):
    """Return a form of a setting whose text changes if, and only if, the setting does."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        if value.get("class_name") == "VariableNumber":
            return "variable"
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (keras.Variable, keras.layers.Layer)):
        return id(value)
    if _is_part(value):
        return _described(value)
    if callable(value):
        return id(getattr(value, "__func__", value))
    is_plain = value is None or isinstance(value, (bool, int, float, str, bytes))
    return value if is_plain or hasattr(value, "dtype") else type(value).__name__


def _is_part(value):
    """Return whether a value is an object with settings of its own, such as a schedule."""
    if isinstance(value, (type, keras.layers.Layer, keras.Variable)):
        return False
    return hasattr(type(value), "from_config")


def _arguments(thing):
    names = _argument_names(type(thing))
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


@functools.cache
def _argument_names(kind):
    names = {
        name
        for base in kind.__mro__
        if base.__module__.split(".")[0] not in ("keras", "torch", "tensorflow", "jax", "flax")
        for name in inspect.signature(base.__init__).parameters
    }
    if "loss" in names:  # That attribute of a model is Keras's own.
        names.add("adversarial_loss")
    return sorted(names - {"self", "args", "kwargs", "trainable", "optimizer"})
