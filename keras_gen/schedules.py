"""Schedules for numbers that change while a model trains: Keras `LearningRateSchedule`s."""

import math
import numbers
import sys

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen.arguments import plain


class Ramp(LearningRateSchedule):
    """Base class of what goes from `start` to `end` in `steps` steps, and stays there."""

    def __init__(self, steps, start=0.0, end=1.0):
        _check("steps", steps, 1, "at least 1")
        _check_values(start, end)
        self.steps = steps
        self.start = start
        self.end = end

    def done(self, step):
        """Return the share of the way that is behind, from 0 to 1."""
        return ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)

    def get_config(self):
        return {"steps": self.steps, "start": self.start, "end": self.end}


@keras.saving.register_keras_serializable("keras_gen")
class LinearWarmUp(Ramp):
    """Goes from `start` to `end` along a straight line, and stays at `end`.

    As a VAE's `beta` it lets the decoder learn to use z before z costs anything. Otherwise latents
    may collapse onto the prior in the first epochs and stay there.

    Args:
        steps: Training steps until `end` is reached, at least 1.
        start: Value at the first step.
        end: Value at step `steps` and later.

    Example:

    ```python
    vae = kg.VAE(*networks, beta=kg.schedules.LinearWarmUp(10 * len(train)))  # 10 epochs
    ```

    References:
        Bowman et al. (2016), "Generating Sentences from a Continuous Space":
        https://arxiv.org/abs/1511.06349
        Sønderby et al. (2016), "Ladder Variational Autoencoders":
        https://arxiv.org/abs/1602.02282
    """

    def __call__(self, step):
        return self.start + (self.end - self.start) * self.done(step)


@keras.saving.register_keras_serializable("keras_gen")
class Cyclical(LearningRateSchedule):
    """Repeats `LinearWarmUp`: in each period the value rises at first, and then stays at `end`.

    Args:
        period: Training steps of one cycle, at least 1.
        ramp: Share of a period in which the value rises, above 0 and up to 1.
        cycles: Number of cycles, after which the value stays at `end`; None repeats for ever.
        start: Value at the first step of each cycle.
        end: Value after the rise.

    Example:

    ```python
    # Fu et al.: four cycles over the whole training, half of each rising.
    steps = 100 * len(train)
    vae = kg.VAE(*networks, beta=kg.schedules.Cyclical(steps / 4))
    ```

    Reference:
        Fu et al. (2019), "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL
        Vanishing": https://arxiv.org/abs/1903.10145
    """

    def __init__(self, period, ramp=0.5, cycles=None, start=0.0, end=1.0):
        _check("period", period, 1, "at least 1")
        _check(
            "ramp",
            ramp,
            math.ulp(0.0),
            "the share of a period that rises: above 0, up to 1",
            most=1,
        )
        if cycles is not None:
            _check("cycles", cycles, 1, "at least 1, or None")
        _check_values(start, end)
        self.period = period
        self.ramp = ramp
        self.cycles = cycles
        self.start = start
        self.end = end

    def __call__(self, step):
        cycle = ops.cast(step, "float32") / self.period
        done = ops.minimum((cycle - ops.floor(cycle)) / self.ramp, 1.0)
        if self.cycles is not None:
            done = ops.where(cycle >= self.cycles, 1.0, done)
        return self.start + (self.end - self.start) * done

    def get_config(self):
        return {
            "period": self.period,
            "ramp": self.ramp,
            "cycles": self.cycles,
            "start": self.start,
            "end": self.end,
        }


@keras.saving.register_keras_serializable("keras_gen")
class CosineRamp(Ramp):
    """Goes from `start` to `end` along half a cosine, which is flat at both, and stays at `end`.

    R3GAN's schedule: for the learning rates of both players, the penalties' gamma, and the
    probability of an augmentation.

    Args:
        steps: Training steps until `end` is reached, at least 1.
        start: Value at the first step.
        end: Value at step `steps` and later.

    Example:

    ```python
    steps = 50 * len(train)
    gamma = kg.schedules.CosineRamp(steps, start=2.0, end=0.2)
    gan = kg.GAN(
        *kg.networks.resnet_gan((28, 28, 1), latent_dim=64),
        latent_dim=64,
        loss="relativistic",
        penalties=[kg.losses.R1(gamma), kg.losses.R2(gamma)],
        augment=kg.augment.Scheduled(kg.schedules.CosineRamp(steps, start=0.0, end=0.3)),
    )
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(CosineRamp(steps, 2e-4, 5e-5), beta_1=0.0),
        discriminator_optimizer=keras.optimizers.Adam(CosineRamp(steps, 2e-4, 5e-5), beta_1=0.0),
    )
    ```

    Reference:
        Huang et al. (2024), "The GAN is dead; long live the GAN!", appendix D:
        https://arxiv.org/abs/2501.05441
    """

    def __call__(self, step):
        return self.end + (self.start - self.end) * (1 + ops.cos(math.pi * self.done(step))) / 2


def _check_values(start, end):
    for name, value in (("start", start), ("end", end)):
        _check(name, value, 0, "a number that is not negative")


def _check(name, value, least, wanted, most=sys.float_info.max):
    number = plain(value)
    if not isinstance(number, numbers.Real) or not least <= number <= most:
        raise ValueError(f"`{name}` is {value!r}. Pass {wanted}.")
