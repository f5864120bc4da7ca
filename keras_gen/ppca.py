"""Probabilistic PCA: the likelihood, posterior and best weights of a linear VAE, in closed form."""

import math

import numpy as np

from keras_gen import door
from keras_gen.arguments import check_integer, check_seed
from keras_gen.likelihoods import Gaussian
from keras_gen.models import VAE
from keras_gen.networks import linear_vae

# Examples that are converted to float64 at a time.
CHUNK = 4096


class PPCA:
    """Probabilistic PCA in float64: x = W z + mean + noise, z ~ N(0, I), noise ~ N(0, sigma2 I).

    So p(x) = N(mean, W W' + sigma2 I). `PPCA.fit` finds the W, sigma2 and mean of greatest
    likelihood in closed form. `to_vae` builds the linear VAE with these weights, the optimum of
    gradient descent. Log-likelihoods are in nats.

    Args:
        W: (d, latent_dim), d the number of values of an example.
        sigma2: Variance of the noise, positive.
        mean: In the shape of an example.

    Example:

    ```python
    ppca = PPCA.fit(x, latent_dim=10)
    ppca.log_likelihood(x_test).mean()
    vae = ppca.to_vae()  # its ELBO is that number
    ```

    Reference:
        Tipping and Bishop (1999), "Probabilistic Principal Component Analysis":
        https://doi.org/10.1111/1467-9868.00196
    """

    def __init__(self, W, sigma2, mean):
        self.W = np.asarray(W, "float64")
        self.sigma2 = float(sigma2)
        self.mean = np.asarray(mean, "float64")
        if self.W.ndim != 2 or len(self.W) != self.mean.size:
            raise ValueError(
                f"`W` has shape {self.W.shape} and `mean` {self.mean.shape}. Pass (d, latent_dim), "
                f"d the number of values of an example: here {self.mean.size}."
            )
        if not 0 < self.sigma2 < math.inf:
            raise ValueError(f"`sigma2` is {sigma2}. Pass a positive variance.")

    @classmethod
    def fit(cls, x, latent_dim):
        """Return the model of maximum likelihood: Tipping and Bishop, equations 7 and 8, R = I.

        The columns of W are orthogonal, longest first; the sign of each is arbitrary. They come
        from the eigenvectors of the d x d covariance matrix.

        Args:
            x: Array (n, ...) of examples, of any rank, or a stream of batches, which is joined.
            latent_dim: Size of z, less than the number of values of an example.

        Raises:
            ValueError: If `latent_dim` directions leave no variance for the noise, or if `x` is
                not finite.
        """
        x = _rows(x)
        d = math.prod(x.shape[1:])
        if x.ndim < 2 or not len(x):
            raise ValueError(f"`x` has shape {x.shape}. Pass (n, ...), n at least 1.")
        latent_dim = check_integer("latent_dim", latent_dim)
        if latent_dim >= d:
            raise ValueError(
                f"`latent_dim` is {latent_dim}. Pass at least 1 and less than {d}, the number of "
                f"values of an example: the noise needs a direction of its own."
            )
        mean = np.mean(x, axis=0, dtype="float64")
        if not np.all(np.isfinite(mean)):
            raise ValueError("`x` holds NaN or infinite values. Remove them first.")
        # S, the covariance of maximum likelihood: divided by n, not n - 1.
        covariance = sum(c.T @ c for c in _centred(x, mean)) / len(x)
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)  # Ascending.
        L, U = eigenvalues[::-1][:latent_dim], eigenvectors[:, ::-1][:, :latent_dim]
        sigma2 = eigenvalues[:-latent_dim].mean()  # equation 8
        if not sigma2 > 1e-12 * eigenvalues[-1]:
            raise ValueError(
                f"The {len(x)} examples vary along {latent_dim} directions or fewer, so the "
                f"likelihood has no maximum. Pass a smaller `latent_dim`, or more examples."
            )
        # equation 7; if all eigenvalues are equal, rounding may put their mean above them.
        return cls(U * np.sqrt(np.maximum(L - sigma2, 0)), sigma2, mean)

    @property
    def M(self):
        """W'W + sigma2 I, (latent_dim, latent_dim); diagonal if W comes from `fit`."""
        return self.W.T @ self.W + self.sigma2 * np.eye(self.W.shape[1])

    def log_likelihood(self, x):
        """Return log p(x) of every example, (n,), in nats."""
        d, q = self.W.shape
        _, log_det_M = np.linalg.slogdet(self.M)
        log_det_C = (d - q) * math.log(self.sigma2) + log_det_M
        result = []
        for centred in _centred(self._examples(x), self.mean):
            # C^-1 = (I - W M^-1 W') / sigma2, which needs no d x d matrix.
            projected = centred @ self.W
            explained = np.sum(projected * np.linalg.solve(self.M, projected.T).T, axis=1)
            distance = (np.sum(centred**2, axis=1) - explained) / self.sigma2
            result.append(-0.5 * (d * math.log(2 * math.pi) + log_det_C + distance))
        return np.concatenate(result)

    def posterior(self, x):
        """Return mean (n, latent_dim) and covariance (latent_dim, latent_dim) of p(z|x).

        p(z|x) = N(M^-1 W'(x - mean), sigma2 M^-1): the covariance is the same for every x.
        """
        V = np.linalg.solve(self.M, self.W.T)  # (latent_dim, d)
        means = [centred @ V.T for centred in _centred(self._examples(x), self.mean)]
        return np.concatenate(means), self.sigma2 * np.linalg.inv(self.M)

    def sample(self, num_samples, seed=None):
        """Draw from p(x), (num_samples, ...)."""
        num_samples = check_integer("num_samples", num_samples)
        random = np.random.default_rng(check_seed(seed))
        z = random.normal(size=(num_samples, self.W.shape[1]))
        noise = random.normal(scale=math.sqrt(self.sigma2), size=(num_samples, len(self.W)))
        return (z @ self.W.T + noise).reshape(-1, *self.mean.shape) + self.mean

    def to_vae(self, seed=None):
        """Return the linear `VAE` with this W, mean and sigma, and with the best diagonal q(z|x).

        q has the posterior's mean and the variances sigma2 / M_ii. If the columns of W are
        orthogonal, as `fit` makes them, q is the posterior, and the ELBO is log p(x).
        """
        latent_dim = self.W.shape[1]
        encoder, decoder = linear_vae(self.mean.shape, latent_dim)
        V = np.linalg.solve(self.M, self.W.T)
        log_var = np.log(self.sigma2 / np.diag(self.M))
        encoder.set_weights([V.T, -V @ self.mean.reshape(-1), log_var])
        decoder.set_weights([self.W.T, self.mean.reshape(-1)])
        likelihood = Gaussian(math.sqrt(self.sigma2), learn_sigma=True)
        return VAE(encoder, decoder, likelihood, seed=seed)

    def _examples(self, x):
        x = _rows(x)
        if x.shape[1:] != self.mean.shape or not len(x):
            raise ValueError(
                f"`x` has shape {x.shape}. Pass (n, {', '.join(map(str, self.mean.shape))}), n at "
                f"least 1."
            )
        return x


def _rows(x):
    """Return examples as one array, in their own type; a stream is joined."""
    if door.stream_kind(x) is None:
        return door.as_numbers(x)
    return np.concatenate([part for part, _ in door.parts(x, None, labelled=False)])


def _centred(x, mean):
    for start in range(0, len(x), CHUNK):
        yield (x[start : start + CHUNK] - mean).reshape(-1, mean.size)
