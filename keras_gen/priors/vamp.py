import math

import keras
import numpy as np
from keras import ops

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.configs import ChecksNumbers
from keras_gen.dtypes import in_float32
from keras_gen.priors.base import Prior
from keras_gen.priors.distributions import PosteriorMixture

SPREAD = 0.01  # Of the pseudo-inputs around the mean where they start, that of the paper.


@keras.saving.register_keras_serializable("keras_gen")
class VampPrior(ChecksNumbers, Prior):
    """p(z) = 1/K sum_k q(z|u_k), the mixture of the posteriors of K learned pseudo-inputs u_k.

    The best prior of a VAE is the aggregate posterior 1/n sum_i q(z|x_i) of its n examples. This is
    the same with few u_k in place of many x_i, trained with the model (Tomczak and Welling, 2018,
    equation 9). The encoder is the model's own: this layer holds the u_k alone. It encodes them as
    in `encode`, without dropout and with the moving statistics of batch norm, so that p(z) in
    training is p(z) in use. Each step encodes K more examples, and log p(z) of n draws of a z of
    size d holds n K d numbers in memory.

    The KL is estimated at the one draw of z that the step makes: log q(z|x) - log p(z).

    With `num_classes` u_k has the fixed label k mod `num_classes`, and p(z) is the same for all
    labels. In a `TwoLayerIWAE` p(z_top) is the mixture of q(z_top|z) at the mean z of q(z|u_k).

    Args:
        k: K, the number of pseudo-inputs; the paper's is 500.
        data_mean: Mean of the data, in the shape of an example, or None. All u_k start there, with
            a little noise. With None the first `fit` takes the mean of its data, or of the first
            batch of a stream; the file says that this was done. Several processes need a mean,
            as each has data of its own. Where the likelihood has bounds, such as [0, 1] of
            Bernoulli, the u_k are clipped to them.
        seed: Integer or None, of that noise.

    Example:

    ```python
    vae = kg.VAE(*networks, prior=VampPrior(100))
    vae.compile(optimizer="adam")
    vae.fit(x, epochs=10)
    ```

    Reference:
        Tomczak and Welling (2018), "VAE with a VampPrior": https://arxiv.org/abs/1705.07120
    """

    needs_density = True
    numbers = {"k": check_integer}

    def __init__(self, k=100, data_mean=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.k = k
        self.data_mean = None if data_mean is None else np.asarray(data_mean, "float32")
        self.seed = seed

    def shape_in(self, model):
        """Return the shape of a batch of examples; ValueError if `data_mean` is not like them."""
        if self.data_mean is not None:
            self._check_data_mean(tuple(model.example_shape), model.value_bounds())
        return (None, *model.example_shape)

    def build(self, input_shape):
        shape = tuple(input_shape[1:])
        given = self.data_mean is not None
        self.pseudo_inputs = self.add_weight(
            shape=(self.k, *shape),
            initializer=self._around(self.data_mean if given else np.full(shape, 0.5)),
            name="pseudo_inputs",
        )
        self.initialized = self.add_weight(
            shape=(),
            initializer="ones" if given else "zeros",
            dtype="int32",
            trainable=False,
            name="initialized",
        )

    def needs_data(self):
        return not ops.convert_to_numpy(self.initialized)

    def initialize_from_data(self, x):
        self.pseudo_inputs.assign(self._around(x.mean(axis=0, dtype="float64")))
        self.initialized.assign(1)

    def distribution(self, model):
        u = in_float32(ops.convert_to_tensor(self.pseudo_inputs))
        if model.value_bounds() is not None:
            u = ops.clip(u, *model.value_bounds())
        labels = None
        if model.num_classes is not None:
            labels = ops.convert_to_tensor(np.arange(self.k) % model.num_classes, dtype="int32")
        q = model.prior_posterior(u, labels)  # The q(z|u_k), of tensors (k, prior_size).
        return PosteriorMixture(-math.log(self.k) * ops.ones_like(q.mean[:, 0]), q)

    def get_config(self):
        data_mean = None if self.data_mean is None else self.data_mean.tolist()
        return {**super().get_config(), "k": self.k, "data_mean": data_mean, "seed": self.seed}

    def _check_data_mean(self, shape, bounds):
        mean = self.data_mean
        if mean.shape != shape:
            raise ValueError(
                f"`data_mean` has shape {mean.shape}, and an example has {shape}. Pass "
                f"`x.mean(axis=0)`."
            )
        low, high = bounds or (-np.inf, np.inf)
        if not (np.isfinite(mean).all() and low <= mean.min() and mean.max() <= high):
            expected = "finite" if bounds is None else f"in [{low:g}, {high:g}]"
            raise ValueError(
                f"`data_mean` lies in [{mean.min():g}, {mean.max():g}], and this model's data are "
                f"{expected}. Pass `x.mean(axis=0)` of such data."
            )

    def _around(self, mean):
        """Return where the u_k start, NumPy (K, ...)."""
        (stream,) = seeds.split(self.seed, 1)
        noise = np.random.default_rng(stream).standard_normal((self.k, *mean.shape))
        # Half of those around a pixel that is always 0 would be clipped, and have no gradient: |.|.
        return mean + SPREAD * np.where(mean > 0.5, -np.abs(noise), np.abs(noise))
