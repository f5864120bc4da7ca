import numpy as np

from keras_gen.data.ordered import OrderedDataset


class ImageDataset(OrderedDataset):
    """Images kept as bytes, in memory or in a file, and read as float32 in [0, 1].

    Order and epochs are those of `ArrayDataset`, with a quarter of the memory. `kg.data.folder`
    makes it.

    Args:
        images: uint8 (n, height, width, channels), an array, which may lie in a mapped file.
        y: integer labels (n,), or None.
        rows: the images that belong to this set, as indices into `images`; by default all.
        class_names: names of the classes 0, 1, ..., or None.
        flip: mirror half of the images, left to right, others in every epoch.
        files: names of all images, or None.
        batch_size, shuffle, seed, drop_remainder, labels: as in `ArrayDataset`.

    Attributes:
        y: the labels of the set's own images, in their order, or None.
        num_classes: number of classes, or None.
        files: the names of the set's own images, in the order of `x`, or None.

    Example:

    ```python
    photos = np.random.default_rng(0).integers(256, size=(100, 8, 8, 3), dtype="uint8")
    train = ImageDataset(photos, batch_size=10, flip=True)
    train[0]                           # (10, 8, 8, 3), float32 in [0, 1]
    ```
    """

    def __init__(
        self,
        images,
        y=None,
        rows=None,
        class_names=None,
        batch_size=128,
        shuffle=True,
        seed=0,
        drop_remainder=False,
        labels=True,
        flip=False,
        files=None,
    ):
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(
                f"`images` has shape {images.shape} and type {images.dtype}. Pass uint8 (n, "
                f"height, width, channels), or give floats to `ArrayDataset`."
            )
        self.images = np.asarray(images)  # What is read from a `np.memmap` would be one.
        self.rows = np.arange(len(images)) if rows is None else np.asarray(rows)
        self.y = None if y is None else np.asarray(y)[self.rows]
        self.class_names = class_names
        self.num_classes = None
        if y is not None:
            self.num_classes = len(class_names) if class_names else int(np.max(y)) + 1
        self.labels = labels
        self.flip = flip
        self._files = files
        super().__init__(len(self.rows), batch_size, shuffle, seed, drop_remainder)

    @property
    def x(self):
        """All images of the set as float32, four times the memory of the bytes."""
        return self._floats(slice(None))

    @property
    def files(self):
        return None if self._files is None else [self._files[i] for i in self.rows]

    def examples(self, rows):
        x = self._floats(rows)
        return (x, self.y[rows]) if self.labels and self.y is not None else x

    def change(self, batch, rows, epoch):
        if not self.flip:
            return batch
        # A stream of its own: the order of the epoch comes from (seed, epoch).
        random = np.random.default_rng((self.seed, epoch, 1))
        flipped = random.integers(2, size=self.num_examples, dtype=bool)[rows]
        x = batch[0] if isinstance(batch, tuple) else batch
        x[flipped] = x[flipped, :, ::-1]
        return batch

    def _floats(self, rows):
        return np.divide(self.images[self.rows[rows]], 255, dtype="float32")
