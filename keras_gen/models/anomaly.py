"""How much an example is unlike what a VAE was trained on."""

import keras
import numpy as np
from keras import ops

from keras_gen.losses import divergences
from keras_gen.models.base import predict

KINDS = ("elbo", "likelihood", "reconstruction", "distortion")


def score(vae, x, labels, kind, num_samples, seed, batch_size):
    """What `VAE.anomaly_score` says; `labels` is empty, or holds one array (n,)."""
    if kind not in KINDS:
        raise ValueError(f"`kind` is {kind!r}. Pass one of {', '.join(map(repr, KINDS))}.")
    if num_samples < 1:
        raise ValueError(f"`num_samples` is {num_samples}. Pass at least 1.")
    if kind == "likelihood":
        return -vae.log_likelihood(x, *labels, num_samples=num_samples, verbose=0)
    mean, log_var = vae.encode(x, *labels, batch_size=batch_size)  # (n, latent_dim)
    if kind == "reconstruction":
        return -log_prob(vae, x, mean, labels, batch_size)
    # The same draws for every example: its score does not depend on the company it is in.
    noise = np.random.default_rng(seed).standard_normal((num_samples, 1, mean.shape[1]))
    reconstruction = 0.0
    for eps in noise:
        z = (mean + np.exp(0.5 * log_var) * eps).astype(mean.dtype)
        reconstruction -= log_prob(vae, x, z, labels, batch_size) / num_samples
    if kind == "distortion":
        return reconstruction
    kl = divergences.kl_to_standard_normal(*map(ops.convert_to_tensor, (mean, log_var)))
    return reconstruction + ops.convert_to_numpy(kl)


def log_prob(vae, x, z, labels, batch_size):
    """log p(x|z) of pairs, (n,), NumPy; a batch at a time, as parameters may be many."""
    result = []
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        inputs = [z[rows], *[y[rows] for y in labels]] if labels else z[rows]
        parameters = ops.convert_to_tensor(predict(vae.decoder, inputs, batch_size))
        values = ops.convert_to_tensor(np.asarray(x[rows], keras.config.floatx()))
        result.append(ops.convert_to_numpy(vae.likelihood.log_prob(values, parameters)))
    return np.concatenate(result)
