"""The exported functions of a model, with the names and shapes of their inputs."""

import inspect
from typing import NamedTuple

import keras
from keras import ops

from keras_gen.dtypes import in_float32


class Signature(NamedTuple):
    """One function of an exported model.

    Attributes:
        function: Function of tensors, in the order of `inputs`, that returns a dictionary of
            tensors by name.
        inputs: `keras.InputSpec`s with names. None is the size of the batch. An integer input
            holds labels, except a `seed` of shape (2,).
        draws: True if it draws random numbers: the same ones for the same `seed`, or, without
            that input, from a stream of the model. ONNX files have no such functions.
    """

    function: object
    inputs: list
    draws: bool = False


def samplers(stream, shape, examples, has_labels):
    """Return the signatures `sample` and `sample_seeded` of `examples(noise, y)`, tensors.

    The noise is (batch, *shape), from the `Noise` layer `stream`. The input `like` gives the size
    of the batch. With `has_labels` it holds the labels y, int32 (batch,), and else y is None.
    """

    def noise(like):
        return stream.normal((ops.shape(like)[0], *shape))

    def sample(like):
        return {"x": examples(noise(like), like if has_labels else None)}

    def sample_seeded(like, seed):
        # Only the noise is drawn in this scope: on JAX the weights would become constants.
        with keras.StatelessScope([(stream.seed_generator.state, seed)]):
            drawn = noise(like)
        return {"x": examples(drawn, like if has_labels else None)}

    like = keras.InputSpec(shape=(None,), dtype="int32", name="like")
    seed = keras.InputSpec(shape=(2,), dtype="int32", name="seed")
    return {
        "sample": Signature(sample, [like], draws=True),
        "sample_seeded": Signature(sample_seeded, [like, seed], draws=True),
    }


def signatures(model, format):
    """Return the functions of a model that a format can hold: a name -> `Signature`."""
    signatures = model.signatures()
    if model.num_classes is not None:
        signatures = {
            name: _with_unknown_labels(signature, model.num_classes)
            for name, signature in signatures.items()
        }
    if format == "onnx":
        # No one can load the files of random numbers that tf2onnx and torch write.
        signatures = {name: s for name, s in signatures.items() if not s.draws}
    return signatures


def _with_unknown_labels(signature, num_classes):
    # NaN for labels out of range, the input `y` or else `like`: a served model raises no error.
    names = [spec.name for spec in signature.inputs]
    found = [names.index(name) for name in ("y", "like") if name in names]
    if not found:
        return signature
    place = found[0]

    def function(*inputs):
        y = inputs[place]
        inputs = list(inputs)
        inputs[place] = ops.clip(y, 0, num_classes - 1)
        known = ops.cast(ops.reshape(inputs[place] == y, (ops.shape(y)[0], -1)), "float32")
        # sqrt(0) is 0, and sqrt(-1) is NaN. Not `where`: tf2onnx makes a product of it, and
        # NaN times 0 is NaN.
        nothing = ops.sqrt(ops.min(known, axis=1) - 1)
        return {
            name: _marked(value, ops.reshape(nothing, (-1, *[1] * (len(value.shape) - 1))))
            for name, value in signature.function(*inputs).items()
        }

    return signature._replace(function=function)


def _marked(value, nothing):
    """Return floats with NaN where `nothing` is NaN, and integers with -1 there."""
    if keras.backend.is_float_dtype(value.dtype):
        return value + nothing
    known = ops.cast(nothing == 0, value.dtype)
    return (value + 1) * known - 1


def named_function(signature):
    """Return a signature's function with its inputs' names as parameters, and float32 outputs."""

    def function(*inputs):
        outputs = signature.function(*inputs)
        return {
            name: in_float32(v) if keras.backend.is_float_dtype(v.dtype) else v
            for name, v in outputs.items()
        }

    function.__signature__ = inspect.Signature(
        inspect.Parameter(spec.name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for spec in signature.inputs
    )
    return function
