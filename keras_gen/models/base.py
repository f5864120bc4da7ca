"""The base class of all models: checks before `fit`, labels, logs, saving and export."""

import copy
import functools
import inspect
import pathlib
import tempfile
import warnings

import keras
import numpy as np
from keras import ops

from keras_gen import accelerate, backend, borrowed, checks, distribution, export, optimizers, seeds  # noqa: F401
from keras_gen.configs import warn_of_lost_arguments
from keras_gen.metrics import Means
from keras_gen.models import html, monitors
from keras_gen.models.compiled import CheckEpoch, Compiled
from keras_gen.models.labels import Labels
from keras_gen.models.reading import ReadsData
from keras_gen.models.reports import ReportSkippedUpdates, add_callback


class GenerativeModel(
    Labels, ReadsData, Compiled, backend.Trainer, borrowed.BuiltByFit, seeds.SavesSeeds, keras.Model
):
    """Base class of the models. A subclass writes `train_step`, `test_step`, `check_data`.

    Each step hands its scalars to `update_metrics`, which logs them: first those in `logged`.
    `players` names the entries of `optimized`.

    Args:
        num_classes: Labels are integers from 0 to `num_classes` - 1, and each network is given
            the label next to its other input. None: a model without labels.
    """

    logged = ("loss",)
    players = ("model",)
    weighting = "To weight examples, pass `sample_weight`."  # Advice to who passes `class_weight`.
    absent = {}  # Methods of other models, and why this one has none.

    def __getattr__(self, name):
        if name in self.absent:
            raise AttributeError(f"{type(self).__name__} has no `{name}`: {self.absent[name]}")
        inherited = getattr(super(), "__getattr__", None)  # Of torch's modules.
        if inherited is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return inherited(name)

    def __init__(self, num_classes=None, **kwargs):
        super().__init__(**kwargs)
        self.set_num_classes(num_classes)
        # For each player the number of updates left out because something was not finite.
        self.skipped_updates = self.add_weight(
            shape=(len(self.players),),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            aggregation="only_first_replica",
            name="skipped_updates",
        )
        self.means = Means(self.logged)
        self.largest = 0.0  # The greatest size of a value in the data of the last `fit`.
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
        """Configure training as `keras.Model.compile`; ValueError for losses and metrics."""
        names = ("loss", "loss_weights", "metrics", "weighted_metrics")
        given = (loss, loss_weights, metrics, weighted_metrics)
        for name, value in zip(names, given, strict=True):
            if value is not None:
                raise ValueError(
                    f"`compile` got {name}={value!r}, but the loss of {type(self).__name__} is "
                    f"part of the model and its logs are {', '.join(self.logged)}. Leave "
                    f"`{name}` out; for another loss, subclass {type(self).__name__}."
                )
        self.check_own_methods()
        self._jit_compile_argument = jit_compile
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        backend.parts.compiled(self)
        distribution.check_compiled(self)
        self.keep_compiled()
        if self.built:
            # Loading fills the optimizer's variables only if they are there.
            self.build_optimizer()

    def optimized(self):
        """Return pairs of an optimizer and the variables that it moves."""
        return [(self.optimizer, self.trainable_variables)]

    @functools.wraps(keras.Model.save)
    def save(self, filepath, *args, **kwargs):
        monitors.check_file_name(filepath)
        warn_of_lost_arguments(self)
        if distribution.is_chief():
            return super().save(filepath, *args, **kwargs)
        # On TensorFlow and JAX all processes must take part in it, and one has the file.
        with tempfile.TemporaryDirectory() as folder:
            super().save(pathlib.Path(folder) / pathlib.Path(filepath).name, *args, **kwargs)

    @functools.wraps(keras.Model.load_weights)
    def load_weights(self, filepath, *args, **kwargs):
        variables = [*self.variables, *(self.optimizer.variables if self.compiled else [])]
        kept = [(variable, ops.convert_to_numpy(variable)) for variable in variables]
        try:
            with warnings.catch_warnings():  # Keras takes other networks for an older Keras.
                warnings.filterwarnings("ignore", message="Skipping nested container")
                return super().load_weights(filepath, *args, **kwargs)
        except ValueError as error:
            if not any(w in str(error) for w in ("could not be loaded", "expected", "must match")):
                raise
            for variable, value in kept:  # Some may have been read.
                variable.assign(value)
            raise ValueError(
                f"{str(filepath)!r} does not hold the weights of this {type(self).__name__}, which "
                f"keeps its own. Build the model and compile it as the one that was saved, or load "
                f"the whole of that one: `keras.saving.load_model` of a .keras file."
            ) from error

    def build_optimizer(self):
        optimizers.build(self.optimizer, self.trainable_variables)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        try:
            return self._call_checked(super().fit, args, kwargs)
        finally:
            if self.compiled:
                optimizers.part(self.optimizer, self.trainable_variables)

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
        if not distribution.gathers_predictions():
            raise ValueError(
                "Keras's `predict` divides a batch among the processes, and on JAX it does not "
                "gather the outputs of the others. Use `predict_on_batch`, or `reconstruct`, "
                "`encode`, `generate`: each process computes them whole."
            )
        if "y" in kwargs or np.ndim(args[1] if len(args) > 1 else 0):
            raise ValueError(
                "`predict` is given labels next to its other input, in a list: `predict([x, y])`, "
                "or [z, y] of a GAN."
            )
        return self._call_admitted(super().predict, args, kwargs)

    @functools.wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args, **kwargs):
        return self._call_admitted(super().predict_on_batch, args, kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=True, overwrite=False):
        """Write the model's functions to files that need no Keras: see `kg.export.export`."""
        return export.export(self, filepath, format, verbose, overwrite)

    def signatures(self):
        """Return the exported functions: name -> `keras_gen.export.Signature`, the default first.

        With `num_classes`, an input named `y` or `like` holds labels: `export` makes the outputs
        NaN where a label is out of range.
        """
        raise NotImplementedError(
            f"{type(self).__name__} names no function to export. Give it a method `signatures`, "
            f"such as `VAE` has."
        )

    def check_data(self, x):
        """Raise ValueError if the model cannot be trained on the NumPy array `x`."""
        raise NotImplementedError

    def check_batch_size(self, n, batch_size):
        """Raise ValueError if `n` examples in batches of `batch_size` leave one too small."""

    def update_metrics(self, terms, x):
        """Add a step's scalars, means over the batch `x`, and return the epoch's logs."""
        self.means.update_state(terms, count=ops.shape(x)[0])
        return self.get_metrics_result()

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}

    def _repr_html_(self):  # What Jupyter shows of a cell that ends in the model.
        return html.table(self)

    @property
    def metrics(self):
        # Without Keras's own tracker of a loss, which nothing here would update.
        return [
            metric
            for metric in super().metrics
            if not (type(metric) is keras.metrics.Mean and metric.name == "loss")
        ]

    @property
    def metrics_names(self):
        """Names of the scalars that `evaluate` returns, in their order: the loss comes first."""
        others = [metric.name for metric in self.metrics if metric is not self.means]
        return [*self.means.names, *self.means.more_names, *others]

    def get_metrics_result(self):
        # Keras 3.16 would add up over processes on PyTorch what `Means` has added up.
        logs = {}
        for metric in self.metrics:
            result = metric.result()
            logs.update(result if isinstance(result, dict) else {metric.name: result})
        return logs

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

    def _call_admitted(self, method, args, kwargs):
        bound = inspect.signature(method).bind(*args, **kwargs)
        self.check_integers(bound.arguments)
        bound.arguments["x"] = self.admit_inputs(bound.arguments["x"])
        return method(*bound.args, **bound.kwargs)

    def _call_checked(self, method, args, kwargs):
        bound = inspect.signature(method).bind(*args, **kwargs)
        arguments = bound.arguments
        if arguments.get("class_weight") is not None:
            raise ValueError(
                f"`{method.__name__}` got `class_weight`, but no class is predicted here. "
                f"{self.weighting}"
            )
        on_batch = "on_batch" in method.__name__
        examples = self.admit_arguments(arguments, method.__name__)
        if not on_batch and not distribution.is_chief():
            arguments["verbose"] = 0
        self.check_trainable()
        if method.__name__ in ("fit", "train_on_batch"):
            self.check_own_layers()
            self.check_frozen()
            checks.check_grouped_convolutions(self)
            checks.check_spectral_normalization(self)
        if self.compiled and not (on_batch and self._same_on_all):
            distribution.check_trained(self)
            self._same_on_all = True
        if method.__name__ == "fit":
            if self.compiled:
                self.check_rates()
            add_callback(arguments, ReportSkippedUpdates(), self)
            add_callback(arguments, monitors.LogRate(), self, last=True)
            add_callback(arguments, CheckEpoch(), self, last=True)
            monitors.check(self, arguments.get("callbacks"))
            _tell_callbacks(arguments)
        if self.compiled and method.__name__ in ("fit", "train_on_batch"):
            self.initialize_from_data(examples)
        del examples  # They may be a copy of the data.
        if self.compiled and not on_batch:
            arguments["callbacks"] = backend.parts.callbacks(self, method.__name__, arguments)
        if method.__name__ == "fit" or arguments.get("return_dict"):
            return method(**_by_name(bound))
        arguments["return_dict"] = True  # Keras would order the scalars by their names.
        results = method(**_by_name(bound))
        names = dict.fromkeys([*self.metrics_names, *results])
        values = [results[name] for name in names if name in results]
        return values[0] if len(values) == 1 else values


def _by_name(bound):
    """Return the arguments of a call by name, where trackers that replace `fit` look for them."""
    return {**dict(zip(bound.signature.parameters, bound.args, strict=False)), **bound.kwargs}


def _tell_callbacks(arguments):
    """Tell each callback with `before_fit` the arguments of `fit`, which Keras does not."""
    callbacks = arguments.get("callbacks") or []
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks))
    for callback in callbacks:
        if hasattr(callback, "before_fit"):
            callback.before_fit(arguments, callbacks)


def _name_public_optimizers(config):
    """Replace the private class paths that Keras writes on PyTorch: no other backend has them."""
    if str(config.get("module", "")).startswith(f"{borrowed.SOURCE}backend."):
        config["module"], config["registered_name"] = "keras.optimizers", None
    for value in config.values():
        if isinstance(value, dict):
            _name_public_optimizers(value)
