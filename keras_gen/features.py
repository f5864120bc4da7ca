"""Features of images, in which the distances and neighbours of `metrics` are computed.

A feature object is called on images (n, height, width, channels), float32 in [0, 1], and returns
an array (n, d).
"""

import hashlib
import json
import os
import pathlib
import warnings

import keras
import numpy as np
from keras import layers

from keras_gen import files
from keras_gen.arguments import check_integer
from keras_gen.inference.predict import predict

# Part of the checksum: raise it when the network or its training changes.
FORMAT = 1
FILTERS, WIDTH, BATCH_SIZE = (16, 32), 64, 100


class Classifier:
    """The last hidden layer of a small convolutional network that was trained on labels.

    `Classifier.fit` trains one. Features of another classifier give another distance, so a figure
    that rests on them is quoted with `accuracy` and the data.

    Args:
        network: Keras model, images -> (features (batch, d), logits (batch, classes)).
        accuracy: Share of held-out images whose class it names.

    Example:

    ```python
    train, test = kg.data.load("digits", labels=True)
    classifier = kg.features.Classifier.fit(
        train.x, train.y, test.x, test.y, steps=100, cache=False
    )
    classifier.accuracy                # 0.95; 0.98 with the 2,400 steps of default
    classifier(test.x)                 # (297, 64)
    classifier.probabilities(test.x)   # (297, 10)
    ```
    """

    def __init__(self, network, accuracy):
        self.network = network
        self.accuracy = accuracy

    @classmethod
    def fit(cls, x, y, x_test, y_test, *, steps=2_400, seed=0, cache=None):
        """Train on images and labels, and measure the accuracy on held-out ones.

        It takes half a minute on two CPU cores for 60,000 MNIST digits, of which it knows 99%. The
        weights are written to a file that is named by a checksum of the training data and the
        settings, and read from there the next time, on every backend.

        Args:
            x: Images (n, height, width, channels) in [0, 1].
            y: Labels (n,), integers from 0 on.
            x_test: Held-out images.
            y_test: Their labels.
            steps: Updates, with 100 images each.
            seed: Seed of the first weights and of the order of the images.
            cache: Folder of the files; by default `keras_gen/features` in the user's cache folder.
                False writes none. If the file cannot be written, a warning says so.

        Raises:
            ValueError: If images and labels do not go together.
        """
        check_integer("steps", steps)
        x, y = _check_pairs(x, y)
        x_test, y_test = _check_pairs(x_test, y_test)
        num_classes = int(max(y.max(), y_test.max())) + 1
        network = _classifier(x.shape[1:], num_classes, seed)
        path = None if cache is False else _path(cache, x, y, num_classes, steps, seed)
        if path is None or not _read(path, network):
            _train(network, x, y, steps, seed)
            if path is not None:
                _write(path, network)
        classifier = cls(network, None)
        classifier.accuracy = float(np.mean(classifier.probabilities(x_test).argmax(1) == y_test))
        return classifier

    def __call__(self, images):
        return predict(self.network, _check_images(images))[0]

    def probabilities(self, images):
        """Return the probability of each class, (n, classes)."""
        logits = predict(self.network, _check_images(images))[1].astype("float64")
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)


class Pixels:
    """The pixels themselves, or the means of squares of them.

    For data without labels. A distance between pixels notices brightness and place first, and
    shape last: compare it only with the same distance between two halves of the real data.

    Args:
        limit: Most features. The squares are the smallest that give no more.

    Example:

    ```python
    train, _ = kg.data.load("digits")
    kg.features.Pixels()(train.x)           # (1500, 784)
    kg.features.Pixels(limit=200)(train.x)  # (1500, 196): means of 2x2 pixels
    ```
    """

    def __init__(self, limit=None):
        self.limit = None if limit is None else check_integer("limit", limit)

    def __call__(self, images):
        x = _check_images(images)
        height, width, channels = x.shape[1:]
        if self.limit is not None and self.limit < channels:
            raise ValueError(
                f"`limit` is {self.limit}, and the mean of an image already has {channels} "
                f"values. Pass at least {channels}."
            )
        side = 1
        while self.limit and -(-height // side) * -(-width // side) * channels > self.limit:
            side += 1
        for axis in (1, 2) if side > 1 else ():
            starts = np.arange(0, x.shape[axis], side)
            sizes = np.diff(starts, append=x.shape[axis])  # The last may be smaller.
            sums = np.add.reduceat(x, starts, axis=axis)
            x = sums / np.expand_dims(sizes, tuple(i for i in range(4) if i != axis))
        return x.reshape(len(x), -1).astype("float32", copy=False)


class Network:
    """A layer of any Keras model: of your own classifier, or of `keras.applications`.

    A network of `keras.applications` expects another range of values, and often another size: put
    a `Rescaling` and a `Resizing` before it. Keras's Inception is not the one of the published
    FIDs: its weights and its resizing differ.

    Args:
        model: Keras model of images (batch, height, width, channels) in [0, 1].
        layer: Name or index of the layer; by default the model's output. Its output is flattened.

    Example:

    ```python
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(8, 5, strides=2, activation="relu", name="maps"),
        keras.layers.GlobalAveragePooling2D(),
    ])
    kg.features.Network(model)(x)          # (n, 8)
    kg.features.Network(model, "maps")(x)  # (n, 1152)
    ```
    """

    def __init__(self, model, layer=None):
        if layer is None:
            outputs = model.outputs
        else:
            place = {"index": layer} if isinstance(layer, int) else {"name": layer}
            outputs = keras.tree.flatten(model.get_layer(**place).output)
        inputs = model.inputs
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(
                f"{model.name!r} gives {len(outputs)} outputs for {len(inputs)} inputs. Pass a "
                f"model of images alone, and name a layer with one output."
            )
        self.network = keras.Model(inputs[0], outputs[0])

    def __call__(self, images):
        features = predict(self.network, _check_images(images))
        return features.reshape(len(features), -1)


def _check_images(images):
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"Images have shape {images.shape} and type {images.dtype}. Pass (n, height, width, "
            f"channels), floats in [0, 1], n at least 1."
        )
    return images.astype("float32", copy=False)


def _check_pairs(x, y):
    x, y = _check_images(x), np.asarray(y)
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ValueError(
            f"Labels have shape {y.shape} and type {y.dtype}, and there are {len(x)} images. Pass "
            f"an integer from 0 on for each."
        )
    return x, y


def _classifier(image_shape, num_classes, seed):
    """Build the network; its seeds are its own, and no other stream of noise moves."""
    seeds = iter(range(4 * seed, 4 * seed + 4))

    def settings(activation="relu"):
        he = keras.initializers.HeNormal(next(seeds))
        return {"activation": activation, "kernel_initializer": he, "dtype": "float32"}

    x = h = keras.Input(image_shape, dtype="float32")
    for filters in FILTERS:
        h = layers.Conv2D(filters, 5, 2, "same", data_format="channels_last", **settings())(h)
    features = layers.Dense(WIDTH, **settings())(layers.Flatten(dtype="float32")(h))
    logits = layers.Dense(num_classes, **settings(None))(features)
    return keras.Model(x, [features, logits])


def _train(network, x, y, steps, seed):
    trained = keras.Model(network.input, network.outputs[1])
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.Adam(rate), loss)
    # One long epoch: of few images, most of the time would go into beginning the next.
    trained.fit(_batches(x, y, seed), steps_per_epoch=steps, shuffle=False, verbose=0)


def _batches(x, y, seed):
    random, size = np.random.default_rng(seed), min(BATCH_SIZE, len(x))
    while True:
        order = random.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            rows = order[start : start + size]
            yield x[rows], y[rows]


def _path(cache, x, y, num_classes, steps, seed):
    if cache is None:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        cache = os.path.join(root, "keras_gen", "features")
    settings = [FORMAT, FILTERS, WIDTH, BATCH_SIZE, num_classes, steps, seed, x.shape]
    checksum = hashlib.sha256(json.dumps(settings).encode())
    checksum.update(np.ascontiguousarray(x))
    checksum.update(np.ascontiguousarray(y, "int64"))
    return pathlib.Path(os.path.expanduser(cache)) / f"{checksum.hexdigest()[:16]}.npz"


def _read(path, network):
    """Give a network the weights in a file; return whether the file has them."""
    try:
        with open(path, "rb") as file:
            arrays = np.load(file)
            network.set_weights([arrays[str(i)] for i in range(len(network.weights))])
    except Exception:  # Not there, or damaged in one of a zip file's many ways.
        return False
    return True


def _write(path, network):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(path) as unfinished:
            np.savez(unfinished, **{str(i): w for i, w in enumerate(network.get_weights())})
    except OSError as error:  # It is there all the same.
        warnings.warn(
            f"The classifier of features cannot be written to {path.parent}: {error.strerror}. "
            f"The next run trains it again. Pass another folder as `cache`, or cache=False.",
            stacklevel=3,
        )
