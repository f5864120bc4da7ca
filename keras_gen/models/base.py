"""What all models share: the door of `fit`, the logs, and how they are saved."""

import contextlib
import copy
import functools
import inspect
import pathlib
import tempfile

import keras
import numpy as np
from keras import ops

from keras_gen import backend, distribution, export, optimizers, seeds
from keras_gen.backend import memory
from keras_gen.data import ArrayDataset
from keras_gen.data.ordered import OrderedDataset
from keras_gen.metrics import Means
from keras_gen.models import fitting


class GenerativeModel(backend.FasterFit, seeds.SavesSeeds, keras.Model):
    """Base class of the models. A subclass writes `train_step`, `test_step`, `check_data`.

    `logged` names what a step's logs hold. Each step hands its scalars to `track`. `players`
    names what `optimized` lists.
    """

    logged = ("loss",)
    players = ("model",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # For each player the number of its first update that was not finite, or 0.
        self.first_bad_updates = self.add_weight(
            shape=(len(self.players),),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            aggregation="only_first_replica",
            name="first_bad_updates",
        )
        self.means = Means(self.logged)
        self._same_on_all = False  # The processes of a `distribution`, and this model's weights.
        self.example_shape = None  # Without the batch; known when the networks are.

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        jit_compile="auto",
        **kwargs,
    ):
        """As `keras.Model.compile`, without a loss and metrics: the model is their owner.

        Raises:
            ValueError: If `loss`, `loss_weights`, `metrics` or `weighted_metrics` is given.
        """
        refused = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        for name, value in refused.items():
            if value is not None:
                raise ValueError(
                    f"`compile` got {name}={value!r}, but the loss of {type(self).__name__} is "
                    f"part of the model and its logs are {', '.join(self.logged)}. Leave "
                    f"`{name}` out; for another loss, subclass {type(self).__name__}."
                )
        self._jit_compile_argument = jit_compile
        auto = jit_compile == "auto" and not kwargs.get("run_eagerly")
        if auto and backend.gains_by_xla(self, optimizer):
            jit_compile = True
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        distribution.check_compiled(self)
        if self.built:
            # Loading fills the optimizer's variables only if they are there.
            self.build_optimizer()

    def optimized(self):
        """Pairs of an optimizer and the variables that it moves."""
        return [(self.optimizer, self.trainable_variables)]

    def note_descents(self, reports):
        """Keeps the number of each player's first update that was left out as not finite."""
        first = ops.convert_to_tensor(self.first_bad_updates)
        for optimizer, finite, update in reports:
            mine = np.array([optimizer is other for other, _ in self.optimized()])
            is_first = ops.logical_and(first == 0, ops.logical_not(finite))
            first = ops.where(ops.logical_and(is_first, mine), update, first)
        self.first_bad_updates.assign(first)

    @functools.wraps(keras.Model.save)
    def save(self, filepath, *args, **kwargs):
        if distribution.is_chief():
            return super().save(filepath, *args, **kwargs)
        # On TensorFlow and JAX all processes must take part in it, and one has the file.
        with tempfile.TemporaryDirectory() as folder:
            super().save(pathlib.Path(folder) / pathlib.Path(filepath).name, *args, **kwargs)

    def build_optimizer(self):
        """Makes the optimizer's state for the variables that it moves."""
        optimizers.build(self.optimizer, self.trainable_variables)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        history = self._call_checked(super().fit, args, kwargs)
        optimizers.part(self.optimizer, self.trainable_variables)
        return history

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        if kwargs.get("_use_cached_eval_dataset"):  # By `fit`, which has checked the data.
            return super().evaluate(*args, **kwargs)
        return self._call_checked(super().evaluate, args, kwargs)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        return self._call_checked(super().train_on_batch, args, kwargs)

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args, **kwargs):
        return self._call_checked(super().test_on_batch, args, kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        if not backend.replicas.gathers_predictions():
            raise ValueError(
                "Keras's `predict` divides a batch among the processes, and on JAX it does not "
                "gather what the others have. Use `predict_on_batch`, or `reconstruct`, `encode`, "
                "`generate`: they are computed in every process whole."
            )
        return super().predict(*args, **kwargs)

    def checked(self, data, y=None):
        """The data, whatever `fit` takes, refused if what can be seen of them is wrong.

        Arrays are seen whole, of a stream the first batch; a generator is given back whole.

        `y` are the labels, where they come apart from the data.

        Raises:
            ValueError: By `check_data`, or if there are no data.
        """
        if inspect.isgenerator(data):
            first = next(data, None)
            examples, data = first, _chain(first, data)
        elif isinstance(data, keras.utils.PyDataset):
            examples = data.arrays if isinstance(data, ArrayDataset) else data[0]
            if isinstance(data, OrderedDataset):
                self._check_batches(data.num_read, data.batch_size)
        elif data is None or hasattr(data, "shape") or isinstance(data, (tuple, list)):
            examples = data
        else:
            examples = next(iter(data), None)
        if examples is None:
            raise ValueError("There are no data: `x` is None or an empty stream.")
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(examples)
        if not isinstance(x, np.ndarray):  # Of one Keras would make a copy.
            x = ops.convert_to_numpy(x)
        self.check_data(x)
        self.check_labels(labels if y is None else y, len(x))
        if not self.built:
            # Here and not in the first step: TensorFlow would be compiling that already.
            self.build((None, *x.shape[1:]))
            if self.compiled:
                self.build_optimizer()
        return data

    def export(self, filepath, format="tf_saved_model", verbose=True, overwrite=False):
        """Writes the model's functions, `signatures`, to a folder of files that need no Keras.

        They are written beside `filepath`, loaded by a fresh process that knows neither Keras nor
        this library, and compared with the model in batches of 1 and 3; then they are put in
        place. The batch is free. What a backend does not write, another that is installed does.

        Args:
            filepath: Folder, which must not exist.
            format: "tf_saved_model", or "onnx": a file for each signature that draws no noise.
            verbose: False prints nothing.
            overwrite: True replaces a folder that an export has left.

        Returns:
            For each signature its largest difference from the model, at most 1e-5 of a value's
            size, or of 1 where that is greater; None if it draws what cannot be compared.

        Raises:
            ImportError: If no backend with the packages for the format is installed.
            RuntimeError: If what was written cannot be loaded, or disagrees; it is deleted.
            ValueError: If `filepath` exists, or the format is none of the two.
        """
        return export.export(self, filepath, format, verbose, overwrite)

    def signatures(self):
        """What is exported: a name -> `keras_gen.export.Signature`; the first is the default."""
        raise NotImplementedError(
            f"{type(self).__name__} names no function to export. Give it a method `signatures`, "
            f"such as `VAE` has."
        )

    def label_specs(self, packing=1):
        """What a signature is given beside x or z: nothing, where there are no labels."""
        return []

    def log_likelihood(self, x, num_samples=5000, **options):
        """Raises NotImplementedError: of a VAE it is an estimate of log p(x)."""
        raise NotImplementedError(
            f"{type(self).__name__} gives no log-likelihood: that takes a prior p(z) and a density "
            f"p(x|z). An autoencoder lacks the first, a GAN the second; use VAE."
        )

    def check_data(self, x):
        """Raises ValueError where the NumPy array `x` cannot be trained on."""
        raise NotImplementedError

    def check_labels(self, y, n):
        """Raises ValueError where the labels of `n` examples, or None, cannot be used."""

    def beside_labels(self, x, packing=1):
        """The inputs of a network: `x`, a KerasTensor, and its labels where there are some."""
        return x

    def example_input(self, network, default):
        """The shape that a network takes for examples or z, or `default` if it is not built."""
        shape = getattr(network, "input_shape", default)
        if not isinstance(shape, tuple) or isinstance(shape[0], (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} gives {network.name!r} one input, and it takes "
                f"{len(shape)}. For labels beside the examples use ConditionalVAE or "
                f"ConditionalGAN."
            )
        return shape

    def check_kind(self, x):
        """Raises ValueError on a wrong type or shape; a tensor inside a step is known so far."""
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(
                f"The data are of type {dtype}, and floats are wanted. For 8-bit images: "
                f'`x.astype("float32") / 255`.'
            )
        if x.shape[0] == 0:
            raise ValueError(f"The data are empty: their shape is {tuple(x.shape)}.")
        if self.example_shape is not None and tuple(x.shape[1:]) != self.example_shape:
            raise ValueError(
                f"The data have shape {tuple(x.shape)}, and {type(self).__name__} was built for "
                f"(n, {', '.join(map(str, self.example_shape))}). Reshape the data or build the "
                f"networks for them."
            )

    def check_batch_size(self, n, batch_size):
        """Raises ValueError if `n` examples in batches of `batch_size` leave one too small."""

    def track(self, terms, x):
        """Adds a step's scalars, means over the batch `x`, and returns the epoch's logs."""
        self.means.update_state(terms, count=ops.shape(x)[0])
        return self.get_metrics_result()

    @property
    def metrics(self):
        # Without Keras's own tracker of a loss, which nothing here would update.
        return [metric for metric in super().metrics if metric is not self._loss_tracker]

    def get_compile_config(self):
        config = super().get_compile_config()
        if config:  # Empty, or None, if the model is not compiled.
            # Keras stores what "auto" meant on the backend that saves.
            config["jit_compile"] = self._jit_compile_argument
            _name_public_optimizers(config)
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config):
        # A copy: Keras empties what it deserialises.
        config = copy.deepcopy(config)
        return cls(**{k: keras.saving.deserialize_keras_object(v) for k, v in config.items()})

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: under `tf.distribute` Keras would start a pass over the data and drop it.

        The door of `fit` has built all there is.
        """

    def _call_checked(self, method, args, kwargs):
        """Calls Keras's `method`, its data checked first."""
        bound = inspect.signature(method).bind(*args, **kwargs)
        arguments = bound.arguments
        if arguments.get("class_weight") is not None:
            raise ValueError(
                f"`{method.__name__}` got `class_weight`, but no class is predicted here. To "
                f"weight examples, pass `sample_weight`."
            )
        x = arguments["x"] = self.checked(arguments.get("x"), arguments.get("y"))
        on_batch = "on_batch" in method.__name__
        if hasattr(x, "shape"):
            if on_batch and backend.replicas.part()[1] > 1:  # `x` is the part of this process.
                self.check_batch_size(len(x), len(x))
            else:
                one_batch = len(x) if on_batch else 32  # Keras's default.
                self._check_batches(len(x), arguments.get("batch_size") or one_batch)
            _keep_weights(arguments)
        if isinstance(x, OrderedDataset) and method.__name__ == "fit":
            x.check_steps(arguments.get("steps_per_epoch"))
            arguments["shuffle"] = False  # The data have an order of their own.
        if not on_batch:
            x = arguments["x"] = distribution.own_part(self, x)
            if not distribution.is_chief():
                arguments["verbose"] = 0
        if arguments.get("validation_data") is not None:
            arguments["validation_data"] = self._checked_validation(arguments["validation_data"])
        self._check_trained_variables()
        if self.compiled and not (on_batch and self._same_on_all):
            distribution.check_trained(self)
            self._same_on_all = True
        if method.__name__ == "fit":
            _tell_callbacks(arguments)
        if not on_batch:
            fitting.prepare(self, method.__name__, arguments)
        with contextlib.nullcontext() if on_batch else memory.kept():
            return method(*bound.args, **bound.kwargs)

    def _check_batches(self, n, batch_size):
        """Of `n` examples: can the devices share each batch, and do their parts suffice?"""
        devices = backend.replicas.devices_of(self)
        distribution.check_batch_size(n, batch_size, devices)
        self.check_batch_size(n // devices, batch_size // devices)

    def _checked_validation(self, data):
        data = distribution.own_part(self, self.checked(data))
        if not isinstance(data, (tuple, list)):
            return data
        parts = dict(zip(("x", "y", "sample_weight"), data, strict=False))
        _keep_weights(parts)
        return keras.utils.pack_x_y_sample_weight(**parts)

    def _check_trained_variables(self):
        """Refuses a model whose layers were frozen or thawed since it was compiled."""
        if self.compiled and self.optimizer.built:
            for optimizer, variables in self.optimized():
                if {id(v) for v in optimizer._trainable_variables} != {id(v) for v in variables}:
                    raise ValueError(
                        f"The trainable variables of {type(self).__name__} are not those that it "
                        f"was compiled with: a layer's `trainable` has changed. Compile again, "
                        f"with a new optimizer."
                    )


def spec(network, x):
    """What `network` gives for a KerasTensor; a network that is not built is built."""
    if network.built:  # A call would leave a node in it.
        return network.compute_output_spec(x)
    outputs = network(x)
    network.trainable = network.trainable  # Again, for the layers that the call has built.
    return outputs


def check_networks(**networks):
    """Raises ValueError unless all are Keras models."""
    for name, network in networks.items():
        if not isinstance(network, keras.Model):
            raise ValueError(
                f"`{name}` is a {type(network).__name__}. Pass a Keras model: `kg.networks` builds "
                f"some, in pairs."
            )


def ends_in_sigmoid(network):
    """True where a functional network is seen to squash what it gives."""
    layers = getattr(network, "layers", None)
    return bool(layers) and getattr(layers[-1], "activation", None) is keras.activations.sigmoid


def describe(outputs):
    """What a network gives, in words for an error."""
    if isinstance(outputs, dict):
        return f"a dictionary with the keys {list(outputs)}"
    return f"{len(outputs)} tensors" if isinstance(outputs, (list, tuple)) else "one tensor"


def predict(network, inputs, batch_size, finish=lambda outputs: outputs):
    """The outputs of a Keras model for NumPy arrays, one or a list, in compiled calls of one size.

    `finish` is applied to those of each batch: what is large then never exists for all.

    Not `network.predict`: on torch that draws from the global generator, so a picture drawn
    while training would change the order of the data.
    """
    n = len(keras.tree.flatten(inputs)[0])
    outputs = []
    for start in range(0, n, batch_size):
        batch = filled_batch(inputs, start, batch_size)
        batch = backend.uninterrupted(network.predict_on_batch, batch)
        # Under `tf.distribute` each replica takes the whole batch, and their outputs are joined.
        outputs.append(finish(keras.tree.map_structure(lambda a: a[:batch_size], batch)))
    return keras.tree.map_structure(lambda *batches: np.concatenate(batches)[:n], *outputs)


def filled_batch(inputs, start, batch_size):
    """A batch filled up with repetitions: every other size would be compiled anew."""
    return keras.tree.map_structure(
        lambda a: np.resize(a[start : start + batch_size], (batch_size, *a.shape[1:])), inputs
    )


def _tell_callbacks(arguments):
    """Tells a callback that asks for it what `fit` was given: Keras does not."""
    callbacks = arguments.get("callbacks") or []
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks))
    for callback in callbacks:
        if hasattr(callback, "before_fit"):
            callback.before_fit(arguments, callbacks)


def _keep_weights(arguments):
    """Gives arguments with a `sample_weight` a `y`, without which Keras drops the weights."""
    if arguments.get("sample_weight") is not None and arguments.get("y") is None:
        arguments["y"] = np.zeros(len(arguments["x"]), "float32")


def _chain(first, rest):
    yield first
    yield from rest


def _name_public_optimizers(config):
    """On torch Keras writes its private class path, which no other backend can train."""
    if str(config.get("module", "")).startswith("keras.src.backend."):
        config["module"], config["registered_name"] = "keras.optimizers", None
    for value in config.values():
        if isinstance(value, dict):
            _name_public_optimizers(value)
