import contextlib
import math
import os

import keras
import numpy as np

from keras_gen.data.arrays import ArrayDataset
from keras_gen.data.sources import SourceDataset

# Train and test together, decoded to float32. A larger set is streamed from disk.
IN_MEMORY_BYTES = 2 * 2**30
# Examples held for shuffling a stream. TFDS writes them shuffled, and its files are shuffled too.
SHUFFLE_BUFFER = 4096
# Examples looked at to tell whether a streamed set holds only 0 and 1.
PEEK = 256


def load(
    name,
    *,
    batch_size=128,
    labels=False,
    seed=0,
    data_dir=None,
    manual_dir=None,
    download=True,
):
    """Loads an image data set of TensorFlow Datasets (TFDS) and returns `(train, test)`.

    Images are float32 in [0, 1], (batch, height, width, channels). A set that fits in memory
    comes as two `ArrayDataset`s. A larger one is read from disk: from array_record files as two
    `SourceDataset`s, whose order too is a function of (seed, epoch), and from tfrecord files as
    two `tf.data.Dataset`s (give `fit` its `shuffle=False` with those, or Keras warns that it does
    not shuffle them). The training set is shuffled anew in every epoch, the test set never. A set
    without a test split gives its validation split instead.

    `"digits"` are scikit-learn's 1,797 handwritten digits as 28x28x1, and need no network. Any
    other set is prepared by TFDS on first use: from the original files in `manual_dir` where
    they are there (their checksums are verified), else from downloads. TensorFlow reads
    tfrecord, and array_record is read without it.

    Args:
        name: `"digits"`, or the TFDS name of an image set: `"mnist"`, `"cifar10"`,
            `"emnist/letters"`, ...
        batch_size: examples per batch.
        labels: batches are `(x, y)` with integer labels, else `x` alone.
        seed: seed of the training order.
        data_dir: where prepared sets are kept; else `TFDS_DATA_DIR`, else TFDS's own default.
        manual_dir: a folder that holds this set's original files.
        download: `False` never uses the network.

    Raises:
        ValueError: for an unknown name, a set that does not fit, or a file that is not the
            original.
        FileNotFoundError: the set is not prepared, and cannot be downloaded.
        PermissionError: it is not prepared, and its folder cannot be written to.
        ImportError: it takes TensorFlow to prepare or read it, and that is not installed.

    Example:

    ```python
    train, test = keras_gen.data.load("digits", labels=True)
    x, y = train[0]                    # (128, 28, 28, 1), (128,)
    ```
    """
    # TFDS is imported on first use: it would slow down `import keras_gen`.
    from keras_gen.data import preparing

    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}. Pass 1 or more.")
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    manual_dir = manual_dir and os.path.expanduser(manual_dir)
    builder = preparing.find(name, data_dir)
    # What the set's description refuses is refused before hours of download.
    shape, has_labels = _image_shape(builder), _has_labels(builder)
    if labels and not has_labels:
        raise ValueError(f"Data set {name!r} has no integer labels. Pass labels=False.")
    if not preparing.is_prepared(builder):
        preparing.prepare(builder, manual_dir, download)
        builder = preparing.find(name, data_dir)
    splits = ("train", _test_split(builder))
    num_examples = sum(builder.info.splits[split].num_examples for split in splits)
    if num_examples * math.prod(shape) * 4 <= IN_MEMORY_BYTES:
        return _in_memory(builder, splits, has_labels, batch_size, labels, seed)
    return _streamed(builder, splits, batch_size, labels, seed)


def _image_shape(builder):
    features = dict(builder.info.features.items())
    shape = getattr(features.get("image"), "shape", None)
    if shape is None or len(shape) != 3 or None in shape:
        came = f"images of shape {shape}" if shape else f"the features {list(features)}"
        raise ValueError(
            f'Data set {builder.name!r} has {came}; an "image" of one fixed shape (height, width, '
            "channels) is wanted.\nRead it with tensorflow_datasets, resize, and pass arrays to "
            "ArrayDataset."
        )
    return shape


def _has_labels(builder):
    label = dict(builder.info.features.items()).get("label")
    return label is not None and label.shape == () and np.issubdtype(label.np_dtype, np.integer)


def _test_split(builder):
    splits = list(builder.info.splits)
    for split in ("test", "validation"):
        if "train" in splits and split in splits:
            return split
    raise ValueError(
        f'Data set {builder.name!r} has the splits {splits}; "train" and "test" (or "validation") '
        "are wanted.\nRead it with tensorflow_datasets, split it, and pass arrays to ArrayDataset."
    )


def _in_memory(builder, splits, has_labels, batch_size, labels, seed):
    keys = ("image", "label") if has_labels else ("image",)
    train, test = (_read(builder, split, keys) for split in splits)
    white = _white(train["image"])
    return tuple(
        ArrayDataset(
            np.divide(arrays["image"], white, dtype="float32"),
            arrays.get("label"),
            batch_size,
            shuffle=arrays is train,
            seed=seed,
            labels=labels,
        )
        for arrays in (train, test)
    )


def _read(builder, split, keys):
    import tensorflow_datasets as tfds

    if _is_array_record(builder):
        examples = list(builder.as_data_source(split))
        return {key: np.stack([example[key] for example in examples]) for key in keys}
    _tensorflow(builder)
    examples = builder.as_dataset(split).map(lambda example: {key: example[key] for key in keys})
    return next(iter(tfds.as_numpy(examples.batch(builder.info.splits[split].num_examples))))


def _streamed(builder, splits, batch_size, labels, seed):
    import tensorflow_datasets as tfds

    if _is_array_record(builder):
        return _from_sources(builder, splits, batch_size, labels, seed)
    tf = _tensorflow(builder)
    train, test = (
        builder.as_dataset(
            split,
            shuffle_files=split == "train",
            read_config=tfds.ReadConfig(shuffle_seed=seed),
        )
        for split in splits
    )
    white = _white(next(iter(test.batch(PEEK)))["image"].numpy())

    def scale(batch):
        x = tf.cast(batch["image"], tf.float32) / white
        return (x, batch["label"]) if labels else x

    return tuple(
        data.batch(batch_size).map(scale, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        for data in (train.shuffle(SHUFFLE_BUFFER, seed=seed), test)
    )


def _from_sources(builder, splits, batch_size, labels, seed):
    train, test = map(builder.as_data_source, splits)
    peek = test.__getitems__(list(range(min(PEEK, len(test)))))
    white = _white(np.stack([example["image"] for example in peek]))
    num_classes = getattr(dict(builder.info.features.items()).get("label"), "num_classes", None)
    return tuple(
        SourceDataset(
            source,
            white,
            batch_size,
            shuffle=source is train,
            seed=seed,
            labels=labels,
            num_classes=num_classes,
        )
        for source in (train, test)
    )


def _is_array_record(builder):
    return builder.info.file_format.value == "array_record"


def _white(images):
    # binarized_mnist stores its pixels as the integers 0 and 1.
    if not np.issubdtype(images.dtype, np.integer) or images.max() <= 1:
        return 1
    return np.iinfo(images.dtype).max


def _tensorflow(builder):
    from keras_gen.data import preparing

    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"Data set {builder.name!r} is prepared in {builder.data_path} as "
            f"{builder.info.file_format.value}, which TensorFlow reads.\nInstall tensorflow, or "
            "where it is installed prepare the set in another data_dir, by "
            f"{preparing.as_array_record(builder)}"
        ) from error
    if keras.config.backend() != "tensorflow":
        # Else TensorFlow, a mere reader here, takes the memory of every GPU it sees.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf
