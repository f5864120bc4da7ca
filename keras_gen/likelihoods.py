"""p(x|z): how a decoder's raw outputs, the parameters, make a density of the data.

A likelihood is a Keras layer, as it may own a weight (a learned sigma). Its decoder has
`parameters_per_value` outputs for every number in `x`, all on the last axis: data of shape
(28, 28, 1) and a likelihood with 2 parameters take a decoder that ends in (28, 28, 2).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import seeds
from keras_gen.dtypes import in_float32


class Likelihood(seeds.SavesSeeds, keras.layers.Layer):
    """Base class: a subclass writes `value_log_prob`, `mean`, `sample` and `check_data`.

    Args:
        seed: Integer or None, for `sample`.
    """

    parameters_per_value = 1

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        (stream,) = seeds.split(seed, 1)
        self.seed_generator = keras.random.SeedGenerator(stream)
        self.built = True  # A weight is made in __init__: its shape does not depend on x.

    def log_prob(self, x, parameters):
        """log p(x | parameters) in nats, summed over everything but the batch: (batch,)."""
        x, parameters = in_float32(x), in_float32(parameters)
        self.check_shapes(tuple(x.shape), tuple(parameters.shape))
        value_log_prob = self.value_log_prob(x, parameters)
        return ops.sum(value_log_prob, axis=list(range(1, len(value_log_prob.shape))))

    def value_log_prob(self, x, parameters):
        """log p of every number in `x`, in nats, in the shape of `x`."""
        raise NotImplementedError

    def mean(self, parameters):
        """E[x | parameters], in the shape of the data."""
        raise NotImplementedError

    def sample(self, parameters):
        """A draw from p(x | parameters), in the shape of the data."""
        raise NotImplementedError

    def check_data(self, x):
        """Raises ValueError where the NumPy array `x` holds a value of density zero."""
        raise NotImplementedError

    def check_shapes(self, x_shape, parameters_shape):
        """Raises ValueError unless a decoder's output shape fits the data's, batch apart."""
        wanted = (*x_shape[1:-1], x_shape[-1] * self.parameters_per_value)
        if tuple(parameters_shape[1:]) != wanted:
            raise ValueError(
                f"The decoder's output has shape {tuple(parameters_shape[1:])}. For data of "
                f"shape {tuple(x_shape[1:])}, {type(self).__name__} takes {wanted}: "
                f"{self.parameters_per_value} output(s) for every value. Change the decoder's "
                f"last layer, or pass another likelihood."
            )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.parameters_per_value)

    def call(self, parameters):
        return self.mean(parameters)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("keras_gen")
class Bernoulli(Likelihood):
    """Each value is 1 with probability sigmoid(logit); the decoder gives the logits.

    log p(x) = x log sigmoid(l) + (1 - x) log(1 - sigmoid(l)), which is minus the binary
    cross-entropy. For grey values in (0, 1) it is used all over the literature, though it is
    then no density: it never exceeds minus the entropy of the pixels, H(x), and E[x] is right.

    Args:
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = Bernoulli()
    likelihood.log_prob(keras.ops.ones((2, 3)), keras.ops.zeros((2, 3)))  # -3 log 2, twice
    ```

    Reference:
        Kingma and Welling (2014), appendix C.1: https://arxiv.org/abs/1312.6114
    """

    def value_log_prob(self, x, parameters):
        logits = parameters
        # log sigmoid(l) = l - softplus(l) and log(1 - sigmoid(l)) = -softplus(l).
        return x * logits - ops.softplus(logits)

    def mean(self, parameters):
        return ops.sigmoid(in_float32(parameters))

    def sample(self, parameters):
        probabilities = self.mean(parameters)
        uniform = keras.random.uniform(ops.shape(probabilities), seed=self.seed_generator)
        return ops.cast(uniform < probabilities, "float32")

    def check_data(self, x):
        low, high = float(np.min(x)), float(np.max(x))
        if not (low >= 0 and high <= 1):  # NaN fails both comparisons.
            raise ValueError(
                f"Bernoulli takes values in [0, 1], and the data lie in [{low:g}, {high:g}]. "
                f"Divide 8-bit images by 255, remove NaN, or pass `likelihood=Gaussian()`."
            )


@keras.saving.register_keras_serializable("keras_gen")
class Gaussian(Likelihood):
    """Each value is normal around the decoder's output, with one sigma for all.

    log p(x) = -(x - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2.

    Args:
        sigma: Standard deviation, positive, in the units of the data.
        learn_sigma: True trains sigma (as log sigma, a weight) from that start: the
            sigma-VAE of Rybkin et al. (2021), https://arxiv.org/abs/2006.13202
        seed: Integer or None, for `sample`.

    Example:

    ```python
    likelihood = Gaussian(sigma=0.1, learn_sigma=True)
    ```

    Reference:
        Kingma and Welling (2014), appendix C.2: https://arxiv.org/abs/1312.6114
    """

    def __init__(self, sigma=1.0, learn_sigma=False, seed=None, **kwargs):
        if not 0 < sigma < math.inf:
            raise ValueError(f"`sigma` is {sigma}. Pass a positive standard deviation.")
        super().__init__(seed=seed, **kwargs)
        self.sigma = sigma
        self.learn_sigma = learn_sigma
        self.log_sigma = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(math.log(sigma)),
            trainable=learn_sigma,
            name="log_sigma",
        )

    def value_log_prob(self, x, parameters):
        log_sigma = ops.convert_to_tensor(self.log_sigma)
        standardised = (x - parameters) * ops.exp(-log_sigma)
        return -0.5 * ops.square(standardised) - log_sigma - 0.5 * math.log(2 * math.pi)

    def mean(self, parameters):
        return in_float32(parameters)

    def sample(self, parameters):
        mean = self.mean(parameters)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(ops.convert_to_tensor(self.log_sigma)) * noise

    def check_data(self, x):
        if not np.all(np.isfinite(x)):
            raise ValueError("The data hold NaN or infinite values. Remove them before training.")

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "learn_sigma": self.learn_sigma}


def get(identifier):
    """The likelihood itself, or the default one of a name: "bernoulli" or "gaussian"."""
    named = {"bernoulli": Bernoulli, "gaussian": Gaussian}
    if isinstance(identifier, Likelihood):
        return identifier
    if identifier in named:
        return named[identifier]()
    raise ValueError(
        f"`likelihood` is {identifier!r}. Pass a likelihood object such as Bernoulli(), or "
        f"one of the names {', '.join(map(repr, named))}."
    )
