"""The door of the library: data become arrays of numbers, or are refused with a reason.

Data are arrays, or a stream of batches. The functions know no model. `owner` is the name of the
class that an error message speaks of, `example_shape` the shape of one example, or None if it is
not known.
"""

from keras_gen.door.arrays import (
    as_examples,
    as_labels,
    as_numbers,
    as_numpy,
    as_targets,
    as_weights,
    check_type,
    check_weights,
)
from keras_gen.door.shapes import axes_of
from keras_gen.door.streams import NO_DATA, head, opened, parts, some, split, stream_kind

__all__ = [
    "NO_DATA",
    "as_examples",
    "as_labels",
    "as_numbers",
    "as_numpy",
    "as_targets",
    "as_weights",
    "axes_of",
    "check_type",
    "check_weights",
    "head",
    "opened",
    "parts",
    "some",
    "split",
    "stream_kind",
]
