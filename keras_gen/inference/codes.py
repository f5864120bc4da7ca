"""The prior of the codes of a trained VQ-VAE: its training, and what it says of examples."""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, borrowed, distribution, optimizers, seeds
from keras_gen.arguments import check_fraction, check_integer
from keras_gen.inference.predict import predict
from keras_gen.networks import code_transformer
from keras_gen.priors import CodePrior

PATIENCE = 10  # Epochs without a gain on what is held out, after which training ends.


def fit_code_prior(
    vqvae,
    x,
    epochs=50,
    prior=None,
    y=None,
    optimizer=None,
    batch_size=64,
    validation_split=0.1,
    verbose=1,
    seed=None,
):
    """Train the prior of a trained `VQVAE`'s codes, put it in the model, and return what it gives.

    The codes of x are encoded once. The prior maximises their log p(c), or log p(c|y) with
    classes. A part of them is held out: the weights of the epoch that is best there are kept, and
    training ends early if ten epochs bring nothing. The networks of the VQ-VAE stay as they are,
    and a later `fit` leaves the prior as it is: fit it again then.

    Args:
        vqvae: A trained `VQVAE`.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts: the training data.
        epochs: Passes over the codes, at most.
        prior: A `kg.priors.CodePrior` to train, or None: the model's own goes on, and one that has
            none gets `kg.networks.code_transformer` with its defaults.
        y: Labels (n,), or one for all, if the model has classes.
        optimizer: Keras optimizer; by default Adam, its rate from 1e-3 to 0 along half a cosine.
        batch_size: Sequences of codes in a step.
        validation_split: Fraction that is held out, drawn at random; with 0 none is, and the last
            epoch's weights are kept.
        verbose: 0 shows no progress.
        seed: Integer or None, of what is held out and of the order. The first weights follow
            `keras.utils.set_random_seed`.

    Returns:
        A dictionary of nats per example: `uniform`, -log p(c) = length * log K of codes that are
        all equally likely; `train` and, with `validation_split`, `held_out`, -log p(c) under the
        new prior; and `epochs`, the number that was best.

    Reference:
        van den Oord et al. (2017), "Neural Discrete Representation Learning", section 3.3:
        https://arxiv.org/abs/1711.00937
    """
    epochs, batch_size = check_integer("epochs", epochs), check_integer("batch_size", batch_size)
    check_fraction("validation_split", validation_split)
    if distribution.count_devices(vqvae) > 1:
        raise ValueError(
            "`fit_prior` of a VQVAE trains on one device, and this model is on several. Save it, "
            "load it outside of `data_parallel()`, and fit its prior there."
        )
    codes, y = codes_and_labels(vqvae, x, y)
    prior = prior or vqvae.prior or _default_prior(vqvae)
    vqvae.check_prior(prior)
    held_out, rest = _split(len(codes), validation_split, seed)
    data = [codes[rest]] if y is None else [codes[rest], y[rest]]
    fresh = [codes[held_out]] if y is None else [codes[held_out], y[held_out]]
    density = CodeDensity(prior)
    batch_size = min(batch_size, len(rest))
    if optimizer is None:
        steps = epochs * (len(rest) // batch_size)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))
    density.compile(optimizer=unused(optimizer))
    optimizers.build(density.optimizer, prior.trainable_variables)
    try:
        best = _train(density, data, fresh, epochs, batch_size, seed, verbose)
    finally:
        prior.set_trainable(False)
    if prior is not vqvae.prior:
        borrowed.replace_layer(vqvae, "prior", prior)
    result = {"uniform": prior.length * math.log(prior.num_codes)}
    result["train"] = -float(np.mean(log_prob_of_codes(prior, *data)))
    if len(held_out):
        result["held_out"] = -float(np.mean(log_prob_of_codes(prior, *fresh)))
    return {**result, "epochs": best}


class CodeDensity(backend.Trainer, keras.Model):
    """A prior of codes that is trained by itself, by maximum likelihood."""

    def __init__(self, prior):
        super().__init__(dtype=prior.network.dtype_policy)  # For float16 Keras scales the loss.
        prior.set_trainable(True)
        self.prior = prior
        self.built = True

    @backend.step
    def train_step(self, data):
        codes, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.prior.trainable_variables
        return {"loss": backend.descend(self.optimizer, variables, self.objective, codes, y)}

    def objective(self, codes, y):
        return -ops.mean(self.prior.log_prob(codes, y, training=True))


def codes_and_labels(vqvae, x, y=None):
    """Return the codes of examples, flat, NumPy (n, length), and their labels, or None."""

    def use(x, y):
        codes = vqvae.encode(x, y=y)
        return [codes.reshape(len(codes), -1)] + ([] if y is None else [y])

    codes, *labels = vqvae.over_parts(use, x, y)
    return codes, labels[0] if labels else None


def log_prob_of_codes(prior, codes, y=None, batch_size=64):
    """Return log p(c) of flat codes (n, length) in nats, NumPy (n,)."""

    def finish(logits, codes):
        logits = logits.astype("float64")
        top = logits.max(axis=-1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
        return np.take_along_axis(log_p, codes[..., None], axis=-1).sum(axis=(1, 2))

    inputs = codes if y is None else [codes, y]
    return predict(prior.network, inputs, min(batch_size, len(codes)), finish, next_to=[codes])


def unused(optimizer):
    """Return an optimizer, or the one of a name; ValueError if it has trained other variables."""
    optimizer = keras.optimizers.get(optimizer)
    if optimizer.built:
        raise ValueError("`optimizer` has trained other variables. Pass a new one.")
    return optimizer


def _default_prior(vqvae):
    sizes = {"length": math.prod(vqvae.code_shape), "num_classes": vqvae.num_classes}
    return CodePrior(code_transformer(vqvae.quantizer.num_codes, **sizes))


def _split(n, fraction, seed):
    """Return the places of the examples that are held out, and of the rest."""
    order = np.random.default_rng(seeds.split(seed, 2)[0]).permutation(n)
    count = min(int(round(fraction * n)), n - 1)
    return order[:count], order[count:]


def _train(density, data, fresh, epochs, batch_size, seed, verbose):
    """Train for some epochs, put the best weights back, and return the number of their epoch."""
    random = np.random.default_rng(seeds.split(seed, 2)[1])
    bar = keras.utils.Progbar(epochs, verbose=verbose, unit_name="epoch")
    best, least, kept = epochs, math.inf, None
    for epoch in range(1, epochs + 1):
        order = random.permutation(len(data[0]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            logs = density.train_on_batch(*(a[rows] for a in data), return_dict=True)
        values = [("train", float(logs["loss"]))]
        if len(fresh[0]):
            nats = -float(np.mean(log_prob_of_codes(density.prior, *fresh)))
            values.append(("held_out", nats))
            if nats < least:
                best, least, kept = epoch, nats, density.prior.get_weights()
        stops = kept is not None and epoch - best >= PATIENCE
        bar.update(epoch, values, finalize=stops or epoch == epochs)
        if stops:
            break
    if kept is not None:
        density.prior.set_weights(kept)
    return best
