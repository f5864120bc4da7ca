"""Arrays of z: what is asked of them, and paths between two."""

import numpy as np


def check_z(z, latent_dim):
    """A NumPy array (n, latent_dim), float32; ValueError for anything else."""
    z = np.asarray(z, dtype="float32")
    if z.ndim != 2 or len(z) == 0 or z.shape[1] != latent_dim:
        raise ValueError(f"`z` has shape {z.shape}. Pass (n, {latent_dim}), n at least 1.")
    return z


def path(z_from, z_to, steps, spherical):
    """Points between pairs of z, both ends included: (n, steps, latent_dim)."""
    check_pairs(steps, z_from=z_from, z_to=z_to)
    return (_great_circle if spherical else _line)(np.asarray(z_from), np.asarray(z_to), steps)


def check_pairs(steps, **ends):
    """Raises ValueError unless there are two arrays of one shape, and at least 2 steps."""
    if steps < 2:
        raise ValueError(f"`steps` is {steps}. Pass at least 2: both ends are included.")
    (name_from, shape_from), (name_to, shape_to) = [(k, np.shape(v)) for k, v in ends.items()]
    if shape_from != shape_to:
        raise ValueError(
            f"`{name_from}` has shape {shape_from} and `{name_to}` {shape_to}. Pass pairs: two "
            f"arrays of the same shape."
        )


def _line(z_from, z_to, steps):
    return np.linspace(z_from, z_to, steps, axis=1)


def _great_circle(z_from, z_to, steps):
    lengths = np.linalg.norm(z_from, axis=-1) * np.linalg.norm(z_to, axis=-1)
    cosine = np.sum(z_from * z_to, axis=-1) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]  # (n, 1, 1)
    t = np.linspace(0, 1, steps)[None, :, None]
    # Where there is no angle there is no circle: sin is 0, and the line will do.
    sine = np.where(np.sin(angle) > 1e-6, np.sin(angle), 1.0)
    circle = np.sin((1 - t) * angle) / sine * z_from[:, None]
    circle = circle + np.sin(t * angle) / sine * z_to[:, None]
    return np.where(np.sin(angle) > 1e-6, circle, _line(z_from, z_to, steps))
