import numpy as np

from keras_gen.arguments import as_one_array, check_integer
from keras_gen.checks import check_ends, check_latents


def interpolate_examples(model, x_from, x_to, steps=8, y=None):
    """Return examples between pairs: z moves from one's code to the other's along a line.

    Args:
        model: An `Autoencoder` or one of its subclasses. The code of a VAE is the mean of q(z|x).
        x_from: Examples (n, ...), or a stream of their batches, as `fit` accepts.
        x_to: As many examples.
        steps: Number of points on each line, both ends included; at least 2.
        y: Label of each pair, (n,), or one for all, if the model has classes.

    Returns:
        NumPy array (n, steps, ...).
    """
    x_from, y = model.whole(x_from, y)
    x_to, y = model.whole(x_to, y)
    check_ends(steps, x_from=x_from, x_to=x_to)
    z = path(code(model, x_from, y), code(model, x_to, y), steps, spherical=False)
    return _along(z, model.decode, y)


def interpolate_latents(model, z_from, z_to, steps=8, spherical=True, y=None, **options):
    """Return generated examples between pairs of z, both ends included.

    Args:
        model: A model with `generate`.
        z_from: NumPy array (n, *latent_shape).
        z_to: NumPy array of the same shape.
        steps: Number of points between each pair, ends included; at least 2.
        spherical: True follows the great circle, whose points have the length of draws from
            N(0, I) (White 2016, https://arxiv.org/abs/1609.04468); False follows the line.
        y: Label of each pair, (n,), or one for all, if the model has classes.
        **options: Further arguments of `generate`, such as `ema=True`.

    Returns:
        NumPy array (n, steps, ...).
    """
    check_ends(steps, z_from=z_from, z_to=z_to)
    check_latents(z_from, model.latent_dim)
    y = model.labels(y, len(z_from))
    return _along(path(z_from, z_to, steps, spherical), model.generate, y, **options)


def walk(z, steps=16, spherical=True):
    """Return points on a closed path through z: from each to the next, and back to the first.

    Args:
        z: NumPy array (n, *latent_shape), n at least 2, such as `model.draw_latents(6)` returns.
        steps: Number of points from one z to the next, of which the first is z itself.
        spherical: As in `interpolate_latents`.

    Returns:
        NumPy array (n * steps, *latent_shape).

    Example:

    ```python
    z = kg.inference.walk(gan.draw_latents(6, seed=0), steps=20)
    kg.callbacks.save_film("walk.webp", gan.generate(z), seconds=0.05, last_seconds=0.05)
    ```
    """
    z = as_one_array("z", z)
    if z.ndim < 2 or len(z) < 2:
        raise ValueError(f"`z` has shape {z.shape}. Pass at least 2 of them: (n, *latent_shape).")
    points = path(z, np.roll(z, -1, axis=0), check_integer("steps", steps) + 1, spherical)
    return points[:, :-1].reshape(-1, *z.shape[1:])


def code(model, x, y=None, batch_size=128):
    """Return the one z of each example, NumPy (n, *latent_shape): of a VAE the mean."""
    return model.code_of(model.encode(x, batch_size=batch_size, y=y))


def path(z_from, z_to, steps, spherical):
    """Return points between pairs of z, both ends included: (n, steps, *latent_shape)."""
    check_ends(steps, z_from=z_from, z_to=z_to)
    n, *shape = np.shape(z_from)
    z_from, z_to = (np.asarray(z).reshape(n, -1) for z in (z_from, z_to))  # Vectors have an angle.
    z = (_great_circle if spherical else _line)(z_from, z_to, int(steps))
    return z.reshape(n, int(steps), *shape)


def _along(z, generate, y, **options):
    n, steps, *shape = z.shape
    y = None if y is None else np.repeat(y, steps)
    x = generate(z.reshape(-1, *shape), y=y, **options)
    return x.reshape(n, steps, *x.shape[1:])


def _line(z_from, z_to, steps):
    return np.linspace(z_from, z_to, steps, axis=1)


def _great_circle(z_from, z_to, steps):
    lengths = np.linalg.norm(z_from, axis=-1) * np.linalg.norm(z_to, axis=-1)
    cosine = np.sum(z_from * z_to, axis=-1) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]  # (n, 1, 1)
    t = np.linspace(0, 1, steps)[None, :, None]
    # Without an angle there is no circle: sin is 0, and the line is used.
    sine = np.where(np.sin(angle) > 1e-6, np.sin(angle), 1.0)
    circle = np.sin((1 - t) * angle) / sine * z_from[:, None]
    circle = circle + np.sin(t * angle) / sine * z_to[:, None]
    return np.where(np.sin(angle) > 1e-6, circle, _line(z_from, z_to, steps))
