"""What a model does with data: it has them checked, and reads them for training or for use."""

import keras
import numpy as np
from keras import ops

from keras_gen import checks, distribution, door
from keras_gen.arguments import check_fraction, check_integer
from keras_gen.data.ordered import OrderedDataset
from keras_gen.dtypes import wide

# Arguments of Keras's methods that are integers, and the least that each may be.
INTEGERS = {
    **dict.fromkeys(("batch_size", "validation_batch_size"), 1),
    **dict.fromkeys(("steps_per_epoch", "validation_steps", "steps"), 1),
    **dict.fromkeys(("epochs", "initial_epoch"), 0),
}


class ReadsData:
    """Mixin of a model with `check_data`, `check_labels` and `example_shape`.

    `white` is the integer that stands for 1 where the data are integers, or None.
    """

    white = None

    def check_input_data(self, data, y=None):
        """Return the data, of any kind that `fit` accepts; ValueError if they are visibly wrong.

        Arrays are checked whole, of a stream the first batch. A generator comes back whole. A
        model that is not built is built for the data.
        """
        x, y, sample_weight = self.admit(data, y)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def admit(self, data, y=None, sample_weight=None):
        """Return (x, y, sample_weight) as Keras reads them, each None if it is not there.

        x is a stream or an array. ValueError as `check_input_data`.
        """
        _, *admitted = self._admit(data, y, sample_weight)
        return admitted

    def _admit(self, data, y, sample_weight):
        """Return the examples that were checked, NumPy, next to what `admit` returns."""
        kind = door.stream_kind(data)
        if kind is None:
            x, *next_to = door.split(data, self.example_shape)
            y, sample_weight = (
                given if given is not None else found
                for given, found in zip((y, sample_weight), next_to, strict=True)
            )
            return self._admit_arrays(x, y, sample_weight)
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(
                    f"`{name}` was given next to a {kind}. Put it into the batches: (x, y), or "
                    f"(x, y, sample_weight)."
                )
        first, data = door.opened(data, self.example_shape)
        examples, *_ = self._admit_arrays(*door.split(first, self.example_shape, kind), kind=kind)
        if isinstance(data, OrderedDataset):
            self._check_batches(data.num_read, data.batch_size)
        else:
            n = len(examples) // distribution.count_devices(self)
            self.check_batch_size(n, n)
        return examples, data, None, None

    def _admit_arrays(self, x, y, sample_weight, kind=None):
        if x is None:
            raise ValueError(door.NO_DATA)
        examples = door.as_examples(x, self.example_shape, kind, self.white)
        self.check_data(examples)
        # For advice where losses are not finite. Not np.abs, which would be a copy of all data.
        self.largest = float(max(examples.max(), -examples.min()))
        if sample_weight is not None:
            sample_weight = door.as_weights(sample_weight)
        if self.num_classes is not None:
            y = self.check_labels(y, len(examples))
        elif y is not None:
            y = door.as_targets(y)
        checks.check_lengths(examples, sample_weight=sample_weight)
        self.check_next_to(examples, y, sample_weight)
        if not self.built:
            # Here and not in the first step, which TensorFlow would be compiling already.
            self.build((None, *examples.shape[1:]))
            if self.compiled:
                self.build_optimizer()
        if sample_weight is not None and y is None:
            y = np.zeros(len(examples), "float32")  # Without a y Keras drops the weights.
        return examples, x if ops.is_tensor(x) else examples, y, sample_weight

    def admit_arguments(self, arguments, method):
        """Put the data among the arguments of `fit` and others into the form that Keras reads.

        Returns the examples to train on that were checked, NumPy: all, or a stream's first batch.
        """
        self.check_integers(arguments)
        names = ("x", "y", "sample_weight")
        examples, x, y, sample_weight = self._admit(*map(arguments.get, names))
        on_batch, is_array = "on_batch" in method, door.stream_kind(x) is None
        if not is_array:
            _check_arguments_of_stream(x, arguments, method)
        validation, num_held_out = arguments.get("validation_data"), None
        if validation is not None:
            validation, *next_to = self.admit(validation)
            if door.stream_kind(validation) is None:
                num_held_out = len(validation)
                checks.check_lengths(validation, y=next_to[0])
            validation = distribution.own_part(self, validation)
            arguments["validation_data"] = keras.utils.pack_x_y_sample_weight(validation, *next_to)
        if is_array and on_batch and distribution.process()[1] > 1:  # The part of this process.
            self.check_batch_size(len(x), len(x))
        elif is_array:
            self._check_batches_of_arrays(arguments, len(x), num_held_out, on_batch)
        if is_array and not on_batch:
            checks.check_lengths(x, y=y)
        if not on_batch:
            x = distribution.own_part(self, x)
        arguments.update(zip(names, (x, y, sample_weight), strict=True))
        return examples[: _num_trained(len(examples), arguments)]

    def initialize_from_data(self, examples):
        """Set weights that start at what the data are like, from examples that are trained on."""

    def admit_inputs(self, inputs):
        """Return what `predict` is given, inputs of a call, as Keras reads them; or ValueError."""
        kind = door.stream_kind(inputs)
        if kind is not None and self.num_classes is not None:
            way = " Or use `reconstruct`, which reads them." if hasattr(self, "encode") else ""
            raise ValueError(
                f"`predict` leaves out the labels of a {kind}, and this {type(self).__name__} "
                f"needs them. Pass arrays, a list of both inputs.{way}"
            )
        if isinstance(inputs, OrderedDataset) and distribution.count_devices(self) == 1:
            inputs = inputs.in_order()
        if kind is not None:
            first, inputs = door.opened(inputs, None)
            self.as_input(door.split(first, None, kind)[0], kind)
            return inputs
        x, y = self.split_labels(inputs)
        x = self.as_input(x)
        return x if y is None else [x, self.labels(y, len(x))]

    def as_input(self, x, kind=None):
        """Return a batch of examples for a call, NumPy; ValueError if a use must refuse them."""
        x = door.as_examples(x, self.example_shape, kind, self.white)
        self.check_input(x)
        return x.astype(wide(self.variable_dtype), copy=False)

    def check_input(self, x):
        self.check_used(x)

    def check_integers(self, arguments):
        """Make Python's integers of the numbers among the arguments of a method of Keras."""
        for name, least in INTEGERS.items():
            if arguments.get(name) is not None:
                arguments[name] = check_integer(name, arguments[name], least)
        if arguments.get("validation_split") is not None:
            check_fraction("validation_split", arguments["validation_split"])

    def read_batch(self, data):
        """Return (x, y, sample_weight) of a step's batch, x checked and in float32 or wider.

        Values outside `value_bounds` become NaN: then the update is left out and noted. Before
        training only the first batch of a stream is checked for them.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        checks.check_examples(x, self.example_shape, type(self).__name__)
        self.check_next_to(x, y, sample_weight)
        x = ops.cast(x, wide(self.variable_dtype))
        if self.value_bounds() is not None:
            low, high = self.value_bounds()
            outside = ops.abs(x - (low + high) / 2) > (0.5 + 1e-3) * (high - low)
            x = ops.where(outside, float("nan"), x)
        return x, y, sample_weight

    def value_bounds(self):
        """Return (low, high) if the model can make no other values, or None."""

    def check_next_to(self, x, y, sample_weight):
        """Raise ValueError if a step cannot use what comes next to the examples `x`."""

    def over_parts(self, use, data, y=None, check=None):
        """Return use(x, y) of the data that `fit` accepts, NumPy, in their order.

        `use` is called with arrays once, with a stream part by part, and the results are joined. y
        holds labels, int32 (n,), or None without classes: the argument `y`, or those in the data.
        `check` is called with x, by default `check_used`.
        """
        given = None if y is None else door.as_numpy(y, "y")
        kind, results, start = door.stream_kind(data), [], 0
        has_labels = self.num_classes is not None and given is None
        for x, labels in door.parts(data, self.example_shape, has_labels):
            (check or self.check_used)(x)
            x = x.astype(wide(self.variable_dtype), copy=False)
            if given is not None:
                whole = given.ndim == 0 or kind is None
                labels = given if whole else given[start : start + len(x)]
            results.append(use(x, self.labels(labels, len(x))))
            start += len(x)
        if not results:
            raise ValueError(door.NO_DATA)
        if given is not None and given.ndim and len(given) != start:
            raise ValueError(f"`y` has {len(given)} labels for {start} examples. Pass as many.")
        if len(results) == 1:
            return results[0]
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *results)

    def check_used(self, x):
        """Raise ValueError if a use of the trained model cannot be given the examples `x`."""
        self.check_data(x)

    def whole(self, data, y=None, check=None):
        """Return `(x, y)` of the data that `fit` accepts, NumPy; y is None without classes."""
        x, *y = self.over_parts(lambda *pair: [v for v in pair if v is not None], data, y, check)
        return x, y[0] if y else None

    def _check_batches(self, n, batch_size):
        devices = distribution.count_devices(self)
        distribution.check_batch_size(n, batch_size, devices)
        self.check_batch_size(n // devices, batch_size // devices)

    def _check_batches_of_arrays(self, arguments, n, num_held_out, on_batch):
        batch_size = arguments.get("batch_size") or (n if on_batch else 32)  # Keras's default.
        num_trained = _num_trained(n, arguments)
        if num_trained < n:
            num_held_out = n - num_trained
        self._check_batches(num_trained, batch_size)
        if num_held_out:
            batch_size = arguments.get("validation_batch_size") or batch_size
            self._check_batches(num_held_out, batch_size)


def _num_trained(n, arguments):
    """Return how many of n examples `validation_split` leaves to train on."""
    split = arguments.get("validation_split")
    if not split or arguments.get("validation_data") is not None:
        return n
    return int(n * (1 - split))  # As in Keras.


def _check_arguments_of_stream(data, arguments, method):
    kind = door.stream_kind(data)
    if "on_batch" in method:
        raise ValueError(f"`{method}` got a {kind}. Pass one batch: arrays (n, ...).")
    if arguments.get("validation_split"):
        raise ValueError(
            f"`validation_split` divides arrays, and the data are a {kind}. Pass `validation_data`."
        )
    if method == "fit" and kind != "PyDataset":
        arguments.setdefault("shuffle", False)  # Keras would warn that it cannot.
    if method == "fit" and isinstance(data, OrderedDataset):
        data.check_steps(arguments.get("steps_per_epoch"))
        arguments["shuffle"] = False  # The data have an order of their own.
