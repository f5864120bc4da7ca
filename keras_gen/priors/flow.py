import keras
from keras import ops

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.configs import ChecksNumbers
from keras_gen.dtypes import in_float32, wide
from keras_gen.losses import densities
from keras_gen.priors.base import Prior
from keras_gen.priors.distributions import Distribution

LARGEST = 2.0  # Size of the log scale of one coupling.


@keras.saving.register_keras_serializable("keras_gen")
class Flow(ChecksNumbers, Prior):
    """p(z) of z = f(eps), eps from N(0, I), with an invertible f that is trained with the model.

        log p(z) = log N(f^-1(z); 0, I) + log |det d f^-1(z) / dz|

    f^-1 is a chain of affine couplings (Dinh et al., 2017, equations 7 and 8): each leaves one half
    z_a of the latents as it is, and maps the other to (z_b - t(z_a)) exp(-s(z_a)), with t and s
    from a network of two hidden layers. Then the halves change places. s stays within (-2, 2) by
    a tanh. All t and s start at 0, and so p(z) at N(0, I).

    The KL is estimated at the one draw of z that the step makes: log q(z|x) - log p(z).

    Args:
        couplings: Number of couplings, best even: then each half has been moved as often.
        hidden: Width of the networks.
        seed: Integer or None, of the networks' weights.

    Example:

    ```python
    vae = kg.VAE(*networks, prior=Flow(couplings=4, hidden=64))
    ```

    Reference:
        Dinh et al. (2017), "Density estimation using Real NVP": https://arxiv.org/abs/1605.08803
    """

    numbers = {"couplings": check_integer, "hidden": check_integer}

    def __init__(self, couplings=6, hidden=128, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.couplings = couplings
        self.hidden = hidden
        self.seed = seed

    def build(self, input_shape):
        size = input_shape[-1]
        if size < 2:
            raise ValueError(
                f"A Flow couples one half of the latents with the other, and z has size {size}. "
                f"Pass `prior=Mixture()`, or networks with more latents."
            )
        kept = size // 2
        self.dense = []  # Three for each coupling: Keras saves no lists in a list.
        for stream in seeds.split(self.seed, self.couplings):
            self.dense += self._network(kept, size - kept, stream)

    def distribution(self, model):
        networks = [self.dense[i : i + 3] for i in range(0, len(self.dense), 3)]
        return _Flow(model.prior_size, networks)

    def get_config(self):
        sizes = {"couplings": self.couplings, "hidden": self.hidden}
        return {**super().get_config(), **sizes, "seed": self.seed}

    def _network(self, kept, moved, stream):
        """Return the layers of z_a -> (t, s), built."""
        dtype = wide(self.variable_dtype)
        first, second = (keras.initializers.GlorotUniform(s) for s in seeds.split(stream, 2))
        network = [
            keras.layers.Dense(self.hidden, "relu", kernel_initializer=first, dtype=dtype),
            keras.layers.Dense(self.hidden, "relu", kernel_initializer=second, dtype=dtype),
            keras.layers.Dense(2 * moved, kernel_initializer="zeros", dtype=dtype),
        ]
        for layer, size in zip(network, (kept, self.hidden, self.hidden), strict=True):
            layer.build((None, size))
        return network


class _Flow(Distribution):
    def __init__(self, size, networks):
        super().__init__(size)
        self.kept = size // 2  # The size of z_a.
        self.networks = networks

    def log_prob(self, z):
        self.check_width(z)
        eps, log_det = self.to_noise(z)
        return densities.log_standard_normal(eps) + log_det

    def to_noise(self, z):
        """Return eps = f^-1(z) and log |det d eps / dz|, shapes (..., d) and (...)."""
        z, log_det = in_float32(ops.convert_to_tensor(z)), 0.0
        for network in self.networks:
            z_a, z_b = z[..., : self.kept], z[..., self.kept :]
            t, s = self._shift_and_scale(network, z_a)
            z = ops.concatenate([(z_b - t) * ops.exp(-s), z_a], axis=-1)
            log_det = log_det - ops.sum(s, axis=-1)
        return z, log_det

    def from_noise(self, noise):
        z = in_float32(ops.convert_to_tensor(noise))
        for network in reversed(self.networks):
            moved, z_a = z[..., : -self.kept], z[..., -self.kept :]
            t, s = self._shift_and_scale(network, z_a)
            z = ops.concatenate([z_a, moved * ops.exp(s) + t], axis=-1)
        return z

    def _shift_and_scale(self, network, z_a):
        h = z_a
        for layer in network:
            h = layer(h)
        t, s = ops.split(ops.cast(h, z_a.dtype), 2, axis=-1)
        return t, LARGEST * ops.tanh(s / LARGEST)
