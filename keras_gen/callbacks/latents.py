"""Pictures of the latent space: a plane of images, the codes of data, traversals of latents."""

import math
import statistics

import numpy as np

from keras_gen import door
from keras_gen.arguments import as_sequence, check_integer, check_one_array
from keras_gen.callbacks.grids import EpochPicture, has_classes


def manifold(model, steps=20, label=0):
    """Return the images of a plane of z, (steps, steps, height, width, channels).

    The plane is divided into cells of equal probability under N(0, I), and each cell shows the
    image of its middle: z is the inverse distribution function of the normal at (i + 1/2) / steps.
    z_1 grows to the right and z_2 upwards, as in `scatter`.

    Args:
        model: Trained model with a z of size 2 and a method `generate`.
        steps: Images on a side.
        label: Class of all images, for a model with classes.

    Reference:
        Kingma and Welling (2014), figure 4: https://arxiv.org/abs/1312.6114
    """
    steps = check_integer("steps", steps)
    shape = as_sequence(model.latent_dim)
    if math.prod(shape) != 2:
        raise ValueError(
            f"The model's z has size {model.latent_dim}, and a plane has 2. Build it with "
            f"latent_dim=2, or draw `Traversals`."
        )
    line = quantiles(steps)
    z = np.stack(np.meshgrid(line, line[::-1]), axis=-1)  # (steps, steps, 2)
    images = _generate(model, z.reshape(-1, *shape), label)
    return images.reshape(steps, steps, *images.shape[1:])


def traversals(model, steps=11, rows=10, z=None, label=0):
    """Return images along one latent at a time, (rows, steps, height, width, channels).

    Each row moves one latent through the quantiles of N(0, 1) at (i + 1/2) / steps, while the
    others stay fixed. The rows are sorted: the latent that changes the images most comes first,
    and latents that the decoder ignores come last.

    Args:
        model: Trained model with a method `generate`.
        steps: Images in a row.
        rows: Maximum number of latents to show.
        z: Values of the fixed latents, in the shape of one z; by default 0.
        label: Class of all images, for a model with classes.

    Returns:
        The numbers of the latents, from 0 and along the flattened z, and their images.
    """
    if np.ndim(steps):
        raise ValueError("`steps` is an array. Images of a class are asked for by `label=`.")
    steps = check_integer("steps", steps)
    rows = check_integer("rows", rows)
    shape = as_sequence(model.latent_dim)
    z = np.zeros(shape) if z is None else np.asarray(z, "float64")
    if z.shape != shape:
        raise ValueError(f"`z` has shape {z.shape}. Pass {shape}, one z to start from.")
    z = np.tile(z.ravel(), (z.size, steps, 1))  # (size, steps, size)
    for k in range(len(z)):
        z[k, :, k] = quantiles(steps)
    images = _generate(model, z.reshape(-1, *shape), label)
    images = images.reshape(len(z), steps, *images.shape[1:])
    change = np.var(images, axis=1).reshape(len(z), -1).sum(axis=1)
    order = np.argsort(-change, kind="stable")[:rows]
    return order, images[order]


def scatter(mean, y=None):
    """Return a picture of codes in the plane, a colour for each class, uint8 (rows, columns, 3).

    Args:
        mean: (n, latent_dim) or (n, ...), with at least 2 latents: the first output of
            `VAE.encode`. If there are more than two, those two whose mean varies most are shown,
            with their numbers, from 1 and along the flattened z.
        y: Integer labels (n,), or None.
    """
    # These are slow to import. pyplot is not used, because it would keep every figure.
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_one_array("mean", mean)
    mean = np.asarray(mean)
    if mean.ndim > 2:
        mean = mean.reshape(len(mean), math.prod(mean.shape[1:]))
    if mean.ndim != 2 or mean.shape[1] < 2 or not len(mean):
        raise ValueError(f"`mean` has shape {mean.shape}. Pass (n, latent_dim), at least (1, 2).")
    if y is not None and np.shape(y) != (len(mean),):
        raise ValueError(
            f"The labels have shape {np.shape(y)} for {len(mean)} codes. Pass one integer for "
            f"each, ({len(mean)},)."
        )
    first, second = sorted(np.argsort(-np.var(mean, axis=0), kind="stable")[:2])
    figure = Figure(figsize=(5.6, 4.8), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15)  # Otherwise the label of an axis is cut off.
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    classes = [None] if y is None else np.unique(y)
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    size = np.clip(4000 / len(mean), 3, 20)
    for i, label in enumerate(classes):
        points = mean if y is None else mean[np.asarray(y) == label]
        # If there are too many classes, colours are used again.
        colour = [colours(i % colours.N)]
        axes.scatter(points[:, first], points[:, second], s=size, c=colour, lw=0, label=label)
    axes.set(xlabel=f"$z_{{{first + 1}}}$", ylabel=f"$z_{{{second + 1}}}$", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    if 1 < len(classes) <= 20:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class Manifold(EpochPicture):
    """Draws `manifold`, the images of the plane of a z of size 2, every few epochs.

    Args:
        directory: Folder for `manifold_0001.png`, ...; it is made.
        steps: Images on a side.
        label: Class of all images, for a model with classes.
        every, scale, tensorboard_dir, value_range, display: As in `SampleGrid`.

    Example:

    ```python
    vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=2))
    vae.compile(optimizer="adam")
    vae.fit(x, epochs=20, callbacks=[kg.callbacks.Manifold("runs/vae/samples", every=5)])
    ```
    """

    def __init__(
        self,
        directory,
        steps=20,
        every=1,
        scale=1,
        label=0,
        name="manifold",
        tensorboard_dir=None,
        value_range=(0, 1),
        display=None,
    ):
        super().__init__(directory, every, scale, name, tensorboard_dir, value_range, display)
        self.steps = steps
        self.label = label

    def draw(self):
        images = manifold(self.model, self.steps, self.label)
        images = images.reshape(-1, *images.shape[2:])
        return self.grid(images, columns=self.steps, padding=0)


class Traversals(EpochPicture):
    """Draws `traversals`, with the images along one latent in each row, every few epochs.

    Args:
        directory: Folder for `traversals_0001.png`, ...; it is made.
        steps: Images in a row.
        rows: Maximum number of latents to show: those that change the images most.
        z: Values of the fixed latents, in the shape of one z; by default 0.
        label: Class of all images, for a model with classes.
        every, scale, tensorboard_dir, value_range, display: As in `SampleGrid`.

    Example:

    ```python
    vae.fit(x, epochs=20, callbacks=[kg.callbacks.Traversals("runs/vae/samples", every=5)])
    ```
    """

    def __init__(
        self,
        directory,
        steps=11,
        rows=10,
        every=1,
        scale=2,
        z=None,
        label=0,
        name="traversals",
        tensorboard_dir=None,
        value_range=(0, 1),
        display=None,
    ):
        super().__init__(directory, every, scale, name, tensorboard_dir, value_range, display)
        self.steps = steps
        self.rows = rows
        self.z = z
        self.label = label

    def draw(self):
        _, images = traversals(self.model, self.steps, self.rows, self.z, self.label)
        images = images.reshape(-1, *images.shape[2:])
        return self.grid(images, columns=self.steps)


class LatentScatter(EpochPicture):
    """Draws `scatter`, the encoder's means in the plane, every few epochs.

    Args:
        images: (n, height, width, channels), or a stream as `fit` accepts, best the test set; the
            first 5,000 are drawn.
        labels: Labels of the images, (n,), or None; a model with classes needs them.
        directory: Folder for `scatter_0001.png`, ...; it is made.
        every, tensorboard_dir, display: As in `SampleGrid`.

    Example:

    ```python
    callback = kg.callbacks.LatentScatter(test.x, test.y, "runs/vae/samples", every=5)
    vae.fit(x, epochs=20, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        images,
        labels,
        directory,
        every=1,
        name="scatter",
        tensorboard_dir=None,
        display=None,
    ):
        super().__init__(directory, every, 1, name, tensorboard_dir, display=display)
        self.images, self.labels = door.head(images, 5000, labels)

    def draw(self):
        labels = {"y": self.labels} if has_classes(self.model) else {}
        codes = self.model.code_of(self.model.encode(self.images, **labels))
        return scatter(codes, self.labels)


def quantiles(steps):
    """Return the medians of `steps` intervals of equal probability under N(0, 1)."""
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / steps) for i in range(steps)])


def _generate(model, z, label):
    return model.generate(z, y=label) if has_classes(model) else model.generate(z)
