"""What stands where an example is hidden, by a VAE that was trained on whole ones."""

import keras
import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.dtypes import in_float32
from keras_gen.losses import divergences
from keras_gen.models.base import predict


def inpaint(vae, x, mask, labels, method, num_samples, steps, batch_size):
    """What `VAE.inpaint` says; `labels` is empty, or holds one array (n,)."""
    if method not in METHODS:
        raise ValueError(f"`method` is {method!r}. Pass one of {', '.join(map(repr, METHODS))}.")
    for name, value in {"num_samples": num_samples, "steps": steps}.items():
        if value < 1:
            raise ValueError(f"`{name}` is {value}. Pass at least 1.")
    x = np.asarray(x)
    hidden = check_mask(mask, x.shape)
    # Whatever is hidden is never read: it may be NaN. 0 is a value of every likelihood.
    x = np.where(hidden, np.zeros((), x.dtype), x)
    vae.check_data(x)
    x = x.astype(keras.config.floatx(), copy=False)
    batch_size = min(batch_size, len(x))
    fill = METHODS[method](vae, batch_size * num_samples, steps)
    expected = []
    for start in range(0, len(x), batch_size):
        rows = np.arange(start, start + batch_size) % len(x)  # All of one size: compiled once.
        rows = np.repeat(rows, num_samples)
        images = fill(x[rows], hidden[rows], *[y[rows] for y in labels])  # E[x|z]
        expected.append(images.reshape(batch_size, num_samples, *x.shape[1:]).mean(axis=1))
    return np.where(hidden, np.concatenate(expected)[: len(x)], x)


class Chains:
    """A chain for every row; E[x|z], the mean over its second half.

    Rezende et al. (2014), appendix F: z from q(z|v), v's hidden values from p(x|z), and again.
    """

    def __init__(self, vae, num_rows, steps):
        self.vae = vae
        self.num_rows = num_rows
        self.steps = steps

    def __call__(self, x, hidden, *labels):
        vae = self.vae
        z = vae.user_z(self.num_rows)
        total = 0.0
        for step in range(self.steps):
            drawn = vae.decode(z, *labels, draw_pixels=True, batch_size=self.num_rows)
            v = np.where(hidden, drawn, x)
            inputs = [v, *labels] if labels else v
            posterior = predict(vae.encoder, inputs, self.num_rows)  # mean, log_var of q(z|v)
            z = ops.convert_to_numpy(vae.user_sampling(posterior))
            if step >= self.steps // 2:
                total = total + vae.decode(z, *labels, batch_size=self.num_rows)
        return total / (self.steps - self.steps // 2)


class MostProbable:
    """E[x|z] at the z of greatest p(z) p(visible values|z), for every row, by Adam."""

    spread = False

    def __init__(self, vae, num_rows, steps):
        self.vae = vae
        self.num_rows = num_rows
        self.steps = steps
        self.descent = Descent(vae, num_rows, self.spread)
        rate = keras.optimizers.schedules.CosineDecay(0.05, steps)
        self.descent.compile(optimizer=keras.optimizers.Adam(rate))
        self.descent.optimizer.build(self.descent.q)
        n = 256
        classes = getattr(vae, "num_classes", None)
        labels = [] if classes is None else [np.arange(n) % classes]
        self.average = vae.decode(vae.user_z(n), *labels).mean(axis=0)

    def __call__(self, x, hidden, *labels):
        vae, descent = self.vae, self.descent
        # It starts where the encoder sees it, the hidden values being the model's average.
        v = np.where(hidden, self.average, x).astype(x.dtype)
        start = predict(vae.encoder, [v, *labels] if labels else v, self.num_rows)
        for variable, value in zip(descent.q, start, strict=False):
            variable.assign(value)
        for variable in descent.optimizer.variables:  # As new: its moments, and its rate.
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        inputs = (x, (~hidden).astype(x.dtype), *labels)
        for _ in range(self.steps):
            descent.train_on_batch(inputs)
        z = ops.convert_to_numpy(descent.mean)
        return vae.decode(z, *labels, batch_size=self.num_rows)


class MostLikely(MostProbable):
    """E[x|z] at the mean of the normal q(z), free for every row, of greatest ELBO.

    The ELBO is that of the visible values alone: a bound on log p(visible values).
    """

    spread = True


class Descent(keras.Model):
    """A q(z) for every row of a batch, as weights; the VAE stays as it is."""

    def __init__(self, vae, num_rows, spread):
        super().__init__()
        self.vae = vae
        shape = (num_rows, vae.latent_dim)
        self.mean = self.add_weight(shape=shape, name="mean")
        self.log_var = self.add_weight(shape=shape, name="log_var") if spread else None
        self.q = [self.mean, self.log_var] if spread else [self.mean]
        self.built = True

    @backend.step
    def train_step(self, data):
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"loss": backend.descend(self.optimizer, self.q, self.objective, *inputs)}

    def objective(self, x, visible, y=None):
        """-log p(visible values, z), or -ELBO where q has a spread; summed over the batch."""
        z = mean = ops.convert_to_tensor(self.mean)
        cost = 0.5 * ops.sum(ops.square(z), axis=-1)  # -log p(z), up to a constant
        if self.log_var is not None:
            log_var = ops.convert_to_tensor(self.log_var)
            z = self.vae.user_sampling((mean, log_var))
            cost = divergences.kl_to_standard_normal(mean, log_var)
        parameters = in_float32(self.vae.decoded(z, y))
        log_prob = self.vae.likelihood.value_log_prob(in_float32(x), parameters)
        return ops.sum(cost) - ops.sum(visible * log_prob)


def check_mask(mask, shape):
    """The mask in the shape of the examples; ValueError unless it is of bool and fits."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(
            f"`mask` is of type {mask.dtype}. Pass booleans, True where an example is hidden."
        )
    try:
        return np.broadcast_to(mask, shape)
    except ValueError as error:
        raise ValueError(
            f"`mask` has shape {mask.shape}, and the examples {tuple(shape)}. Pass one for each "
            f"example, in its shape, or one for all, {tuple(shape[1:])}."
        ) from error


METHODS = {"chains": Chains, "map": MostProbable, "elbo": MostLikely}
