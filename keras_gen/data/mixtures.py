"""Toy mixtures of Gaussians in the plane, whose modes can be counted."""

import numpy as np

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.data.arrays import ArrayDataset


class MixtureDataset(ArrayDataset):
    """Points drawn from a mixture of round Gaussians that have one size and one weight.

    Args:
        centres: (modes, dimensions), all distinct.
        sigma: standard deviation of every mode along every axis.
        num_examples: number of points that are drawn.
        seed: seed of the points and of their order.
        batch_size, shuffle, drop_remainder, labels: as in `ArrayDataset`.

    Attributes:
        x: the points, (num_examples, dimensions), float32.
        y: the mode that each point was drawn from, (num_examples,).
        centres: the modes, (modes, dimensions), float64.
        sigma: as given.
        weights: probability of every mode, (modes,).
    """

    def __init__(
        self,
        centres,
        sigma,
        num_examples=100_000,
        batch_size=128,
        shuffle=True,
        seed=0,
        drop_remainder=False,
        labels=False,
    ):
        self.centres = np.asarray(centres, "float64")
        self.sigma = sigma
        if self.centres.ndim != 2 or len(np.unique(self.centres, axis=0)) < len(self.centres):
            raise ValueError(
                f"`centres` has shape {self.centres.shape} and "
                f"{len(np.unique(self.centres, axis=0))} distinct rows. Pass (modes, dimensions), "
                f"each mode once."
            )
        if sigma <= 0:
            raise ValueError(f"`sigma` is {sigma}. Pass a positive number.")
        self.weights = np.full(len(self.centres), 1 / len(self.centres))
        # A seed of its own: the order of epoch 0 comes from `seed` itself.
        random = np.random.default_rng(seeds.split(seed, 1)[0])
        num_examples = check_integer("num_examples", num_examples, least=0)
        y = random.integers(len(self.centres), size=num_examples)
        noise = random.standard_normal((num_examples, self.centres.shape[1]))
        x = self.centres[y] + sigma * noise
        super().__init__(x, y, batch_size, shuffle, seed, drop_remainder, labels)


def ring(num_examples=100_000, *, modes=8, radius=1.0, sigma=0.01, **kwargs):
    """Return Gaussians evenly spaced on a circle about 0, as `MixtureDataset(..., **kwargs)`.

    Example:

    ```python
    train = kg.data.ring(batch_size=256, seed=0)
    train.x, train.centres, train.sigma    # (100000, 2), (8, 2), 0.01
    ```

    Reference:
        Lin et al. (2018), "PacGAN", section 4.1: https://arxiv.org/abs/1712.04086
    """
    # No endpoint: 2 pi is 0 once more.
    angles = 2 * np.pi * np.arange(modes) / modes
    centres = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return MixtureDataset(centres, sigma, num_examples, **kwargs)


def grid(num_examples=100_000, *, side=5, spacing=2.0, sigma=0.05, **kwargs):
    """Return Gaussians on a square grid about 0, as `MixtureDataset(..., **kwargs)`.

    There are `side` times `side`, by default 25, at {-4, -2, 0, 2, 4}^2.

    Example:

    ```python
    train = kg.data.grid(batch_size=256, seed=0)
    train.x, train.centres, train.sigma    # (100000, 2), (25, 2), 0.05
    ```

    Reference:
        Lin et al. (2018), "PacGAN", section 4.1: https://arxiv.org/abs/1712.04086
    """
    line = spacing * (np.arange(side) - (side - 1) / 2)
    centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return MixtureDataset(centres, sigma, num_examples, **kwargs)
