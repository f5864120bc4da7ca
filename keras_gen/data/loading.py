import contextlib
import math
import os

import keras
import numpy as np

from keras_gen.arguments import check_integer
from keras_gen.data.arrays import ArrayDataset
from keras_gen.data.sources import SourceDataset

# Of train and test together, decoded to float32. A larger set is read from disk.
IN_MEMORY_BYTES = 2 * 2**30
# Examples held to shuffle a stream. TFDS writes them shuffled, and its files are shuffled too.
SHUFFLE_BUFFER = 4096
# Examples looked at to find out whether a set that is not in memory holds only 0 and 1.
PEEK = 256


def load(
    name,
    *,
    batch_size=128,
    labels=False,
    seed=0,
    multiple_of=1,
    data_dir=None,
    manual_dir=None,
    download=True,
):
    """Load an image data set of TensorFlow Datasets (TFDS) and return `(train, test)`.

    Images are float32 in [0, 1], (batch, height, width, channels). A set that fits in memory
    becomes two `ArrayDataset`s. A larger one is read from disk: from array_record files as two
    `SourceDataset`s, and from tfrecord files as two `tf.data.Dataset`s. With the latter, pass
    `fit(..., shuffle=False)`, or Keras warns that it does not shuffle them.

    The training set is shuffled in every epoch, in an order that is a function of (seed, epoch)
    alone; the test set never is. For a `tf.data.Dataset`, `train.order.epoch` counts the passes
    that have begun, and can be set. If a set has no test split, its validation split is used.

    `"digits"` are scikit-learn's 1,797 handwritten digits as 28x28x1, and need no network. Any
    other set is prepared by TFDS on first use: from the original files if they are in `manual_dir`
    (their checksums are verified), else from downloads. Reading tfrecord needs TensorFlow;
    array_record does not.

    A prepared set can name Python code, which TFDS runs: pass a `data_dir` only if you trust it.

    Args:
        name: `"digits"`, or the TFDS name of an image set: `"mnist"`, `"cifar10"`,
            `"emnist/letters"`, ...
        batch_size: examples per batch.
        labels: batches are `(x, y)` with integer labels, else `x` alone.
        seed: seed of the training set's order.
        multiple_of: number of devices, which share every batch equally. The rest of the last batch
            is left out; for a `tf.data.Dataset`, a last batch that is not full.
        data_dir: folder of prepared sets; else `TFDS_DATA_DIR`, else TFDS's own default.
        manual_dir: a folder that holds this set's original files.
        download: `False` never uses the network.

    Raises:
        ValueError: for an unknown name, a set that does not fit, or a file that is not the
            original.
        FileNotFoundError: if the set is not prepared, and cannot be downloaded.
        PermissionError: if it is not prepared, and its folder cannot be written to.
        ImportError: if preparing or reading it needs TensorFlow, which is not installed.

    Example:

    ```python
    train, test = kg.data.load("digits", labels=True)
    x, y = train[0]                    # (128, 28, 28, 1), (128,)
    ```
    """
    # TFDS is imported on first use: it would slow down `import keras_gen`.
    from keras_gen.data import preparing

    batch_size = check_integer("batch_size", batch_size)
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    manual_dir = manual_dir and os.path.expanduser(manual_dir)
    builder = preparing.find(name, data_dir)
    # The description alone may rule a set out: refuse it before hours of download.
    shape, has_labels = _image_shape(builder), _has_labels(builder)
    if labels and not has_labels:
        raise ValueError(f"Data set {name!r} has no integer labels. Do without labels.")
    if not preparing.is_prepared(builder):
        preparing.prepare(builder, manual_dir, download)
        builder = preparing.find(name, data_dir)
    splits = ("train", _test_split(builder))
    num_examples = sum(builder.info.splits[split].num_examples for split in splits)
    if num_examples * math.prod(shape) * 4 <= IN_MEMORY_BYTES:
        sets = _in_memory(builder, splits, has_labels, batch_size, labels, seed)
    elif _is_array_record(builder):
        sets = _from_sources(builder, splits, batch_size, labels, seed)
    else:
        return _streamed(builder, splits, batch_size, labels, seed, drop_remainder=multiple_of > 1)
    for data in sets:
        data.multiple_of = multiple_of
    return sets


def _image_shape(builder):
    features = dict(builder.info.features.items())
    shape = getattr(features.get("image"), "shape", None)
    if shape is None or len(shape) != 3 or None in shape:
        came = f"images of shape {shape}" if shape else f"the features {list(features)}"
        raise ValueError(
            f'Data set {builder.name!r} has {came}; an "image" of one fixed shape (height, width, '
            "channels) is expected.\nRead it with tensorflow_datasets, resize, and pass arrays to "
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
        "are expected.\nRead it with tensorflow_datasets, split it, and pass arrays to "
        "ArrayDataset."
    )


def _in_memory(builder, splits, has_labels, batch_size, labels, seed):
    keys = ("image", "label") if has_labels else ("image",)
    with _reading(builder):
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


@contextlib.contextmanager
def _reading(builder):
    """Name the data set whose files are damaged or missing, if reading fails."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # The formats raise different errors.
        raise ValueError(
            f"Data set {builder.name!r} cannot be read; a file in {builder.data_path} is damaged "
            f"or missing: {error}\nRemove that folder, and the set is prepared again."
        ) from error


def _read(builder, split, keys):
    import tensorflow_datasets as tfds

    if _is_array_record(builder):
        examples = list(builder.as_data_source(split))
        return {key: np.stack([example[key] for example in examples]) for key in keys}
    _tensorflow(builder)
    examples = builder.as_dataset(split).map(lambda example: {key: example[key] for key in keys})
    return next(iter(tfds.as_numpy(examples.batch(builder.info.splits[split].num_examples))))


def _streamed(builder, splits, batch_size, labels, seed, drop_remainder):
    import tensorflow_datasets as tfds

    tf = _tensorflow(builder)
    order = _StreamOrder(tf)

    @tf.autograph.experimental.do_not_convert
    def one_pass(_):
        # A seed of this graph alone. TensorFlow mixes it into every other seed, and with 0 the
        # others cannot be tensors.
        tf.compat.v1.set_random_seed(1)
        files_seed, examples_seed = order.next_seeds(seed)
        read_config = tfds.ReadConfig(shuffle_seed=files_seed)
        examples = builder.as_dataset(splits[0], shuffle_files=True, read_config=read_config)
        return examples.shuffle(SHUFFLE_BUFFER, examples_seed, reshuffle_each_iteration=False)

    # Inside `flat_map`, which is evaluated again whenever a pass begins.
    train = tf.data.Dataset.from_tensors(0).flat_map(one_pass)
    length = builder.info.splits[splits[0]].num_examples
    train = train.apply(tf.data.experimental.assert_cardinality(length))
    test = builder.as_dataset(splits[1])
    with _reading(builder):
        white = _white(next(iter(test.batch(PEEK)))["image"].numpy())

    def scale(batch):
        x = tf.cast(batch["image"], tf.float32) / white
        return (x, batch["label"]) if labels else x

    train, test = (
        data.batch(batch_size, drop_remainder)
        .map(scale, tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
        for data in (train, test)
    )
    train.order = order  # `callbacks.Checkpoint` puts it back.
    test.order = _StreamOrder(tf)  # It has no effect: this set is never shuffled.
    return train, test


class _StreamOrder:
    """Number of passes over a stream that have begun, from which the order follows."""

    def __init__(self, tf):
        self._tf = tf
        with tf.device("CPU"):
            self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    @property
    def epoch(self):
        return int(self._epoch.numpy())

    @epoch.setter
    def epoch(self, value):
        self._epoch.assign(value)

    def next_seeds(self, seed):
        number = self._epoch.assign_add(1) - 1
        return self._tf.unstack(
            self._tf.random.stateless_uniform(
                (2,), (seed, number), 0, 2**31 - 1, dtype=self._tf.int64
            )
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
        # Otherwise TensorFlow, which only reads here, allocates the memory of every GPU it sees.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf
