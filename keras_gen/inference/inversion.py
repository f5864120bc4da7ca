"""The z from which a generator makes an image nearest to a given one."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_gen import backend, seeds
from keras_gen.arguments import check_integer
from keras_gen.checks import check_latents
from keras_gen.dtypes import in_float32, wide
from keras_gen.inference.predict import predict

RATE = 0.1  # Of Adam at its first step, in the units of z.


def mean_squared_error(x, images):
    """Return the mean of the squared differences of each pair, tensors (n, ...) -> (n,)."""
    return ops.mean(ops.square(x - images), axis=tuple(range(1, len(x.shape))))


def invert(
    gan,
    x,
    y=None,
    *,
    starts=4,
    steps=200,
    distance=mean_squared_error,
    batch_size=32,
    ema=False,
    seed=0,
):
    """Return for each example the z whose generated example is nearest to it, (n, *latent_shape).

    A GAN has no encoder: Adam looks for z* = argmin_z distance(x, G(z)) from several starts, as the
    distance has local minima, and the best end is returned. The rate falls from 0.1 to 0 along half
    a cosine. No weight, no moving statistic and no stream of noise changes.

    It costs `starts` * `steps` passes forward and backward through the generator for each example,
    and the computation is compiled once in each call: pass all examples at once.

    Args:
        gan: A `GAN` or one of its subclasses.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts.
        y: Labels (n,), or one for all, if the model has classes.
        starts: Number of draws from N(0, I) to start at, the same for each example, whose z then
            depends on no other in the array. Or the starts themselves, (k, n, *latent_shape): from
            an encoder of your own `z[None]`.
        steps: Updates of Adam from each start.
        distance: Function of tensors (x, images), both (rows, ...), that returns one number a row,
            (rows,), such as the distance of features. The default is the mean squared error.
        batch_size: Number of examples at a time, each with all its starts.
        ema: True uses the generator's averaged weights, as in `generate`.
        seed: Integer or None, of the starts.

    Raises:
        ValueError: If `x` are no examples of this model, or `starts` has another shape.

    Example:

    ```python
    z = gan.invert(x, steps=20)
    reconstructions = gan.generate(z)
    strips = gan.interpolate(z[:4], z[4:8])  # between real images
    ```

    Reference:
        Creswell and Bharath (2016), "Inverting The Generator Of A Generative Adversarial Network":
        https://arxiv.org/abs/1611.05644
    """
    steps = check_integer("steps", steps)
    batch_size = check_integer("batch_size", batch_size)
    x, y = gan.whole(x, y)
    n, z = len(x), starting_points(gan, starts, len(x), seed)
    batch_size = min(batch_size, n)
    found = []
    with gan.generating_weights(ema), seeds.seeded(gan, seed):
        search = Search(gan, len(z) * batch_size, steps, distance)
        for start in range(0, n, batch_size):
            rows = np.arange(start, start + batch_size) % n  # All of one size: compiled once.
            found.append(search.best(x[rows], z[:, rows], None if y is None else y[rows]))
    if search.stopped:
        alone = "" if batch_size == 1 else ", and `batch_size=1`, with which one stops no other"
        warnings.warn(
            f"In {search.stopped} of {len(found)} batches updates were left out, as the distance "
            f"of some example, or its gradient, was not finite: their z are nearer to the starts. "
            f"Try other `starts`{alone}.",
            stacklevel=3,
        )
    return np.concatenate(found)[:n]


def starting_points(gan, starts, n, seed):
    """Return where the search for n examples begins, NumPy (k, n, *latent_shape)."""
    if not np.ndim(starts):
        z = gan.draw_latents(check_integer("starts", starts), seed=seed)
        return np.repeat(z[:, None], n, axis=1)
    shape = np.shape(starts)
    if shape[1:] != (n, *gan.latent_shape) or not shape[0]:
        raise ValueError(
            f"`starts` has shape {shape}. Pass a number of starts, or a z of each example for each "
            f"start, (k, {n}, {', '.join(map(str, gan.latent_shape))})."
        )
    return np.stack([check_latents(z, gan.latent_dim) for z in starts])


class Search(backend.Trainer, keras.Model):
    """Hold the z of each row of a batch as weights, and train these; the generator stays as it is.

    Adam moves each number by itself, so that no row depends on the others while the distances and
    their gradients are finite: an update is made for all rows or for none.
    """

    def __init__(self, gan, num_rows, steps, distance=mean_squared_error):
        super().__init__(dtype=wide(gan.variable_dtype))
        self.generator = gan.generator
        self.distance = distance
        self.steps = steps
        self.stopped = 0  # Searches of which updates were left out.
        self.z = self.add_weight(shape=(num_rows, *gan.latent_shape), name="z")
        self.built = True
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
        # Without loss scaling: its scale must not start again at 0 with the moments.
        self.compile(optimizer=keras.optimizers.Adam(rate), auto_scale_loss=False)
        self.optimizer.build([self.z])

    def best(self, x, starts, y=None):
        """Return the best z of each example, NumPy, from `starts` (k, n, *latent_shape)."""
        k, n, *shape = starts.shape
        x, y = np.tile(x, (k, *[1] * (x.ndim - 1))), None if y is None else np.tile(y, k)
        z = self.ends(x, starts.reshape(-1, *shape), y)

        def measure(images, x):
            x, images = (in_float32(ops.convert_to_tensor(a)) for a in (x, images))
            return ops.convert_to_numpy(self.distance(x, images))

        inputs = z if y is None else [z, y]
        distances = predict(self.generator, inputs, finish=measure, next_to=[x]).reshape(k, n)
        # A start that leads nowhere is none.
        best = np.where(np.isfinite(distances), distances, np.inf).argmin(axis=0)
        return z.reshape(k, n, *shape)[best, np.arange(n)]

    def ends(self, x, z, y=None):
        """Return the z of each row after all steps, NumPy."""
        self.z.assign(z)
        for variable in self.optimizer.variables:  # Moments and rate start again.
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        inputs = (x,) if y is None else (x, y)
        for _ in range(self.steps):
            self.train_on_batch(inputs)
        self.stopped += int(ops.convert_to_numpy(self.optimizer.iterations)) < self.steps
        return np.array(ops.convert_to_numpy(self.z))

    @backend.step
    def train_step(self, data):
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"loss": backend.descend(self.optimizer, [self.z], self.objective, *inputs)}

    def objective(self, x, y=None):
        """Return the distances of all rows, summed."""
        z = ops.convert_to_tensor(self.z)
        images = self.generator(z if y is None else [z, y], training=False)
        distances = self.distance(in_float32(x), in_float32(images))
        if len(distances.shape) != 1:
            raise ValueError(
                f"`distance` gives the shape {tuple(distances.shape)}. Return one number a row, "
                f"(rows,)."
            )
        return ops.sum(distances)
