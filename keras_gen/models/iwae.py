import math

import keras
from keras import ops

from keras_gen.arguments import check_integer
from keras_gen.models.vae import VAE


@keras.saving.register_keras_serializable("keras_gen")
class IWAE(VAE):
    """Importance weighted autoencoder: maximises a bound on log p(x) that k draws make tighter.

    L_k = E[log 1/k sum_i w_i] with w_i = p(x, z_i) / q(z_i|x) and z_i from q(z|x), Burda et al.
    (2016), equation 8. L_1 is the ELBO, and L_k rises to log p(x) with k. `fit` logs `loss` =
    -L_k (and regularisers) and, as means over the same k draws, `reconstruction`, `kl` =
    log q(z|x) - log p(z) and their negative sum, the `elbo`, the value of the same networks at
    k = 1. With k = 1 this is `VAE`, which knows the KL to N(0, I) in closed form.

    There is no `beta` and there are no `free_bits`: the bound has no KL term of its own that
    these could weight or clip.

    Args:
        encoder, likelihood, seed, dynamic_binarization, num_classes, prior, posterior: As in `VAE`.
        decoder: As in `VAE`; it is given k z for every x.
        num_samples: k, at least 1.

    Example:

    ```python
    iwae = kg.IWAE(*kg.networks.burda_vae((28, 28, 1)), num_samples=50)
    iwae.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-4))
    iwae.fit(x, epochs=10)
    ```

    Reference:
        Burda, Grosse and Salakhutdinov (2016), "Importance Weighted Autoencoders":
        https://arxiv.org/abs/1509.00519
    """

    numbers = {**VAE.numbers, "num_samples": check_integer}
    not_taken = ("beta", "free_bits")  # Arguments of a VAE that have no place in the bound.

    def __init__(
        self, encoder, decoder, likelihood="bernoulli", num_samples=5, seed=None, **kwargs
    ):
        for name in self.not_taken:
            if name in kwargs:
                raise ValueError(
                    f"{type(self).__name__} has no `{name}`: its bound has no KL term of its "
                    f"own. Leave it out, or use VAE."
                )
        super().__init__(encoder, decoder, likelihood, seed=seed, **kwargs)
        self.num_samples = num_samples

    def objective(self, x, sample_weight, y=None, *, training=True):
        """Return -L_k, with regularisers, and the scalars to log, in nats per example."""
        if self.num_samples == 1:
            return super().objective(x, sample_weight, y, training=training)
        # Each (num_samples, batch).
        log_p_x, log_p_z, log_q_z = self.log_densities(x, self.num_samples, y, training)
        bound = log_mean_exp(log_p_x + log_p_z - log_q_z)  # L_k, equation 8, (batch,)
        return self.terms(bound, log_p_x, log_p_z, log_q_z, sample_weight)

    def terms(self, bound, log_p_x, log_p_z, log_q_z, sample_weight):
        """Return the loss and the scalars to log, from L_k (batch,) and its weights' parts."""
        loss = -ops.mean(sample_weight * bound) + self.added_losses()
        reconstruction = -ops.mean(sample_weight * log_p_x)
        kl = ops.mean(sample_weight * (log_q_z - log_p_z))
        elbo = -(reconstruction + kl)
        return loss, {"loss": loss, "reconstruction": reconstruction, "kl": kl, "elbo": elbo}

    def get_config(self):
        config = {**super().get_config(), "num_samples": self.num_samples}
        return {name: value for name, value in config.items() if name not in self.not_taken}


@keras.saving.register_keras_serializable("keras_gen")
class DReGIWAE(IWAE):
    """`IWAE` with the doubly reparameterised gradient of the encoder, Tucker et al. (2019).

    The bound, and so the optimum, is that of `IWAE`. So is the decoder's gradient,
    sum_i v_i d log w_i with the normalised weights v_i. The encoder's is

        sum_i v_i^2 (d log w_i / d z_i) (d z_i / d phi),

    the same in expectation. As k grows the usual estimate drowns in its own noise, and this one
    does not, once q is near enough to the posterior for more than a draw or two to count. With
    k = 1 it is the ELBO's gradient without the score of q (Roeder et al., 2017), so it is not
    quite `VAE`.

    What reaches the encoder through the density of a `VampPrior`, and not through z_i, is part of
    d log w_i of the model p, and has the weights v_i.

    Args:
        encoder, decoder, likelihood, num_samples, seed, num_classes, prior: As in `IWAE`.
        posterior: As in `IWAE`, but for an `InverseAutoregressiveFlow`: the gradient with respect
            to z_i goes through log q(z|x) as a function of z.

    Example:

    ```python
    iwae = kg.DReGIWAE(*kg.networks.burda_vae((28, 28, 1)), num_samples=50)
    ```

    Reference:
        Tucker et al. (2019), "Doubly Reparameterized Gradient Estimators for Monte Carlo
        Objectives": https://arxiv.org/abs/1810.04152
    """

    def check_posterior(self):
        self.check_density("DReGIWAE")

    def objective(self, x, sample_weight, y=None, *, training=True):
        # p(z), first, as in `VAE`. Where the encoder makes it, that gradient has the plain weights.
        prior = self.prior.distribution(self)
        q = self.posterior_of(x, y, training, self.num_samples)
        z, _ = self.draw(q, self._sampling(training))
        z, zero = with_weighted_gradient(z)
        log_p_x = self.log_prob_of_draws(x, z, y, training)
        log_p_z = prior.log_prob(z)
        # q's parameters move z alone: the gradient through its density is what is left out.
        log_q_z = q.map(ops.stop_gradient).log_prob(z)
        log_w = log_p_x + log_p_z - log_q_z  # (num_samples, batch)

        v = ops.stop_gradient(ops.softmax(log_w, axis=0))
        surrogate = ops.sum(v * (log_w + zero), axis=0)
        # The value of the bound, and the gradient of the surrogate.
        bound = surrogate + ops.stop_gradient(log_mean_exp(log_w) - surrogate)
        return self.terms(bound, log_p_x, log_p_z, log_q_z, sample_weight)


def log_mean_exp(log_w):
    """Return log 1/k sum_i w_i over the first axis, (k, batch) -> (batch,)."""
    return ops.logsumexp(log_w, axis=0) - math.log(log_w.shape[0])


def with_weighted_gradient(z):
    """Return z (k, batch, d) unchanged, and zeros (k, batch) that weight its gradient.

    The gradient that comes back through z is multiplied by the gradient of the zeros, divided by
    its sum over k. If each draw's term of a loss is v_i (f(z_i) + zero_i), with the v_i adding up
    to 1, z_i receives v_i^2 f'(z_i), and the parameters of f the plain v_i.
    """

    @ops.custom_gradient
    def identity(z):
        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            dz, v = upstream[..., :-1], upstream[..., -1:]
            # Divided: an example's weight, 1 / batch and loss scaling are in both.
            return dz * ops.divide_no_nan(v, ops.sum(v, axis=0, keepdims=True))

        return ops.concatenate([z, ops.zeros_like(z[..., :1])], axis=-1), grad

    padded = identity(z)
    return padded[..., :-1], padded[..., -1]
