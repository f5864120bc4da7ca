"""Pictures of the latent space: a plane of images, the codes of data, traversals of latents."""

import math
import statistics

import numpy as np

from keras_gen import door
from keras_gen.arguments import as_sequence, check_integer, check_one_array
from keras_gen.callbacks.grids import EpochPicture, has_classes, names_of


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


def scatter(mean, y=None, class_names=None, least=0.0):
    """Return a picture of codes in the plane, a colour for each label, uint8 (rows, columns, 3).

    Args:
        mean: (n, latent_dim) or (n, ...), with at least 2 latents: the first output of
            `VAE.encode`. If there are more than two, those two whose mean varies most are shown,
            with their numbers, from 1 and along the flattened z.
        y: Labels (n,), or None. Up to 20 integers are classes, and have a legend; more, or other
            numbers, have a colour bar.
        class_names: Names of the classes in the order of their labels; by default their numbers.
        least: The frame is a square around all codes, and reaches from `-least` to `least` at
            least: 3 shows where N(0, I) lies.
    """
    # These are slow to import. pyplot is not used, because it would keep every figure.
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
            f"The labels have shape {np.shape(y)} for {len(mean)} codes. Pass one number for "
            f"each, ({len(mean)},)."
        )
    shown = sorted(np.argsort(-np.var(mean, axis=0), kind="stable")[:2])
    figure = Figure(figsize=(5.6, 4.8), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15)  # Otherwise the label of an axis is cut off.
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    _scatter(axes, mean[:, shown], None if y is None else np.asarray(y), class_names)
    low, high = _square(mean[:, shown], least)
    labels = {f"{axis}label": f"$z_{{{k + 1}}}$" for axis, k in zip("xy", shown, strict=True)}
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", **labels)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _scatter(axes, points, y, class_names):
    """Draw the points, (n, 2), and what their colours mean."""
    from matplotlib import colormaps

    size = np.clip(4000 / len(points), 3, 20)
    if y is None:
        axes.scatter(*points.T, s=size, c=["C0"], lw=0)
        return
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) > 20 or y.dtype.kind == "f" and (y % 1).any():
        values = y if y.dtype.kind in "fiub" else index
        drawn = axes.scatter(*points.T, s=size, c=values, cmap="viridis", lw=0)
        axes.figure.colorbar(drawn, ax=axes, shrink=0.7, label="label").outline.set_visible(False)
        return
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for i, name in enumerate(names_of(classes, class_names)):
        axes.scatter(*points[index == i].T, s=size, c=[colours(i)], lw=0, label=name)
    if len(classes) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)


def _square(points, least):
    """Return the lower left and the upper right corner of a square around points, (2,) each."""
    finite = points[np.isfinite(points).all(axis=1)]
    bounds = np.concatenate([finite, np.full((2, 2), [[-least], [least]])]) if least else finite
    if not len(bounds):
        return np.zeros(2), np.ones(2)
    low, high = bounds.min(axis=0), bounds.max(axis=0)
    half = 0.52 * max((high - low).max(), 1e-6)
    return (low + high) / 2 - half, (low + high) / 2 + half


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

    @property
    def caption(self):
        return _of_class("z_1 to the right, z_2 upwards, in quantiles of N(0, 1)", self)

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

    @property
    def caption(self):
        return _of_class("one latent a row, in quantiles of N(0, 1)", self)

    def draw(self):
        order, images = traversals(self.model, self.steps, self.rows, self.z, self.label)
        images = images.reshape(-1, *images.shape[2:])
        names = [f"z_{k + 1}" for k in order]
        return self.grid(images, columns=self.steps, row_labels=names)


class LatentScatter(EpochPicture):
    """Draws `scatter`, the encoder's means in the plane, every few epochs.

    Args:
        images: (n, height, width, channels), or a stream as `fit` accepts, best the test set; the
            first 5,000 are drawn.
        labels: Labels of the images, (n,), or None; a model with classes needs them.
        directory: Folder for `scatter_0001.png`, ...; it is made.
        every, tensorboard_dir, display, class_names: As in `SampleGrid`.

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
        class_names=None,
    ):
        super().__init__(directory, every, 1, name, tensorboard_dir, display=display)
        self.images, self.labels = door.head(images, 5000, labels)
        self.caption = "codes of images"
        if self.labels is not None:
            self.caption += ", a colour for each label"
        self.class_names = class_names

    def draw(self):
        labels = {"y": self.labels} if has_classes(self.model) else {}
        codes = self.model.code_of(self.model.encode(self.images, **labels))
        least = 3.0 if hasattr(self.model, "prior") else 0.0
        return scatter(codes, self.labels, self.class_names, least)


def quantiles(steps):
    """Return the medians of `steps` intervals of equal probability under N(0, 1)."""
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / steps) for i in range(steps)])


def _of_class(caption, callback):
    return f"class {callback.label}, " * has_classes(callback.model) + caption


def _generate(model, z, label):
    return model.generate(z, y=label) if has_classes(model) else model.generate(z)
