"""Settings that change after `compile`: the step is made again."""

import collections
import inspect
import warnings

import keras

from keras_gen import backend, borrowed, configs, settings

BUILD = keras.layers.Layer.build
# Methods that a subclass may write, and those of the library's that say how they are called.
CALLERS = {
    "objective": ("unpack", "train_step", "test_step"),
    "discriminator_step": ("train_step",),
    "generator_step": ("train_step",),
    "discriminator_objective": ("discriminator_step", "test_step"),
    "generator_objective": ("generator_step", "test_step"),
}


class Compiled(configs.TakesVariables):
    """Mixin of models before Keras's trainer: a step is made again if a setting has changed."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        library = [base for base in cls.__mro__[1:] if _is_ours(base)]
        for name in ("train_step", "test_step"):
            owner = next((base for base in cls.__mro__ if name in vars(base)), None)
            if owner is None or any(issubclass(base, owner) for base in library):
                continue  # The library's own, or Keras's.
            method = vars(owner)[name]
            # JAX's own take the state too. A step around a step changes nothing.
            if inspect.isfunction(method) and len(inspect.signature(method).parameters) == 2:
                setattr(cls, name, backend.step(method))

    def make_train_function(self, force=False):
        changed = settings.changed(self, "train")
        self._count_changes(changed)
        super().make_train_function(bool(changed) or force)

    def make_test_function(self, force=False):
        super().make_test_function(settings.has_changed(self, "test") or force)

    def make_predict_function(self, force=False):
        super().make_predict_function(settings.has_changed(self, "predict") or force)

    def keep_compiled(self):
        """Keep the `trainable` of all layers, as the model is compiled, and count changes anew."""
        self._trainable_when_compiled = self._trainable_now()
        vars(self)["_times_changed"] = collections.Counter()  # Keras would make a dict of it.

    def check_frozen(self):
        """Raise ValueError if all weights are frozen, and warn of what `fit` will not change."""
        if not self.compiled:
            return
        frozen = [
            player
            for player, (_, variables) in zip(self.players, self.optimized(), strict=True)
            if not variables and not all(layer.trainable for layer in self._layers_of(player))
        ]
        if len(frozen) == len(self.players):
            raise ValueError(
                f"Nothing can be trained: all weights of this {type(self).__name__} are frozen. "
                f"Set `trainable = True` where it is to learn, and compile again."
            )
        for player in frozen:
            warnings.warn(
                f"The {player} is frozen: `fit` will not change its weights. If it is to learn, "
                f"set `{player}.trainable = True` and compile again, with new optimizers.",
                stacklevel=2,
            )
        moved = {id(v) for _, variables in self.optimized() for v in variables}
        left = [v.path for v in self.trainable_variables if id(v) not in moved]
        if left:
            warnings.warn(
                f"`fit` will not change {', '.join(left[:3])}{', ...' * (len(left) > 3)}: they "
                f"belong to no player ({', '.join(self.players)}). Let `optimized` add them to "
                f"the variables of one, as its docstring shows.",
                stacklevel=2,
            )

    def check_rates(self):
        """Warn of a schedule that has come to 0, as one that has ended."""
        for player, (optimizer, _) in zip(self.players, self.optimized(), strict=True):
            rate = optimizer.learning_rate  # A variable, or the value of a schedule.
            is_schedule = not isinstance(rate, keras.Variable)
            if is_schedule and int(optimizer.iterations) > 0 and float(rate) == 0:
                warnings.warn(
                    f"The learning rate of the {player} is 0. If its schedule has ended, `fit` "
                    f"will not change the weights: compile again, with new optimizers.",
                    stacklevel=2,
                )

    def check_own_methods(self):
        """Raise ValueError if a subclass's method cannot take what the library's steps give.

        Keras's own hooks for a loss are refused: no step would call them.
        """
        for name in ("compute_loss", "compute_metrics"):
            owner = next(cls for cls in type(self).__mro__ if name in vars(cls))
            of_keras = owner.__module__.startswith("keras.")
            has_steps = self._is_own("train_step") or self._is_own("test_step")
            if not (of_keras or _is_ours(owner) or has_steps):
                objectives = [n for n in CALLERS if n.endswith("objective") and hasattr(self, n)]
                raise ValueError(
                    f"`{name}` of {type(self).__name__} is not called: the loss and its terms are "
                    f"made by `{'` and `'.join(objectives)}`. Override that, and call `super()`'s."
                )
        for name, callers in CALLERS.items():
            owners = [cls for cls in type(self).__mro__ if name in vars(cls)]
            ours = next(filter(_is_ours, owners), None)
            if ours is None or ours is owners[0] or any(map(self._is_own, callers)):
                continue
            expected = inspect.signature(vars(ours)[name])
            own = inspect.signature(getattr(owners[0], name))
            parts = expected.parameters.values()
            given = [part.name for part in parts if part.kind is part.POSITIONAL_OR_KEYWORD]
            if getattr(self, "augment", None) is None and "draw" in given:
                given.remove("draw")
            try:
                own.bind(*given, **{p.name: p for p in parts if p.kind is p.KEYWORD_ONLY})
            except TypeError as error:
                raise ValueError(
                    f"`{name}{own}` of {owners[0].__name__} cannot be called as the steps of "
                    f"{ours.__name__} do: {error}. Write `def {name}{expected}:`."
                ) from error

    def check_own_layers(self):
        """Raise ValueError if a layer of the model's own would get its weights within a step."""
        for layer in self.layers:
            unbuilt = [part for part in borrowed.all_layers(layer) if not part.built]
            # A layer without a `build` of its own makes no weights.
            if not layer.built and any(type(part).build is not BUILD for part in unbuilt):
                parts = {**vars(self), **vars(self).get("_modules", {})}
                name = next((k for k, part in parts.items() if part is layer), layer.name)
                raise ValueError(
                    f"`{name}`, a {type(layer).__name__} of this {type(self).__name__}, is not "
                    f"built, so the optimizer would not know its weights. Build it in `__init__` "
                    f"for the shape of its input, as `self.{name}.build((None, 2))`, or leave it "
                    f"out if nothing uses it."
                )

    def check_trainable(self):
        """Raise ValueError if a layer was frozen or thawed since the model was compiled."""
        if not (self.compiled and self.optimizer.built):
            return
        same = all(
            {id(v) for v in borrowed.variables_of(optimizer)} == {id(v) for v in variables}
            for optimizer, variables in self.optimized()
        )
        # A layer without trainable variables has the flag too, such as batch norm.
        flags, before = self._trainable_now(), self._trainable_when_compiled
        why = "the optimizer was built for others, of another model or of fewer layers"
        if any(flags.get(key, was) != was for key, was in before.items()):
            why, same = "a layer's `trainable` has changed", False
        if not same:
            raise ValueError(
                f"The trainable variables of {type(self).__name__} are not those that it was "
                f"compiled with: {why}. Compile again, with a new optimizer."
            )

    def _is_own(self, method):
        return not _is_ours(next(cls for cls in type(self).__mro__ if method in vars(cls)))

    def _layers_of(self, player):
        return borrowed.all_layers(getattr(self, player, self))

    def _trainable_now(self):
        return {id(layer): layer.trainable for layer in borrowed.all_layers(self)}

    def _count_changes(self, changed):
        """Warn of a setting that has changed for the third time: the step is traced each time."""
        times = vars(self)["_times_changed"]
        times.update(changed)
        often = [name for name in changed if times[name] == 3]
        traced = self.jit_compile or keras.config.backend() == "tensorflow"
        if often and traced and not self.run_eagerly:
            warnings.warn(
                f"`{often[0]}` has changed {times[often[0]]} times since `compile`, and each time "
                f"the step is traced again, which takes seconds. beta, free_bits, sigma, gamma and "
                f"other numbers in a loss may be variables: `beta=keras.Variable(0.0)`, and then "
                f"`.assign(value)`. Or beta is a schedule of `kg.schedules`.",
                stacklevel=2,
            )


def _is_ours(cls):
    return cls.__module__.split(".")[0] == "keras_gen"


class CheckEpoch(keras.callbacks.Callback):
    """Looks before each epoch at what other callbacks have changed: it has to be the last one."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.check_trainable()
        self.model.make_train_function()
