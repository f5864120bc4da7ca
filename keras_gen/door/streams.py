"""Streams of batches: tf.data, PyDataset, DataLoader, generators."""

import copy
import functools
import itertools
import math
import os
import sys

import keras
import numpy as np

from keras_gen.arguments import TWO_SETS
from keras_gen.backend.torch_tensors import tensor_of_torch
from keras_gen.data.arrays import ArrayDataset
from keras_gen.data.mapped import MappedDataset
from keras_gen.data.ordered import OrderedDataset
from keras_gen.door.arrays import as_examples, as_numpy, as_targets, as_weights
from keras_gen.door.shapes import shape_of

# Examples of a stream that a trained model is given at a time.
PART = 128

NO_DATA = "There are no data: `x` is None or an empty stream."


def stream_kind(data):
    """Return the name of this kind of stream of batches, or None if `data` is no stream."""
    if isinstance(data, keras.utils.PyDataset):
        return "PyDataset"
    if hasattr(data, "__next__"):
        return "generator"
    if hasattr(data, "element_spec"):
        return "tf.data.Dataset"
    for cls in type(data).__mro__:
        room = cls.__module__.split(".")[0]
        if room == "torch" and cls.__name__ == "DataLoader":
            return "DataLoader"
        if room == "grain" and cls.__name__ in ("MapDataset", "IterDataset", "DataLoader"):
            return "grain dataset"
    return None


def opened(data, example_shape):
    """Return the first batch of a stream as it is, and the stream for Keras to read.

    An `ArrayDataset` shows all its arrays. A generator comes back with its first batch. Its
    batches, and those of a `PyDataset` or a DataLoader, become tuples of arrays on their way.
    """
    kind = stream_kind(data)
    if isinstance(data, ArrayDataset):
        first = data.arrays
    elif kind == "PyDataset":
        first = data[0] if data.num_batches != 0 else None
    else:
        first = next(data if kind == "generator" else iter(data), None)
    if first is None:
        raise ValueError(NO_DATA)
    shape = example_shape
    if shape is None:
        shape = shape_of(split(first, None, kind)[0])[1:]
    standard = functools.partial(
        standard_batch, example_shape=example_shape, kind=kind, shape=shape
    )
    if kind == "PyDataset":
        data = data if isinstance(data, OrderedDataset) else MappedDataset(data, standard)
    elif kind == "generator":
        data = (standard(batch) for batch in itertools.chain([first], data))
    elif kind == "tf.data.Dataset":
        data = _with_sizes(data, first)
    elif kind == "DataLoader":
        loader, data = data, copy.copy(data)
        data.collate_fn = functools.partial(_collated, loader.collate_fn, standard)
    return first, data


def parts(data, example_shape, labelled):
    """Yield (x, y) in order, NumPy: arrays once, a stream in parts of `PART` examples or more.

    Without `labelled` y is None. An `OrderedDataset` is read in the order of its examples, whatever
    `fit` does.
    """
    kind, shape, read, size = stream_kind(data), None, [], 0
    for batch in [data] if kind is None else _batches(data):
        x, y, _ = split(batch, example_shape, kind)
        x = as_examples(x, example_shape, kind)
        shape = x.shape[1:] if shape is None else shape
        _check_alike(x, shape, kind)
        read.append((x, as_numpy(y, "y") if labelled and y is not None else None))
        size += len(x)
        if size >= PART:
            yield _joined(read)
            read, size = [], 0
    if read:
        yield _joined(read)


def head(data, n, y=None):
    """Return (x, y) of the first `n` examples, NumPy: `y`, or the labels in the data, or None."""
    read, size = [], 0
    if isinstance(data, list) and len(set(map(shape_of, data))) == 1:
        data = as_numpy(data)  # Three images are no (x, y, sample_weight).
    for part in parts(data, None, labelled=y is None):
        read.append(part)
        size += len(part[0])
        if size >= n:
            break
    if not read:
        raise ValueError(NO_DATA)
    x, found = _joined(read)
    y = found if y is None else as_numpy(y, "y")
    if y is not None and y.size == len(y):  # Labels; what has more numbers is left as it is.
        y = y.reshape(-1)
    return x[:n], None if y is None else y[:n]


def some(data, n):
    """Return (x, y) of up to `n` examples, as `head`, in random order, the same each time.

    They are drawn from all of an array or of a set of `kg.data`, and no others are read; of
    another stream they are the first ones.
    """
    random = np.random.default_rng(0)
    if isinstance(data, OrderedDataset):
        return head(data.examples(random.permutation(data.num_examples)[:n]), n)
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if not (isinstance(x, np.ndarray) and x.ndim):  # Such as a list, which is no file on a disk.
        x, y = head(data, n if stream_kind(data) else sys.maxsize)
    elif y is not None:
        y = as_numpy(y, "y")
    if y is not None and len(y) != len(x):
        raise ValueError(f"There are {len(x)} examples and {len(y)} labels. Pass one for each.")
    rows = random.permutation(len(x))[:n]
    return head((x[rows], None if y is None else y[rows]), n)


def split(batch, example_shape, kind=None):
    """Return (x, y, sample_weight) of a batch or of whole arrays, with None for what is not there.

    A list of examples, each of the `example_shape`, is one x.
    """
    if not isinstance(batch, (tuple, list)) or not batch:
        return batch, None, None
    if isinstance(batch[0], (str, os.PathLike)):  # A list of paths, which is refused as such.
        return batch, None, None
    if stream_kind(batch[0]) not in (None, "generator"):
        raise ValueError(TWO_SETS)
    stacks = kind in ("tf.data.Dataset", "grain dataset", "DataLoader")
    if stacks or (kind is not None and isinstance(batch, tuple)):
        is_x = False
    elif example_shape is None:
        is_x = isinstance(batch, list) and not hasattr(batch[0], "shape")
    else:
        is_x = len(batch) > 1 or isinstance(batch, list)
        is_x = is_x and all(shape_of(part) == example_shape for part in batch)
        if kind is None and isinstance(batch, list):  # Of several inputs, for Keras's models.
            is_x = is_x or any(math.prod(shape_of(part)[1:]) > 1 for part in batch[1:])
    if is_x:
        return batch, None, None
    if len(batch) > 3:
        if kind is None:
            return batch, None, None
        raise ValueError(
            f"A batch of the {kind} has {len(batch)} parts, of shapes "
            f"{', '.join(str(shape_of(part)) for part in batch)}. Pass x, (x, y) or (x, y, "
            f"sample_weight)."
        )
    return (*batch, None, None)[:3]


def standard_batch(batch, example_shape, kind, shape=None):
    """Return a batch as a tuple of arrays: x, and y and sample_weight if they are there.

    `shape` is that of the examples of the first batch; ValueError if these have another.
    """
    x, y, sample_weight = split(batch, example_shape, kind)
    x = as_examples(x, example_shape, kind)
    _check_alike(x, shape, kind)
    y = None if y is None else as_targets(y)
    if sample_weight is not None:
        y = np.zeros(len(x), "float32") if y is None else y
        return x, y, as_weights(sample_weight)
    return (x,) if y is None else (x, y)


def _check_alike(x, shape, kind):
    """Raise ValueError unless the examples of a batch have the shape of those before."""
    if (
        shape is None
        or x.ndim == 1 + len(shape)
        and all(size in (None, came) for size, came in zip(shape, x.shape[1:], strict=True))
    ):
        return
    raise ValueError(
        f"A batch of the {kind} holds examples of shape {x.shape[1:]}, and {shape} is expected, as "
        f"in the first. Give all the same shape."
    )


def _batches(data):
    """Iterate over the batches of a stream, each once."""
    endless = ValueError("The data never end. Pass a stream that does, such as `data.take(10)`.")
    if isinstance(data, OrderedDataset):
        for start in range(0, data.num_examples, data.batch_size):
            yield data.examples(slice(start, min(start + data.batch_size, data.num_examples)))
    elif isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise endless
        yield from (data[index] for index in range(data.num_batches))
    else:
        if stream_kind(data) == "tf.data.Dataset" and int(data.cardinality()) == -1:
            raise endless
        yield from data


def _joined(read):
    x, y = zip(*read, strict=True)
    if len(read) == 1:
        return x[0], y[0]
    return np.concatenate(x), None if y[0] is None else np.concatenate(y)


def _collated(collate, standard, examples):
    return keras.tree.map_structure(tensor_of_torch, standard(collate(examples)))


def _with_sizes(data, first):
    """Return a `tf.data.Dataset` of tensors; sizes that it leaves open are those of `first`."""
    specs = keras.tree.flatten(data.element_spec)
    if not all(type(spec).__name__ == "TensorSpec" for spec in specs):
        return data
    if not any(spec.shape.rank is None or None in tuple(spec.shape)[1:] for spec in specs):
        return data
    shapes = [(None, *part.shape[1:]) for part in keras.tree.flatten(first)]

    def sized(*batch):
        for tensor, shape in zip(keras.tree.flatten(batch), shapes, strict=True):
            tensor.set_shape(shape)
        return batch if len(batch) > 1 else batch[0]

    return data.map(sized)
