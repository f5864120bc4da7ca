"""The optimizers of a GAN's two players, a head start for one of them, and averaged weights."""

import contextlib
import numbers

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen.borrowed import averages_of


@keras.saving.register_keras_serializable("keras_gen")
class PlayerOptimizers(keras.optimizers.Optimizer):
    """Container that makes the optimizers of a GAN's two players one `model.optimizer`.

    So every part of Keras that reads `model.optimizer` sees the state of both: the JAX trainer,
    `.keras` files, BackupAndRestore. The container takes no step itself: a model descends with
    `generator` or `discriminator`, each of which counts its own iterations. Keras's callbacks treat
    each of `optimizers` by itself, as those of its `MultiOptimizer`, and name its rate in the logs
    `learning_rate_generator` or `learning_rate_discriminator`.

    Args:
        generator: Keras optimizer of the generator.
        discriminator: Keras optimizer of the discriminator.
    """

    def __init__(self, generator, discriminator, name="player_optimizers"):
        super().__init__(learning_rate=0.0, name=name)
        self.generator = generator
        self.discriminator = discriminator
        for player, optimizer in zip(("generator", "discriminator"), self.optimizers, strict=True):
            optimizer.name = player  # Keras's callbacks tell them apart by name.

    @property
    def optimizers(self):
        return [
            getattr(player, "inner_optimizer", player)
            for player in (self.generator, self.discriminator)
        ]

    @classmethod
    def of(cls, generator, discriminator, scales_loss, owner):
        """Return the container of two optimizers, objects or names; ValueError if one is missing.

        `scales_loss` puts each into a `LossScaleOptimizer`. `owner` names the model in errors.
        """
        given = {"generator_optimizer": generator, "discriminator_optimizer": discriminator}
        for name, optimizer in given.items():
            if optimizer is None:
                raise ValueError(
                    f"`compile` of a {owner} needs two optimizers: pass `generator_optimizer` and "
                    f"`discriminator_optimizer`; `{name}` is None."
                )
            if isinstance(optimizer, (type, numbers.Number)):
                raise ValueError(
                    f"`{name}` is {optimizer!r}. Pass an object, `keras.optimizers.Adam(1e-4)`, or "
                    f'a name, "adam".'
                )
        if generator is discriminator and not isinstance(generator, str):
            raise ValueError(
                "`generator_optimizer` and `discriminator_optimizer` are the same object. Pass "
                "two: each keeps the state of its own player."
            )
        return cls(*(_scaled(optimizer, scales_loss) for optimizer in given.values()))

    def build_players(self, generator_variables, discriminator_variables):
        build(self.generator, generator_variables)
        build(self.discriminator, discriminator_variables)
        super().build([])

    def build(self, variables):
        raise ValueError(
            "PlayerOptimizers does not know whose variables these are. Build the model before "
            "`fit`, by calling it on a batch of z and the discriminator on a batch of data."
        )

    @property
    def variables(self):
        return [*super().variables, *self.generator.variables, *self.discriminator.variables]

    @property
    def iterations(self):
        return self.generator.iterations

    @property
    def learning_rate(self):
        return self.generator.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            "A GAN has two learning rates. Set `model.optimizer.generator.learning_rate` or "
            "`model.optimizer.discriminator.learning_rate`, or compile with schedules."
        )

    def finalize_variable_values(self, variables):
        """Do nothing: the model keeps raw weights, and `sample(ema=True)` uses the averages."""

    def save_own_variables(self, store):
        # The players' state is not among these: they are attributes, and Keras saves each itself.
        for i, variable in enumerate(super().variables):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        for i, variable in enumerate(super().variables):
            variable.assign(store[str(i)])

    def get_config(self):
        return {
            "name": self.name,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        players = {
            player: keras.saving.deserialize_keras_object(config[player], custom_objects)
            for player in ("generator", "discriminator")
        }
        return cls(**players, name=config["name"])


@keras.saving.register_keras_serializable("keras_gen")
class HeadStart(LearningRateSchedule):
    """Holds a player still for its first steps, so that the other gets a head start.

    Args:
        learning_rate: Number, or a schedule that starts after `hold_steps`.
        hold_steps: Number of first steps of this player, with a learning rate of 0.

    Example:

    ```python
    # The generator moves alone for 500 steps.
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(2e-4),
        discriminator_optimizer=keras.optimizers.Adam(HeadStart(2e-4, hold_steps=500)),
    )
    ```
    """

    def __init__(self, learning_rate, hold_steps):
        if hold_steps < 0:
            raise ValueError(f"`hold_steps` is {hold_steps}. Pass a number that is not negative.")
        self.learning_rate = learning_rate
        self.hold_steps = hold_steps

    def __call__(self, step):
        step = ops.cast(step, "float32") - self.hold_steps
        learning_rate = self.learning_rate
        if isinstance(learning_rate, LearningRateSchedule):
            learning_rate = learning_rate(ops.maximum(step, 0.0))
        return ops.where(step < 0, 0.0, learning_rate)

    def get_config(self):
        learning_rate = keras.saving.serialize_keras_object(self.learning_rate)
        return {"learning_rate": learning_rate, "hold_steps": self.hold_steps}

    @classmethod
    def from_config(cls, config):
        learning_rate = keras.saving.deserialize_keras_object(config["learning_rate"])
        return cls(learning_rate, config["hold_steps"])


def build(optimizer, variables):
    """Make an optimizer's state, with averages that start at the variables.

    Keras starts averages at 0, and `fit` puts them into the model when it ends, even if no update
    was made.
    """
    optimizer.build(variables)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.use_ema:
        _assign(averages_of(inner), _copies(variables))


def part(optimizer, variables):
    """Copy the weights of an optimizer that averages them (`use_ema=True`), after `fit`.

    At the end of `fit` Keras lets the model's variables share memory with the averages. A step on
    JAX frees the memory of its inputs, so the next `fit` would fail without the copies.
    """
    if getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False):
        _assign(variables, _copies(variables))


@contextlib.contextmanager
def averaged(optimizer, variables):
    """Put the averages of the optimizer (`use_ema=True`) into the variables, within the block."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False):
        raise ValueError(
            "`ema=True` needs averaged weights, and there are none. Compile with a generator "
            "optimizer that keeps them, such as Adam(2e-4, use_ema=True, ema_momentum=0.999)."
        )
    raw = _copies(variables)
    optimizer.finalize_variable_values(variables)
    # Copies, because on JAX a prediction frees the memory that it reads.
    _assign(variables, _copies(variables))
    try:
        yield
    finally:
        _assign(variables, raw)


def _copies(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _scaled(optimizer, scales_loss):
    optimizer = keras.optimizers.get(optimizer)
    if scales_loss and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
