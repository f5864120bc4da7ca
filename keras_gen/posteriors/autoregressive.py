import keras
from keras import ops

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.configs import ChecksNumbers
from keras_gen.dtypes import wide
from keras_gen.losses import densities
from keras_gen.posteriors.base import Distribution, Posterior
from keras_gen.posteriors.made import MADE

OPEN = 2.0  # Added to s, so that a gate starts nearly open: sigmoid(2) = 0.88.


@keras.saving.register_keras_serializable("keras_gen")
class InverseAutoregressiveFlow(ChecksNumbers, Posterior):
    """q(z|x) of a normal draw that masked networks change step by step, Kingma et al. (2016).

    The encoder gives mean and log_var, each (batch, d), and `context`, h, (batch, hidden). With eps
    from N(0, I), z = mean + exp(log_var / 2) eps, and each step is

        (m, s) = MADE(z, h),  sigma = sigmoid(s + 2)
        z <- sigma z + (1 - sigma) m
        log q(z|x) <- log q(z|x) - sum_i log sigma_i

    m_i and s_i depend on h and z_1, ..., z_(i-1), so the Jacobian of a step is triangular with
    sigma on its diagonal. The order of the latents is reversed between steps.

    Only of its own draws is the density known: at another z each step would have to be inverted,
    one latent after the other. So the KL is an estimate, log q(z|x) - log p(z) at the one draw of
    z that the step makes, and what needs q at any z is refused: a `VampPrior`, `DReGIWAE`,
    `elbo_surgery`, `fit_prior`. The one z that stands for an example, in `reconstruct` and
    `interpolate`, is that of eps = 0: the mean of q(z|x) is not known.

    Args:
        steps: Number of steps, each with a network of its own.
        hidden: Width of the networks, and size of `context`.
        seed: Integer or None, of the networks' weights.

    Example:

    ```python
    flow = InverseAutoregressiveFlow(steps=2, hidden=64)
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=10, posterior=flow)
    vae = kg.VAE(*networks, posterior=flow)
    ```

    Reference:
        Kingma et al. (2016), "Improving Variational Inference with Inverse Autoregressive Flow",
        section 4 and algorithm 1: https://arxiv.org/abs/1606.04934
    """

    has_density = False
    numbers = {"steps": check_integer, "hidden": check_integer}

    def __init__(self, steps=2, hidden=64, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps
        self.hidden = hidden
        self.seed = seed

    def outputs(self, size):
        return {"mean": size, "log_var": size, "context": self.hidden}

    def build(self, input_shape):
        dtype = wide(self.variable_dtype)
        streams = seeds.split(self.seed, self.steps)
        self.networks = [MADE(self.hidden, stream, dtype=dtype) for stream in streams]
        for network in self.networks:
            network.build(input_shape, (None, self.hidden))

    def distribution(self, mean, log_var, context):
        return AutoregressiveNormal(self.networks, mean, log_var, context)

    def get_config(self):
        sizes = {"steps": self.steps, "hidden": self.hidden}
        return {**super().get_config(), **sizes, "seed": self.seed}


class AutoregressiveNormal(Distribution):
    """q(z|x) of the steps of an `InverseAutoregressiveFlow`."""

    def __init__(self, networks, mean, log_var, context):
        super().__init__(mean, log_var, context)
        self.networks = networks

    @property
    def center(self):
        z, _ = self.draw(ops.zeros_like(self.mean))
        return z

    def draw(self, noise):
        (h,) = self.others
        z = self.mean + ops.exp(0.5 * self.log_var) * noise
        log_q = densities.log_standard_normal(noise) - 0.5 * ops.sum(self.log_var, axis=-1)
        for t, network in enumerate(self.networks):
            z = ops.flip(z, axis=-1) if t else z
            m, s = (ops.cast(v, z.dtype) for v in network(z, h))
            z = ops.sigmoid(s + OPEN) * z + ops.sigmoid(-s - OPEN) * m
            log_q = log_q - ops.sum(ops.log_sigmoid(s + OPEN), axis=-1)
        return z, log_q

    def map(self, function):
        return type(self)(self.networks, *map(function, (self.mean, self.log_var, *self.others)))
