"""Answers of a model to the page of `train.explore`: plain values in, arrays of images out."""

import time

import numpy as np
from PIL import Image

from keras_gen import seeds
from keras_gen.callbacks.grids import has_classes
from keras_gen.inference import inpainting, inversion
from keras_gen.pictures import draw_grid
from keras_gen.report import directions

SIDE, WIDTH = 320, 1040  # Pixels of one image, and of a row of images, about.
SAMPLES, STEPS = 36, 8  # Samples in a grid, and images from one to another.
STARTS, SEARCHED = 4, 100  # Of a GAN: searches for z, and updates of Adam in each.
FITTED = 20  # Updates of Adam for the hidden pixels of a VAE: an answer comes at once.


class Explorer:
    """A trained model, and the directions of its z that matter.

    A VAE's are the latents of the largest KL, measured on samples of its own; a GAN's are those
    along which its pixels change most. A method that is given a picture takes what `prepare`
    returns. `label` is an integer, or None for a model without classes.

    Args:
        model: A `VAE` or a `GAN` of images, or one of their subclasses.
        ema: Whether the averaged weights of a GAN's generator are used.
        class_names: Names of the classes, or None.

    Raises:
        ValueError: If the model cannot be sampled, or makes no images of 1 or 3 channels.
    """

    def __init__(self, model, ema=False, class_names=None):
        if not hasattr(model, "draw_latents"):
            raise ValueError(
                f"The model is a {type(model).__name__}, which makes no samples of vectors z. The "
                f"explorer is for a VAE or a GAN."
            )
        shape = tuple(model.example_shape or ())
        if len(shape) != 3 or shape[-1] not in (1, 3):
            raise ValueError(
                f"The model makes examples of the shape {shape}, which are no images: the explorer "
                f"shows (height, width, channels) with 1 or 3 channels."
            )
        self.model = model
        self.is_gan = hasattr(model, "generator")
        self.weights = {"ema": True} if ema and self.is_gan else {}
        self.names = None
        if has_classes(model):
            self.names = class_names or [str(label) for label in range(model.num_classes)]
        self.can_denoise = hasattr(model, "denoise")
        bounds = model.generator_bounds if self.is_gan else model.likelihood.domain
        self.value_range = bounds or (0, 1)
        self.scale = max(1, SIDE // max(shape[:2]))
        self.vectors, self.sizes = self._directions()
        z = self._flat(model.draw_latents(directions.SAMPLES, seed=0)) @ self.vectors.T
        self.ranges = np.quantile(z, (0.005, 0.995), axis=0).T  # (rows, 2)
        self.search = None  # Compiled when it is first needed.

    def texts(self):
        """Return the name of each direction, with its weight."""
        if self.is_gan:
            return [f"direction {i + 1}, {s:.0%}" for i, s in enumerate(self.sizes)]
        unit = "nats" if directions.has_kl(self.model) else "variance"
        latents = self.vectors.argmax(axis=1)
        return [f"z{k + 1}, {s:.2f} {unit}" for k, s in zip(latents, self.sizes, strict=True)]

    def coordinates(self, seed):
        """Return where the draw of z of a seed lies along each direction, (rows,)."""
        return self._drawn(seed) @ self.vectors.T

    def move(self, seed, values, label=None):
        """Return the image of the draw of a seed whose coordinates are moved to `values`."""
        z = directions.moved(self._drawn(seed), self.vectors, np.asarray(values, "float64"))
        return self._generate(z[None], label)[0]

    def samples(self, seed, label=None, n=SAMPLES):
        """Return new samples, (n, ...): of one class, or with None of all in turn."""
        z = self.model.draw_latents(n, seed=seed)
        if self.names and label is None:
            label = np.arange(n) % len(self.names)
        return self._generate(z, label)

    def interpolate(self, seed_from, seed_to, label=None, steps=STEPS):
        """Return images from the draw of one seed to that of another, (steps, ...)."""
        from keras_gen.inference.interpolation import path

        ends = (self._drawn(seed)[None] for seed in (seed_from, seed_to))
        return self._generate(path(*ends, steps, spherical=True)[0], label)

    def prepare(self, picture):
        """Return a picture, uint8 (rows, columns) or with channels, as one example (1, ...)."""
        height, width, channels = self.model.example_shape
        picture = Image.fromarray(np.asarray(picture)).convert("L" if channels == 1 else "RGB")
        picture = picture.resize((width, height), Image.Resampling.BOX)
        low, high = self.value_range
        x = np.asarray(picture, "float32").reshape(1, height, width, channels) / 255
        return self._allowed(low + (high - low) * x)

    def reconstruct(self, x, label=None):
        """Return E[x|z] at the picture's code; of a GAN the nearest image that it makes."""
        if self.is_gan:
            return self._nearest(x, np.zeros(x.shape, bool), label)
        return self.model.reconstruct(x, batch_size=1, **self._labels(label))

    def denoise(self, x, label=None):
        """Return the picture without noise, by a model that was trained for it."""
        return self.model.denoise(x, batch_size=1, **self._labels(label))

    def inpaint(self, x, hidden, label=None):
        """Return the picture with what is hidden, booleans (height, width), filled in.

        z is fitted to what is visible: that of a VAE as by `kg.inference.inpaint`; that of a GAN as
        by `kg.inference.invert`, with the squared error of the visible pixels alone (Yeh et al.,
        2017, section 3.2 without the prior loss: https://arxiv.org/abs/1607.07539).
        """
        hidden = np.broadcast_to(hidden[None, :, :, None], x.shape)
        if not hidden.any():
            return x
        if self.is_gan:
            return np.where(hidden, self._nearest(x, hidden, label), x)
        self.search = self.search or inpainting.Fit(self.model, 1, FITTED, spread=True)
        y = None if label is None else np.array([label])
        with seeds.seeded(self.model, 0):
            return np.where(hidden, self.search(np.where(hidden, 0, x), hidden, y), x)

    def score(self, x, label=None):
        """Return the reconstruction, how unlike the training data the picture is, and the unit."""
        image = self.reconstruct(x, label)
        if self.is_gan:
            return image, float(np.mean(np.square(x - image))), "mean squared error"
        score = self.model.anomaly_score(x, batch_size=1, **self._labels(label))
        return image, float(score[0]), "nats, -ELBO"

    def picture(self, images, columns=None):
        """Return one picture of several images, or of one without a frame, uint8 (.., .., 3)."""
        if images.ndim == 3:
            return draw_grid(images[None], 1, 0, self.scale, self.value_range)
        columns = columns or round(len(images) ** 0.5)
        whole = WIDTH if len(images) == columns else 2 * SIDE
        scale = max(1, whole // (columns * images.shape[2]))
        return draw_grid(images, columns, 2, scale, self.value_range)

    def hidden(self, painted):
        """Return which pixels of an example are painted over, from an alpha channel of any size."""
        height, width, _ = self.model.example_shape
        painted = Image.fromarray((np.asarray(painted) > 0).astype("uint8") * 255)
        return np.asarray(painted.resize((width, height), Image.Resampling.BOX)) > 63

    def warm_up(self):
        """Use everything twice, as the first use compiles; return the later seconds by name."""
        label = None if self.names is None else 0
        values = self.coordinates(0)
        x = self._allowed(self.move(0, values, label)[None])
        hidden = np.arange(x.shape[1])[:, None] >= np.full(x.shape[2], x.shape[1] // 2)
        uses = {
            "slider": lambda: self.picture(self.move(1, values, label)),
            "samples": lambda: self.picture(self.samples(1, label)),
            "interpolation": lambda: self.picture(self.interpolate(0, 1, label), STEPS),
            "reconstruction": lambda: self.reconstruct(x, label),
            "inpainting": lambda: self.inpaint(x, hidden, label),
            "score": lambda: self.score(x, label),
        }
        if self.can_denoise:
            uses["denoising"] = lambda: self.denoise(x, label)
        return {name: (use(), timed(use)[1])[1] for name, use in uses.items()}

    def _directions(self):
        """Return the directions, (rows, size), and their weights; the first axes if none count."""
        label = None if self.names is None else len(self.names) // 3
        if self.is_gan:
            found = directions.of_gan(self.model, lambda z: self._generate(z, label, 128))
        else:
            x = self.samples(0, n=directions.SAMPLES)
            y = None if self.names is None else np.arange(len(x)) % len(self.names)
            found = directions.of_vae(self.model, self._allowed(x), y)
        if found:
            return found[1:]
        rows = min(directions.ROWS, self.model.latent_size)
        return np.eye(self.model.latent_size)[:rows], np.zeros(rows)

    def _allowed(self, x):
        """Return values that the model accepts: in its range, and on its levels if it has some."""
        x = np.clip(x, *self.value_range)
        white = None if self.is_gan else self.model.likelihood.white
        return x if white is None else np.round(x * white).astype("float32") / np.float32(white)

    def _drawn(self, seed):
        return self._flat(self.model.draw_latents(1, seed=int(seed)))[0].astype("float64")

    def _flat(self, z):
        return z.reshape(len(z), self.model.latent_size)

    def _labels(self, label):
        return {} if self.names is None else {"y": label}

    def _generate(self, z, label, batch_size=None):
        z = np.reshape(z, (-1, *self.model.latent_shape)).astype("float32")
        batch_size = batch_size or min(128, len(z))
        options = {**self._labels(label), **self.weights, "batch_size": batch_size}
        with seeds.seeded(self.model, 0):
            return self.model.generate(z, **options)

    def _nearest(self, x, hidden, label):
        """Return the image of a GAN that is nearest to what is visible."""
        ema = bool(self.weights)
        self.search = self.search or inversion.Search(self.model, STARTS, SEARCHED, visible_error)
        starts = self.model.draw_latents(STARTS, seed=0)[:, None]
        y = None if label is None else np.array([label])
        pair = np.concatenate([np.where(hidden, 0, x), ~hidden], axis=-1).astype("float32")
        with self.model.generating_weights(ema), seeds.seeded(self.model, 0):
            z = self.search.best(pair, starts, y)
        return self._generate(z, label)


def visible_error(pair, images):
    """Return the mean squared error of the visible values; a pair is (x, 1 where visible)."""
    channels = images.shape[-1]
    x, visible = pair[..., :channels], pair[..., channels:]
    return inversion.mean_squared_error(visible * x, visible * images)


def timed(use):
    """Return what `use()` returns, and the seconds that it takes."""
    start = time.perf_counter()
    result = use()
    return result, time.perf_counter() - start
