import numpy as np

from keras_gen import seeds
from keras_gen.data.arrays import as_float
from keras_gen.data.loading import load
from keras_gen.data.ordered import OrderedDataset


class StackedDataset(OrderedDataset):
    """Images whose three channels are three digits drawn at random: 1,000 classes.

    The digits are stacked batch by batch, so memory holds the digits alone.

    Args:
        x: digits (n, height, width, 1): uint8, which is divided by 255, or float32.
        y: their labels, (n,), 0 to 9.
        num_examples: number of stacks.
        seed: seed of the stacks and of their order.
        batch_size, shuffle, drop_remainder, labels: as in `ArrayDataset`.

    Attributes:
        digits: `x` as float32.
        parts: the digits that make each stack, as indices (num_examples, 3).
        y: the classes 100 a + 10 b + c of the stacks of digits a, b and c, (num_examples,).
    """

    def __init__(
        self,
        x,
        y,
        num_examples=128_000,
        batch_size=128,
        shuffle=True,
        seed=0,
        drop_remainder=False,
        labels=False,
    ):
        self.digits = as_float(np.asarray(x))
        digit_labels = np.asarray(y)
        if self.digits.ndim != 4 or self.digits.shape[-1] != 1:
            raise ValueError(
                f"`x` has shape {self.digits.shape}. Pass grey images, (n, height, width, 1)."
            )
        if digit_labels.shape != (len(self.digits),) or not np.isin(digit_labels, range(10)).all():
            raise ValueError(
                f"`y` has shape {digit_labels.shape} and the values "
                f"{np.unique(digit_labels)[:20].tolist()} for {len(self.digits)} digits. Pass one "
                f"integer from 0 to 9 for each."
            )
        self.labels = labels
        # A seed of its own: the order of epoch 0 comes from `seed` itself.
        random = np.random.default_rng(seeds.split(seed, 1)[0])
        self.parts = random.integers(len(self.digits), size=(num_examples, 3))
        self.y = digit_labels[self.parts] @ [100, 10, 1]
        super().__init__(num_examples, batch_size, shuffle, seed, drop_remainder)

    def examples(self, rows):
        red, green, blue = (self.digits[part] for part in self.parts[rows].T)
        x = np.concatenate([red, green, blue], axis=-1)
        return (x, self.y[rows]) if self.labels else x


def stacked_mnist(num_examples=128_000, *, data_dir=None, manual_dir=None, download=True, **kwargs):
    """Return Stacked MNIST: three random digits of MNIST's training set as 28x28x3, 1,000 classes.

    Args:
        num_examples: number of stacks.
        data_dir, manual_dir, download: where MNIST is, as in `load`.
        **kwargs: other arguments of `StackedDataset`: `batch_size`, `seed`, `labels`, ...

    Returns:
        A `StackedDataset`.

    Example:

    ```python
    train = kg.data.stacked_mnist(batch_size=64, labels=True)
    x, y = train[0]                    # (64, 28, 28, 3), (64,): 0 to 999
    ```

    Reference:
        Metz et al. (2017), "Unrolled Generative Adversarial Networks", section 3.3.1:
        https://arxiv.org/abs/1611.02163; the number of examples is PacGAN's.
    """
    train, _ = load("mnist", data_dir=data_dir, manual_dir=manual_dir, download=download)
    return StackedDataset(train.x, train.y, num_examples, **kwargs)
