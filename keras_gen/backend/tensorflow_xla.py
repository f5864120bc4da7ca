"""Which models TensorFlow compiles by XLA on a CPU, where Keras compiles none."""

import keras
import tensorflow as tf
from keras import layers

# It has no public name.
from keras.src.trainers.trainer import model_supports_jit


def gains_by_xla(model, optimizer):
    # Keras's default on a GPU; on several devices it is refused.
    if not model.built or tf.config.list_logical_devices("GPU") or model._distribute_strategy:
        return False
    # Faster with products of matrices, and slower with convolutions.
    dense = all(len(variable.shape) <= 2 for variable in model.weights)
    parts = [*model._flatten_layers(), optimizer, *_parts(optimizer)]
    return dense and all(map(_is_known_to_xla, parts)) and model_supports_jit(model)


# Of others it is not known whether XLA compiles them, and those that draw Keras's noise take
# twenty times as long under it.
_KNOWN = {
    *(layers.InputLayer, layers.Dense, layers.Embedding),
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax),
    *(layers.Flatten, layers.Reshape, layers.Concatenate, layers.Add, layers.Multiply),
    *(layers.BatchNormalization, layers.LayerNormalization, layers.Rescaling),
}


def _is_known_to_xla(part):
    """Layers that are known, with functions of Keras's or this library's; and their models."""
    if isinstance(part, keras.Layer) and not isinstance(part, keras.Model):
        known = type(part) in _KNOWN or _package(part) == "keras_gen"
    else:
        operations = getattr(part, "operations", [])
        known = all(isinstance(operation, keras.Layer) for operation in operations)
    return known and all(
        _package(thing) in ("keras", "keras_gen") for thing in (part, *_parts(part))
    )


def _parts(thing):
    """The functions, losses, schedules and so on that `thing` has."""
    return [
        part
        for value in getattr(thing, "__dict__", {}).values()
        for part in (value if isinstance(value, (list, tuple)) else (value,))
        if callable(part) or hasattr(part, "get_config")
    ]


def _package(thing):
    if isinstance(thing, str):  # Keras's name of it.
        return "keras"
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return module.partition(".")[0]
