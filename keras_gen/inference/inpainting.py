import functools

import keras
import numpy as np
from keras import ops

from keras_gen import backend, seeds
from keras_gen.arguments import check_integer
from keras_gen.checks import check_choice
from keras_gen.dtypes import in_float32
from keras_gen.inference.predict import predict
from keras_gen.posteriors import Normal


def inpaint(
    vae, x, mask, method="elbo", num_samples=1, steps=200, batch_size=128, y=None, seed=None
):
    """Return `x` with hidden values filled in by E[x|z]; visible values stay as they are.

    Args:
        vae: A `VAE` or one of its subclasses, trained on whole examples.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts. Hidden values are
            never read, and may be NaN.
        mask: Booleans, True where `x` is hidden; of the shape of `x`, or of one example, or
            (height, width, 1) for all channels of all examples.
        method: Where z comes from. "elbo" fits a normal q(z) to the visible values of each
            example, by Adam on their ELBO, and uses its mean; "map" fits the z of greatest
            p(visible, z), by Adam too. "chains" draws z from q(z|x) and the hidden values from
            p(x|z) in turn (Rezende et al., 2014, appendix F), and uses the mean of E[x|z] over
            the second half. On MNIST "elbo" has the least mean squared error, and "chains" by
            far the greatest: q(z|x) was not trained on such examples. Of a
            `TwoLayerIWAE` "elbo" and "map" have N(0, I) for p(z).
        num_samples: Chains for each example, or runs of Adam; the result is their mean.
        steps: Length of a chain, or updates of Adam.
        batch_size: Number of examples at a time.
        y: Labels (n,), or one for all, if the model has classes.
        seed: Integer or None. An integer gives the same result each time, and leaves the model's
            streams of noise as they are.

    Reference:
        Rezende et al. (2014), "Stochastic Backpropagation and Approximate Inference in Deep
        Generative Models": https://arxiv.org/abs/1401.4082
    """
    check_choice("method", method, METHODS)
    num_samples = check_integer("num_samples", num_samples)
    steps = check_integer("steps", steps)
    x, y = vae.whole(x, y, check=lambda x: None)
    hidden = check_mask(mask, x.shape)
    # Hidden values are never read: they may be NaN. 0 is a value of every likelihood.
    x = np.where(hidden, np.zeros((), x.dtype), x)
    vae.check_data(x)
    batch_size = min(batch_size, len(x))
    expected = []
    with seeds.seeded(vae, seed):
        fill = METHODS[method](vae, batch_size * num_samples, steps)
        for start in range(0, len(x), batch_size):
            rows = np.arange(start, start + batch_size) % len(x)  # All of one size: compiled once.
            rows = np.repeat(rows, num_samples)
            images = fill(x[rows], hidden[rows], None if y is None else y[rows])  # E[x|z]
            expected.append(images.reshape(batch_size, num_samples, *x.shape[1:]).mean(axis=1))
    return np.where(hidden, np.concatenate(expected)[: len(x)], x)


def chains(vae, num_rows, steps):
    """Return a function that runs a chain for each row: the mean of E[x|z] over its second half.

    Rezende et al. (2014), appendix F: z is drawn from q(z|v), then v's hidden values from p(x|z).
    """

    def fill(x, hidden, y):
        z = vae.draw_latents(num_rows)
        total = 0.0
        for step in range(steps):
            drawn = vae.decode(z, draw_pixels=True, batch_size=num_rows, y=y)
            v = np.where(hidden, drawn, x)
            inputs = v if y is None else [v, y]
            posterior = predict(vae.encoder, inputs, num_rows)  # The parameters of q(z|v).
            z = vae.draw_of(posterior)
            if step >= steps // 2:
                total = total + vae.decode(z, batch_size=num_rows, y=y)
        return total / (steps - steps // 2)

    return fill


class Fit:
    """Find the z of greatest p(z) p(visible values|z) for each row by Adam, and return E[x|z].

    With `spread` it is the normal q(z) of greatest ELBO, and E[x|z] at its mean. The ELBO is that
    of the visible values alone: a bound on log p(visible values).
    """

    def __init__(self, vae, num_rows, steps, spread=False):
        self.vae = vae
        self.num_rows = num_rows
        self.steps = steps
        self.descent = Descent(vae, num_rows, spread)
        rate = keras.optimizers.schedules.CosineDecay(0.05, steps)
        # Without loss scaling: its scale must not start again at 0 with the moments.
        self.descent.compile(optimizer=keras.optimizers.Adam(rate), auto_scale_loss=False)
        self.descent.optimizer.build(self.descent.q)
        n = 256
        y = None if vae.num_classes is None else np.arange(n) % vae.num_classes
        self.average = vae.decode(vae.draw_latents(n), y=y).mean(axis=0)

    def __call__(self, x, hidden, y):
        vae, descent = self.vae, self.descent
        # z starts at the encoder's guess, with the model's average in place of hidden values.
        v = np.where(hidden, self.average, x).astype(x.dtype)
        start = predict(vae.encoder, v if y is None else [v, y], self.num_rows)
        for variable, value in zip(descent.q, (vae.code_of(start), start[1]), strict=False):
            variable.assign(value)
        for variable in descent.optimizer.variables:  # Moments and rate start again.
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        inputs = (x, (~hidden).astype(x.dtype))
        if y is not None:
            inputs = (*inputs, y)
        for _ in range(self.steps):
            descent.train_on_batch(inputs)
        z = ops.convert_to_numpy(descent.mean)
        return vae.decode(z, batch_size=self.num_rows, y=y)


class Descent(backend.Trainer, keras.Model):
    """Hold q(z) of each row of a batch as weights, and train these; the VAE stays as it is."""

    def __init__(self, vae, num_rows, spread):
        super().__init__()
        self.vae = vae
        shape = (num_rows, *vae.latent_shape)
        self.mean = self.add_weight(shape=shape, name="mean")
        self.log_var = self.add_weight(shape=shape, name="log_var") if spread else None
        self.q = [self.mean, self.log_var] if spread else [self.mean]
        self.built = True

    @backend.step
    def train_step(self, data):
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"loss": backend.descend(self.optimizer, self.q, self.objective, *inputs)}

    def objective(self, x, visible, y=None):
        """Return -log p(visible values, z), or -ELBO if q has a spread, summed over the batch."""
        z = mean = self.vae.flat(ops.convert_to_tensor(self.mean))
        prior = self.vae.prior_of_z()
        if self.log_var is None:
            cost = -prior.log_prob(z)
        else:
            log_var = self.vae.flat(ops.convert_to_tensor(self.log_var))
            q = Normal(mean, log_var)
            z, log_q = self.vae.draw(q, self.vae.user_sampling)
            cost = prior.kl_of_latents(q, z, log_q)
        parameters = in_float32(self.vae.decoded(z, y))
        log_prob = self.vae.likelihood.value_log_prob(in_float32(x), parameters)
        return ops.sum(cost) - ops.sum(visible * log_prob)


def check_mask(mask, shape):
    """Return the mask in the shape of the examples; ValueError unless it is boolean and fits."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(
            f"`mask` is of type {mask.dtype}. Pass booleans, True where an example is hidden."
        )
    try:
        return np.broadcast_to(mask, shape)
    except ValueError as error:
        raise ValueError(
            f"`mask` has shape {mask.shape}, but the examples have {tuple(shape)}. Pass one for "
            f"each example, in its shape, or one for all, {tuple(shape[1:])}."
        ) from error


METHODS = {"chains": chains, "map": Fit, "elbo": functools.partial(Fit, spread=True)}
