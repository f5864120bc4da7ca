import numpy as np

from keras_gen.data.ordered import OrderedDataset


class SourceDataset(OrderedDataset):
    """Images read from disk batch by batch, in an order that is a function of (seed, epoch) alone.

    It is for sets that are too large for memory and whose files return any example at once, such
    as TFDS's array_record. Order and epochs are those of `ArrayDataset`, which holds its images in
    memory.

    Args:
        source: the source that `as_data_source` of a TFDS builder returns. It has a length, and
            `__getitems__(indices)` is a list of dictionaries with an "image", and with a "label" if
            there are labels.
        white: number that stands for white in the files; images are divided by it.
        num_classes: number of classes that the labels tell apart, or None.
        batch_size, shuffle, seed, drop_remainder, labels: as in `ArrayDataset`.

    Example:

    ```python
    class Photos:  # Or what TFDS gives: tfds.data_source("cifar10", split="train").
        def __len__(self):
            return 1000

        def __getitems__(self, indices):
            return [{"image": np.full((32, 32, 3), i % 256, "uint8")} for i in indices]

    train = SourceDataset(Photos(), white=255)
    train[0]                           # (128, 32, 32, 3), float32 in [0, 1]
    ```
    """

    def __init__(
        self,
        source,
        white,
        batch_size=128,
        shuffle=True,
        seed=0,
        drop_remainder=False,
        labels=False,
        num_classes=None,
    ):
        self.source = source
        self.white = white
        self.labels = labels
        self.num_classes = num_classes
        super().__init__(len(source), batch_size, shuffle, seed, drop_remainder)

    def examples(self, rows):
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.num_examples))
        examples = self.source.__getitems__(rows.tolist())
        x = np.stack([example["image"] for example in examples])
        x = np.divide(x, self.white, dtype="float32")
        return (x, np.stack([example["label"] for example in examples])) if self.labels else x
