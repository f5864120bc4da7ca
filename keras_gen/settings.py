"""Settings with which a model's compiled functions were made, and which of them have changed."""

import contextlib
import weakref

import keras

from keras_gen.borrowed import all_layers
from keras_gen.configs import argument_names, is_part

# For each model the settings with which its functions were made: function -> name -> text.
_made_with = weakref.WeakKeyDictionary()
ALL = ("all settings",)


def has_changed(model, function):
    """Return whether a setting has changed since this was asked of the same model and function."""
    return bool(changed(model, function))


def changed(model, function):
    """Return the names of settings, such as "VAE.beta", that have changed since this was asked.

    The first time it is `ALL`. Settings are the configs of all layers, and the arguments of a
    model's constructor, which it keeps under the same names. The value of a variable is none:
    each step reads it.
    """
    before = _made_with.setdefault(model, {}).get(function)
    now = _made_with[model][function] = _settings(model)
    if before is None:
        return ALL
    names = [key[1] for key in {**before, **now} if before.get(key) != now.get(key)]
    return list(dict.fromkeys(names))


def _settings(model):
    names = ("run_eagerly", "jit_compile", "steps_per_execution")
    things = [(name, getattr(model, name)) for name in names]
    if getattr(model, "compiled", False) and hasattr(model, "optimized"):
        things += [("optimizer", _of_optimizer(optimizer)) for optimizer, _ in model.optimized()]
    for layer in all_layers(model):
        name = type(model).__name__ if layer is model else layer.name
        things.append((name, _described(layer)))
    # Two layers may have one name.
    return {(i, name): text for i, thing in enumerate(things) for name, text in _texts(*thing)}


def _texts(name, value):
    """Yield the name and the text of each part of what `_plain` or `_described` returns."""
    if isinstance(value, tuple):
        kind, value = value
        yield name, kind
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(f"{name}.{key}", part)
    elif isinstance(value, list) and any(isinstance(part, (dict, tuple)) for part in value):
        for i, part in enumerate(value):
            yield from _texts(f"{name}[{i}]", part)
        yield name, str(len(value))
    else:
        yield name, repr(value)


def _described(thing):
    """Return the class of a layer or part, and its settings, a tuple (name, dictionary)."""
    config = {}
    if not isinstance(thing, keras.Model):  # Its layers are described one by one.
        with contextlib.suppress(Exception):  # Written by anybody; it cannot be saved either.
            config = thing.get_config()
    # The config that Keras makes for a layer without one holds what the constructor was given.
    names = argument_names(type(thing))
    given = getattr(thing, "__dict__", {})  # Behind a property stands what it was set to.
    kept = {name: given[f"_{name}"] for name in names if f"_{name}" in given}
    plain = {
        name: getattr(thing, name) for name in names if name not in kept and hasattr(thing, name)
    }
    return type(thing).__name__, _plain({**config, **plain, **kept})


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
    if is_part(value):
        return _described(value)
    if callable(value):
        return id(getattr(value, "__func__", value))
    is_plain = value is None or isinstance(value, (bool, int, float, str, bytes))
    return value if is_plain or hasattr(value, "dtype") else type(value).__name__
