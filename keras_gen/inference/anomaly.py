import numpy as np
from keras import ops

from keras_gen import likelihoods
from keras_gen.arguments import check_integer
from keras_gen.checks import check_choice
from keras_gen.inference.predict import predict

KINDS = ("elbo", "likelihood", "reconstruction", "distortion")


def anomaly_score(vae, x, kind="elbo", num_samples=10, seed=0, batch_size=128, y=None):
    """Return how unlike the training data each example is, (n,) in nats: higher is more anomalous.

    The best recipe of those tried on MNIST and clothing is "distortion" of a
    `DenoisingVAE(..., stddev=0.6, likelihood=Gaussian(0.3))`; "elbo" of a plain VAE is far worse.

    Args:
        vae: A `VAE` or one of its subclasses.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts.
        kind: "elbo" is -ELBO, and "distortion" its part -E_q[log p(x|z)] (An and Cho, 2015), at
            `num_samples` draws of z, the same for each example; "reconstruction" is -log p(x|z)
            at the mean of q(z|x); "likelihood" is -log p(x) by `log_likelihood`. With classes,
            all of them are given the label. "elbo" of a `TwoLayerIWAE` has N(0, I) for p(z).
        num_samples: Number of draws of z; "reconstruction" needs none.
        seed: Seed of the draws, an integer.
        batch_size: Number of examples in each call of a network.
        y: Labels (n,), or one for all, if the model has classes.

    Reference:
        An and Cho (2015), "Variational Autoencoder based Anomaly Detection using
        Reconstruction Probability": http://dm.snu.ac.kr/static/docs/TR/SNUDM-TR-2015-03.pdf
    """
    check_choice("kind", kind, KINDS)
    num_samples = check_integer("num_samples", num_samples)
    if kind == "likelihood":
        return -vae.log_likelihood(x, num_samples=num_samples, verbose=0, y=y, seed=seed)
    options = (kind, num_samples, seed, batch_size)
    return vae.over_parts(lambda x, y: _score(vae, x, y, *options), x, y)


def _score(vae, x, y, kind, num_samples, seed, batch_size):
    parameters = vae.encode(x, batch_size=batch_size, y=y)  # of q(z|x)
    if kind == "reconstruction":
        return -log_prob_given_z(vae, x, vae.code_of(parameters), y, batch_size)
    # The same draws for each example: its score does not depend on the others in the array.
    noise = np.random.default_rng(seed).standard_normal((num_samples, 1, vae.latent_size))
    prior = vae.prior_of_z() if kind == "elbo" else None
    score = 0.0
    for i, eps in enumerate(noise):
        z, kl = _draw(vae, parameters, prior, eps, batch_size)
        score -= log_prob_given_z(vae, x, z, y, batch_size, compare=i == 0) / num_samples
        score += kl / num_samples
    return score


def _draw(vae, parameters, prior, eps, batch_size):
    """Return z of q(z|x) made of the noise, (n, *latent_shape), and its KL to p(z), (n,).

    The KL is that of `Distribution.kl_of_latents`: where it has no closed form, an estimate.
    """
    z, kl = [], []
    for start in range(0, len(parameters[0]), batch_size):
        q = vae.distribution_of([v[start : start + batch_size] for v in parameters])
        drawn, log_q = q.draw(ops.cast(ops.convert_to_tensor(eps), q.mean.dtype))
        z.append(ops.convert_to_numpy(drawn))
        if prior is not None:  # A batch at a time: under a mixture its terms are many.
            of_latents = prior.kl_of_latents(q, drawn, log_q)
            kl.append(ops.convert_to_numpy(ops.sum(of_latents, axis=-1)))
    return np.concatenate(z).reshape(-1, *vae.latent_shape), np.concatenate(kl) if kl else 0.0


def log_prob_given_z(vae, x, z, y, batch_size=128, compare=True):
    """Return log p(x|z) of pairs, NumPy (n,), a batch at a time: the parameters may be large."""

    def finish(parameters, x):
        values = likelihoods.log_prob(vae.likelihood, *map(ops.convert_to_tensor, (x, parameters)))
        return ops.convert_to_numpy(values)

    inputs = z if y is None else [z, y]
    return predict(vae.decoder, inputs, batch_size, finish, next_to=[x], compare=compare)
