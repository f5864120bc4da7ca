"""Priors that are fitted to the codes of a trained model."""

import keras
import numpy as np
from keras import ops

from keras_gen import backend, borrowed, seeds
from keras_gen.arguments import check_integer
from keras_gen.checks import check_choice
from keras_gen.dtypes import wide
from keras_gen.metrics import elbo_surgery
from keras_gen.metrics.rows import needs_sklearn
from keras_gen.priors import Flow, Mixture

# Examples, the first, whose aggregate posterior is measured: the time grows as their square.
MEASURED = 5_000
# Draws of z that a mixture is fitted to, at least.
DRAWN = 20_000


def fit_prior(vae, x, kind="gaussian_mixture", k=50, steps=2_000, y=None, seed=None):
    """Replace the prior of a trained VAE by one fitted to its codes, and return what that changed.

    The aggregate posterior q(z) = 1/n sum_i q(z|x_i) is the prior under which the ELBO of these
    examples is greatest. The new prior is a `kg.priors.Mixture` or `Flow` of greatest likelihood at
    draws from it. Networks stay as they are, so reconstructions do too; samples and likelihoods are
    of the new prior, which is saved with the model. It stays as it is: to train it, set
    `vae.prior.trainable = True` and compile again. If the old prior was trained, the optimizer
    starts again.

    Args:
        vae: A trained `VAE` or one of its subclasses, but of one layer of latents, with the
            default posterior.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts: the training data.
        kind: "gaussian_mixture" is scikit-learn's, by expectation maximisation, with diagonal
            covariances. "flow" is a `Flow`, by Adam on fresh draws in each step.
        k: Number of components of the mixture.
        steps: Updates of the flow, of 256 draws each.
        y: Labels (n,), or one for all, if the model has classes.
        seed: Integer or None, of the draws and of the start.

    Returns:
        A dictionary of `before` and `after`, what `kg.metrics.elbo_surgery` says of (the first
        5,000 of) these examples under the old prior and the new one. `aggregate_kl` is
        KL(q(z) || p(z)). For a figure free of overfitting call it with examples held out.

    References:
        Ghosh et al. (2020), "From Variational to Deterministic Autoencoders", section 4, density
        estimation after training: https://arxiv.org/abs/1903.12436
        Hoffman and Johnson (2016), "ELBO surgery":
        http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
    """
    check_choice("kind", kind, KINDS)
    k, steps = check_integer("k", k), check_integer("steps", steps)
    vae.check_normal("`fit_prior`")
    if vae.has_free_bits:
        raise ValueError(
            "`free_bits` are of single latents, and those of a fitted prior have no KL of their "
            "own. Set `vae.free_bits = 0` first."
        )
    mean, log_var = (v.reshape(len(v), -1) for v in vae.encode(x, y=y))  # of q(z|x)
    before = _measured(vae, mean, log_var)
    stream, start = seeds.split(seed, 2)
    draws = Draws(mean, log_var, stream)
    prior = KINDS[kind](draws, k, steps, start)
    prior.trainable = False
    was_trained = vae.prior.trainable_variables
    borrowed.replace_layer(vae, "prior", prior)
    if was_trained and vae.compiled:  # By an optimizer that holds the old prior's moments.
        vae.compile_from_config(vae.get_compile_config())
    return {"before": before, "after": _measured(vae, mean, log_var)}


class Draws:
    """Draws from q(z) = 1/n sum_i q(z|x_i), NumPy (count, d), of one seed."""

    def __init__(self, mean, log_var, seed):
        self.mean, self.log_var = mean, log_var
        self.random = np.random.default_rng(seed)

    def __call__(self, rows):
        mean, log_var = self.mean[rows], self.log_var[rows]
        z = mean + np.exp(0.5 * log_var) * self.random.standard_normal(mean.shape)
        return z.astype(mean.dtype)

    def some(self, count):
        """Return draws of examples that are chosen at random."""
        return self(self.random.integers(len(self.mean), size=count))

    def of_all(self, least):
        """Return as many draws of each example, `least` or more in all."""
        n = len(self.mean)
        return self(np.tile(np.arange(n), -(-least // n)))


def fitted_mixture(draws, k, steps, seed):
    """Return a `Mixture` fitted by scikit-learn."""
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise needs_sklearn() from error
    z = draws.of_all(DRAWN).astype("float64")
    found = GaussianMixture(k, covariance_type="diag", max_iter=200, random_state=seed).fit(z)
    prior = Mixture(k)
    prior.build((None, z.shape[1]))
    parameters = np.log(found.weights_), found.means_, np.log(found.covariances_)
    for weight, value in zip((prior.logits, prior.mean, prior.log_var), parameters, strict=True):
        weight.assign(value)
    return prior


def fitted_flow(draws, k, steps, seed):
    """Return a `Flow` trained by maximum likelihood."""
    density = Density(Flow(seed=seed), draws.mean.shape[1])
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    density.compile(optimizer=keras.optimizers.Adam(rate))
    density.optimizer.build(density.prior.trainable_variables)
    for _ in range(steps):
        density.train_on_batch(draws.some(256))
    return density.prior


class Density(backend.Trainer, keras.Model):
    """A prior that is trained by itself, by maximum likelihood of draws of z."""

    def __init__(self, prior, size):
        super().__init__(dtype=wide(keras.config.dtype_policy().variable_dtype))
        self.prior = prior
        self.prior_size = size
        prior.build((None, size))
        self.built = True

    @backend.step
    def train_step(self, data):
        z, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.prior.trainable_variables
        return {"loss": backend.descend(self.optimizer, variables, self.objective, z)}

    def objective(self, z):
        return -ops.mean(self.prior.distribution(self).log_prob(z))


def _measured(vae, mean, log_var):
    prior = vae.prior.distribution(vae)
    return elbo_surgery(mean[:MEASURED], log_var[:MEASURED], prior=prior)


KINDS = {"gaussian_mixture": fitted_mixture, "flow": fitted_flow}
