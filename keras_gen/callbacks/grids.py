"""Callbacks that draw pictures while a model is trained: their base class, and grids of images."""

import warnings

import keras
import numpy as np

from keras_gen import distribution, door
from keras_gen.arguments import as_sequence, check_integer, check_path
from keras_gen.callbacks.notebook import Cell
from keras_gen.callbacks.tensorboard import Writer
from keras_gen.pictures import check_range, clipping, draw_grid, save_png, with_caption

MOST_COLUMNS = 20  # Of classes in a grid.


class EpochPicture(keras.callbacks.Callback):
    """Base class of the pictures: a subclass writes `draw`, which returns one picture.

    It is drawn before training, every few epochs and after the last, and written as `name`_0000.png
    and so on, with the number of epochs. Where several processes train, all of them draw and the
    first one writes. `self.grid(images, columns)` makes a picture of images. Below it stand the
    number of epochs and the words of the attribute `caption`, if the class has one.

    A picture must leave training as it is without it: draw random numbers from a generator of
    NumPy's with a seed of its own, never from `keras.random` or the model's noise.

    Args:
        directory: Folder for the pictures; it is made.
        every: Epochs between pictures; the last epoch always has one.
        scale: Every pixel of an image in `grid` becomes a square of this side.
        name: First part of the file names.
        tensorboard_dir, value_range, display: As in `SampleGrid`.

    Example:

    ```python
    class Corners(kg.callbacks.EpochPicture):  # The images of four z far from 0.
        caption = "four z far from 0"

        def draw(self):
            z = np.random.default_rng(0).choice([-2.0, 2.0], (4, *self.model.latent_shape))
            return self.grid(self.model.generate(z), columns=4)


    vae.fit(x, epochs=20, callbacks=[Corners("runs/vae/samples", name="corners")])
    ```
    """

    checkpointed = ("epoch", "pictured")
    caption = ""

    def __init__(
        self,
        directory,
        every=1,
        scale=2,
        name="picture",
        tensorboard_dir=None,
        value_range=(0, 1),
        display=None,
    ):
        super().__init__()
        self.value_range = check_range(value_range)
        self.warns = False
        self.directory = check_path("directory", directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"{self.directory} is a file. Pass a directory for the pictures.")
        self.every = check_integer("every", every)
        self.scale = check_integer("scale", scale)
        self.name = name
        self.writer = Writer(tensorboard_dir) if tensorboard_dir else None
        self.cell = Cell(display)
        self.pictured = True

    def on_train_begin(self, logs=None):
        self.pictured = True
        self.warns = False  # What an untrained model draws may lie anywhere.
        # Here, so that a picture that cannot be drawn raises before training.
        self.untrained = self.draw()
        self.warns = True
        self.cell.begin()
        if self.writer and distribution.is_chief():
            self.writer.open()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:  # A `fit` that goes on after a checkpoint has this picture.
            self.write(0, self.untrained)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch
        self.pictured = (epoch + 1) % self.every == 0
        if self.pictured:
            self.take()

    def on_train_end(self, logs=None):
        if not self.pictured:  # The last epoch always has a picture.
            self.take()
        if self.writer and distribution.is_chief():
            self.writer.close()

    def take(self):
        self.write(self.epoch + 1, self.draw())  # On TensorFlow all processes draw together.

    def write(self, epochs, picture):
        if not distribution.is_chief():
            return
        words = [f"epoch {epochs}" if epochs else "before training", self.caption]
        picture = with_caption(picture, ": ".join(filter(None, words)))
        save_png(self.directory / f"{self.name}_{epochs:04d}.png", picture)
        self.cell.show(picture, f"{type(self).__name__} after {epochs} epochs")
        if self.writer:
            self.writer.write_picture(type(self).__name__, picture, step=epochs)

    def draw(self):
        """Return the picture, a uint8 array (rows, columns, 3)."""
        raise NotImplementedError

    def grid(self, images, columns, padding=2, column_labels=None, row_labels=None):
        """Return `image_grid` of the images; the first picture of a `fit` that is clipped warns."""
        message = clipping(images, self.value_range)
        if message and self.warns:
            self.warns = False
            warnings.warn(message, stacklevel=2)
        labels = column_labels, row_labels
        return draw_grid(images, columns, padding, self.scale, self.value_range, *labels)


def drawing_arguments(model, n, ema, y=None):
    """Return a model's arguments besides z for `n` pictures: labels, and averaged weights.

    The labels are those in `y`, as often as needed, or without them all classes in turn.
    """
    if ema and not hasattr(model, "generator"):
        raise ValueError(
            f"`ema=True` draws with the averaged weights of a GAN's generator, and this is a "
            f"{type(model).__name__}. Leave it out."
        )
    arguments = {"ema": True} if ema else {}
    if has_classes(model):
        arguments["y"] = np.resize(np.arange(model.num_classes) if y is None else y, n)
    return arguments


def has_classes(model):
    """Return True if a model needs labels; one of another library may not have `num_classes`."""
    return getattr(model, "num_classes", None) is not None


def class_columns(num_classes, num_images):
    """Return the class of each column: all, few of them several times, or 20, evenly spread."""
    columns = min(num_classes, num_images, MOST_COLUMNS)
    classes = np.linspace(0, num_classes - 1, columns).round().astype("int64")
    return classes.repeat(max(1, round(num_images**0.5 / columns)))


def names_of(classes, class_names):
    """Return the words of labels: the names of their classes, or the labels themselves."""
    if class_names is None:
        return [str(label) for label in classes]
    known = range(len(class_names))
    if strange := [label for label in classes if label not in known]:
        raise ValueError(
            f"`class_names` has {len(class_names)} names, and the labels go to {strange[-1]}. "
            f"Pass one name for each class, and labels that are integers from 0 on."
        )
    return [str(class_names[int(label)]) for label in classes]


class SampleGrid(EpochPicture):
    """Draws the examples of the same z every few epochs, so that pictures can be compared.

    A model with classes draws one class a column, few classes in several columns each, and of more
    than 20 classes 20, evenly spread.

    Args:
        directory: Folder for `epoch_0000.png`, before training, `epoch_0001.png`, ...; it is made.
        num_samples: Images in the grid.
        every: Epochs between pictures; the last epoch always has one.
        scale: Every pixel becomes a square of this side.
        seed: Seed of the examples, as in `sample`.
        ema: True draws with a GAN's averaged weights (`use_ema=True`), False with the raw ones.
        tensorboard_dir: Log directory, to write the grids there too (needs the package
            `tensorboard`).
        value_range: The values that are drawn black and white, (low, high): (-1, 1) for a generator
            that ends in tanh. `fit` warns once if many pixels lie outside.
        display: True shows each grid below the cell of a notebook, in the place of the one before
            it; False does not. None, the default, does so in Jupyter, Colab and their like.
        class_names: Names of the classes in the order of their labels, which stand below the
            columns; by default their numbers.

    Example:

    ```python
    vae.fit(x, epochs=20, callbacks=[kg.callbacks.SampleGrid("runs/vae/samples", every=5)])
    ```
    """

    caption = "samples, always of the same z"

    def __init__(
        self,
        directory,
        num_samples=64,
        every=1,
        scale=2,
        seed=0,
        name="epoch",
        tensorboard_dir=None,
        ema=False,
        value_range=(0, 1),
        display=None,
        class_names=None,
    ):
        super().__init__(directory, every, scale, name, tensorboard_dir, value_range, display)
        self.num_samples = check_integer("num_samples", num_samples)
        self.seed = seed
        self.ema = ema
        self.class_names = class_names

    def draw(self):
        # The same seed gives the same z each time, on every backend and after a resumed `fit`.
        num_samples, columns, names, y = self.num_samples, None, None, None
        if has_classes(self.model) and self.model.num_classes > 1:
            y = class_columns(self.model.num_classes, num_samples)
            columns, names = len(y), names_of(y, self.class_names)
            num_samples -= num_samples % columns
        arguments = drawing_arguments(self.model, num_samples, self.ema, y)
        images = self.model.sample(num_samples, seed=self.seed, **arguments)
        return self.grid(images, columns=columns, column_labels=names)


class ReconstructionGrid(EpochPicture):
    """Draws the same images and, below each, its reconstruction, every few epochs.

    Args:
        images: (n, height, width, channels), or a stream as `fit` accepts, best the test set; the
            first 16 are drawn.
        directory: Folder for `reconstruction_0001.png`, ...; it is made.
        labels: Labels of the images, (n,), for a model with classes; not of a stream with labels.
        every, scale, tensorboard_dir, value_range, display: As in `SampleGrid`.

    Example:

    ```python
    callback = kg.callbacks.ReconstructionGrid(test.x, "runs/vae/samples", every=5)
    vae.fit(x, epochs=20, callbacks=[callback])
    ```
    """

    caption = "images, and below each its reconstruction"

    def __init__(
        self,
        images,
        directory,
        every=1,
        scale=2,
        name="reconstruction",
        tensorboard_dir=None,
        labels=None,
        value_range=(0, 1),
        display=None,
    ):
        super().__init__(directory, every, scale, name, tensorboard_dir, value_range, display)
        self.images, self.labels = door.head(images, 16, labels)

    def draw(self):
        if has_classes(self.model) and self.labels is None:
            raise ValueError(
                f"A {type(self.model).__name__} with classes reconstructs an image and its label. "
                f"Pass ReconstructionGrid(images, directory, labels=y)."
            )
        labels = {"y": self.labels} if has_classes(self.model) else {}
        reconstructions = self.model.reconstruct(self.images, **labels)
        # Two rows for every eight images: the images, and their reconstructions.
        rows = [
            row
            for start in range(0, len(self.images), 8)
            for row in (self.images[start : start + 8], reconstructions[start : start + 8])
        ]
        blank = np.full_like(self.images[:1], self.value_range[1])
        filled = [np.concatenate([row, *[blank] * (8 - len(row))]) for row in rows]
        return self.grid(np.concatenate(filled), columns=8)


class InterpolationGrid(EpochPicture):
    """Draws a GAN's images between pairs of z, one pair a row, every few epochs.

    If the GAN has classes, each row shows the next one.

    Args:
        directory: Folder for `interpolation_0001.png`, ...; it is made.
        rows: Number of pairs.
        steps: Images in a row, both ends included.
        seed: Seed of the pairs, which are drawn once, from N(0, I).
        every, scale, ema, tensorboard_dir, value_range, display, class_names: As in `SampleGrid`.

    Example:

    ```python
    gan.fit(x, epochs=20, callbacks=[kg.callbacks.InterpolationGrid("runs/gan/samples")])
    ```
    """

    caption = "from one z to another, a pair a row"

    def __init__(
        self,
        directory,
        rows=6,
        steps=10,
        every=1,
        scale=2,
        seed=0,
        name="interpolation",
        tensorboard_dir=None,
        ema=False,
        value_range=(0, 1),
        display=None,
        class_names=None,
    ):
        super().__init__(directory, every, scale, name, tensorboard_dir, value_range, display)
        self.rows = check_integer("rows", rows)
        self.steps = check_integer("steps", steps, least=2)
        self.seed = seed
        self.ema = ema
        self.class_names = class_names

    def draw(self):
        if not hasattr(self.model, "generator"):
            raise ValueError(
                f"InterpolationGrid draws a GAN's images between two z, and this is a "
                f"{type(self.model).__name__}. Draw `kg.callbacks.Traversals`, or after training "
                f"`interpolate(x_from, x_to)`."
            )
        shape = (2, self.rows, *as_sequence(self.model.latent_dim))
        z_from, z_to = np.random.default_rng(self.seed).standard_normal(shape)
        arguments = drawing_arguments(self.model, self.rows, self.ema)
        images = self.model.interpolate(z_from, z_to, steps=self.steps, **arguments)
        images = images.reshape(-1, *images.shape[2:])
        y = arguments.get("y")
        names = None if y is None else names_of(y, self.class_names)
        return self.grid(images, columns=self.steps, row_labels=names)
