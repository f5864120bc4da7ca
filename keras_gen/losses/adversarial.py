"""Losses of the two players of a GAN, as functions of the discriminator's raw outputs.

A loss takes the outputs on real and on fake examples, each (batch, 1) or (batch,), and gives
one value per example, (batch,). Row i of the discriminator's loss adds the terms of real example i
and of fake example i. Only a relativistic loss compares the two.
"""

import keras
from keras import ops

from keras_gen import configs
from keras_gen.dtypes import in_float32
from keras_gen.identifiers import resolve


class AdversarialLoss(configs.ChecksNumbers, configs.Configured):
    """Base class of the losses: a subclass writes `discriminator_value` and `generator_value`.

    Decorate it with `@keras.saving.register_keras_serializable(...)`, so that a GAN's file knows
    it. Its arguments, if it has any, are attributes and in `get_config`. `KINDS` lists the classes
    that have a name, as "hinge" has.

    Three attributes describe it. `needs_real` says that the generator's loss needs `real_logits`
    too, `needs_raw_outputs` that a discriminator must not end in a sigmoid or the like.
    `probability` is the method that gives D(x), or None if the raw output is not a logit.
    """

    needs_real = False
    needs_raw_outputs = True
    probability = None

    def discriminator_loss(self, real_logits, fake_logits):
        """Return the discriminator's loss, (batch,), in float32 or wider."""
        return self.discriminator_value(*_rows(real_logits, fake_logits))

    def generator_loss(self, real_logits, fake_logits):
        """Return the generator's loss, (batch,); `real_logits` may be None unless `needs_real`."""
        if self.needs_real and real_logits is None:
            raise ValueError(
                f"The generator's loss of {type(self).__name__} compares the outputs on fake "
                f"examples with those on real ones, and `real_logits` is None. Pass both."
            )
        return self.generator_value(*_rows(real_logits, fake_logits))

    def discriminator_value(self, real_logits, fake_logits):
        """Return the discriminator's loss of two (batch,) tensors."""
        raise NotImplementedError

    def generator_value(self, real_logits, fake_logits):
        """Return the generator's loss of two (batch,) tensors; the first may be None."""
        raise NotImplementedError


def _check_smoothing(name, value):
    if not 0 <= configs.value_of(value) < 1:
        raise ValueError(
            f"`{name}` is {value}. The target on real examples is 1 - {name}: pass a number in "
            f"[0, 1), such as 0.1."
        )
    return value


@keras.saving.register_keras_serializable("keras_gen")
class Minimax(AdversarialLoss):
    """Zero-sum game: D maximises log D(x) + log(1 - D(G(z))), and G minimises it.

    This loss saturates: the generator's gradient vanishes where the discriminator recognises the
    fakes. It is here for study. It is in nats; at D = 1/2 the discriminator's loss is 2 log 2.

    Args:
        label_smoothing: In [0, 1). The discriminator's target on real examples is
            1 - label_smoothing, and stays 0 on fake ones (one-sided: Salimans et al. 2016,
            section 3.4). The generator's loss does not change.

    Example:

    ```python
    loss = Minimax(label_smoothing=0.1)
    loss.discriminator_loss(keras.ops.zeros(4), keras.ops.zeros(4))  # 2 log 2, four times
    ```

    Reference:
        Goodfellow et al. (2014), "Generative Adversarial Nets", equation 1:
        https://arxiv.org/abs/1406.2661
    """

    numbers = {"label_smoothing": _check_smoothing}

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def probability(self, logits):
        """Return D(x) = sigmoid(logit), in the shape of `logits`."""
        return ops.sigmoid(in_float32(logits))

    def discriminator_value(self, real_logits, fake_logits):
        smoothing = configs.in_step(self.label_smoothing)
        # softplus(-l) = -log sigmoid(l) and softplus(l) = -log(1 - sigmoid(l)), for every l.
        on_real = (1.0 - smoothing) * ops.softplus(-real_logits)
        if isinstance(self.label_smoothing, keras.Variable) or smoothing:
            on_real = on_real + smoothing * ops.softplus(real_logits)
        return on_real + ops.softplus(fake_logits)

    def generator_value(self, real_logits, fake_logits):
        return -ops.softplus(fake_logits)

    def get_config(self):
        return {"label_smoothing": configs.serialize(self.label_smoothing)}


@keras.saving.register_keras_serializable("keras_gen")
class NonSaturating(Minimax):
    """Usual loss of a GAN: the discriminator's is that of `Minimax`, the generator's -log D(G(z)).

    The generator's gradient is largest where the discriminator recognises the fakes.

    Args:
        label_smoothing: As in `Minimax`.

    Example:

    ```python
    loss = NonSaturating()
    loss.generator_loss(None, keras.ops.zeros(4))  # log 2, four times
    ```

    Reference:
        Goodfellow et al. (2014), section 3: https://arxiv.org/abs/1406.2661
    """

    def generator_value(self, real_logits, fake_logits):
        return ops.softplus(-fake_logits)


@keras.saving.register_keras_serializable("keras_gen")
class LeastSquares(AdversarialLoss):
    """Squared errors: D minimises (D(x) - 1)^2 / 2 + D(G(z))^2 / 2, G (D(G(z)) - 1)^2 / 2.

    The output itself is compared with the targets 0 and 1, so a discriminator that ends in a
    sigmoid serves too; the loss is not in nats.

    Example:

    ```python
    loss = LeastSquares()
    loss.discriminator_loss(keras.ops.ones(4), keras.ops.zeros(4))  # 0, four times
    ```

    Reference:
        Mao et al. (2017), "Least Squares Generative Adversarial Networks", equation 9:
        https://arxiv.org/abs/1611.04076
    """

    needs_raw_outputs = False

    def discriminator_value(self, real_logits, fake_logits):
        return 0.5 * ops.square(real_logits - 1.0) + 0.5 * ops.square(fake_logits)

    def generator_value(self, real_logits, fake_logits):
        return 0.5 * ops.square(fake_logits - 1.0)


@keras.saving.register_keras_serializable("keras_gen")
class Hinge(AdversarialLoss):
    """Hinge loss: D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).

    Example:

    ```python
    loss = Hinge()
    loss.discriminator_loss(keras.ops.ones(4), -keras.ops.ones(4))  # 0, four times
    ```

    Reference:
        Lim and Ye (2017), "Geometric GAN": https://arxiv.org/abs/1705.02894
    """

    def discriminator_value(self, real_logits, fake_logits):
        return ops.relu(1.0 - real_logits) + ops.relu(1.0 + fake_logits)

    def generator_value(self, real_logits, fake_logits):
        return -fake_logits


@keras.saving.register_keras_serializable("keras_gen")
class Wasserstein(AdversarialLoss):
    """Wasserstein loss: D minimises D(G(z)) - D(x), and G minimises -D(G(z)).

    If the critic's slope is at most 1, minus the discriminator's loss estimates the Wasserstein-1
    distance, in the units of the data. The loss does not bound the slope itself: use clipped
    weights, `GradientPenalty` or `SpectralNormalization`.

    Example:

    ```python
    loss = Wasserstein()
    loss.discriminator_loss(keras.ops.ones(4), keras.ops.zeros(4))  # -1, four times
    ```

    Reference:
        Arjovsky et al. (2017), "Wasserstein GAN", equation 3:
        https://arxiv.org/abs/1701.07875
    """

    def discriminator_value(self, real_logits, fake_logits):
        return fake_logits - real_logits

    def generator_value(self, real_logits, fake_logits):
        return -fake_logits


@keras.saving.register_keras_serializable("keras_gen")
class Relativistic(AdversarialLoss):
    """Relativistic loss: D minimises softplus(-(D(x) - D(G(z)))), and G softplus(D(x) - D(G(z))).

    Each real example is paired with a fake one. The losses are -log of the probability that D
    rates the real one higher, and -log of the probability that it rates the fake one higher. Only
    the difference of the outputs matters, so a single output has no probability. In nats; both
    losses are log 2 if the outputs are equal.

    Example:

    ```python
    loss = Relativistic()
    loss.generator_loss(keras.ops.zeros(4), keras.ops.zeros(4))  # log 2, four times
    ```

    References:
        Jolicoeur-Martineau (2018), "The relativistic discriminator":
        https://arxiv.org/abs/1807.00734
        Huang et al. (2024), "The GAN is dead; long live the GAN!" (with `R1` and `R2`),
        equation 2: https://arxiv.org/abs/2501.05441
    """

    needs_real = True

    def discriminator_value(self, real_logits, fake_logits):
        return ops.softplus(fake_logits - real_logits)

    def generator_value(self, real_logits, fake_logits):
        return ops.softplus(real_logits - fake_logits)


KINDS = (Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein, Relativistic)


def get(identifier):
    """Return a loss as it is, or make one from a name such as "non_saturating"."""
    example = "loss object such as NonSaturating()"
    return resolve(identifier, AdversarialLoss, KINDS, "`loss`", example)


def _rows(real_logits, fake_logits):
    real_logits, fake_logits = (
        None if logits is None else in_float32(_row(logits))
        for logits in (real_logits, fake_logits)
    )
    if real_logits is not None:
        real_size, fake_size = real_logits.shape[0], fake_logits.shape[0]
        if None not in (real_size, fake_size) and real_size != fake_size:
            raise ValueError(
                f"There are outputs on {real_size} real and {fake_size} fake examples. Draw as "
                f"many fake examples as there are real ones."
            )
    return real_logits, fake_logits


def _row(logits):
    if len(logits.shape) == 1:
        return logits
    if len(logits.shape) == 2 and logits.shape[1] == 1:
        return ops.squeeze(logits, axis=1)
    raise ValueError(
        f"The discriminator's output has shape {tuple(logits.shape)}, and one number per example "
        f"is expected: (batch, 1). End it in Dense(1) without an activation."
    )
