import pathlib

import keras
import numpy as np
import pytest
from scipy import stats

from keras_gen.data import StackedDataset, stacked_mnist

pytestmark = pytest.mark.once

MNIST = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "tfds" / "mnist"


def digits(n=40):
    """Image i is all i, and shows the digit i % 10."""
    x = np.full((n, 2, 2, 1), np.arange(n)[:, None, None, None], "uint8")
    return x, np.arange(n) % 10


def stacked(num_examples=50, **kwargs):
    return StackedDataset(*digits(), num_examples, **{"batch_size": 8, "seed": 1, **kwargs})


def test_three_digits_are_the_channels_and_the_class():
    batches = list(stacked(labels=True))
    assert [x.shape for x, _ in batches] == [(8, 2, 2, 3)] * 6 + [(2, 2, 2, 3)]
    for x, y in batches:
        assert x.dtype == np.float32
        a, b, c = np.rint(x[:, 0, 0] * 255).astype(int).T % 10
        np.testing.assert_array_equal(y, 100 * a + 10 * b + c)


def test_every_stack_comes_once_an_epoch_in_an_order_of_its_own():
    dataset = stacked()
    epochs = []
    for epoch in range(2):
        dataset.epoch = epoch
        epochs.append(np.concatenate(list(dataset))[:, 0, 0])
    assert np.any(epochs[0] != epochs[1])
    stacks = dataset.digits[dataset.parts][:, :, 0, 0, 0]
    for seen in epochs:
        np.testing.assert_array_equal(
            seen[np.lexsort(seen.T)], stacks[np.lexsort(stacks.T)].astype("float32")
        )


def test_unshuffled_stacks_are_in_the_order_of_their_classes():
    batches = list(stacked(labels=True, shuffle=False))
    dataset = stacked()
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), dataset.y)


def test_stacks_are_a_function_of_the_seed_and_even():
    assert np.all(stacked(seed=1).parts == stacked(seed=1).parts)
    assert np.any(stacked(seed=1).parts != stacked(seed=2).parts)
    dataset = stacked(100_000)
    for part in dataset.parts.T:
        assert stats.chisquare(np.bincount(part, minlength=40)).pvalue > 0.01
    assert stats.chisquare(np.bincount(dataset.y, minlength=1000)).pvalue > 0.01


def test_memory_holds_the_digits_alone():
    dataset = StackedDataset(*digits(), 10_000_000, batch_size=8)
    assert dataset[0].shape == (8, 2, 2, 3)
    assert dataset.digits.nbytes == 40 * 4 * 4


def test_fit_sees_every_stack_once_an_epoch():
    # Adds up the mean of each channel, and learns nothing.
    model = keras.Sequential(
        [
            keras.Input((2, 2, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), loss="mae")
    dataset = stacked(48, labels=True)
    losses = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    sums = dataset.digits[dataset.parts][:, :, 0, 0, 0].sum(axis=1)
    expected = np.abs(sums - dataset.y).mean()
    assert losses == [pytest.approx(expected, rel=1e-5)] * 2
    assert dataset.epoch == 2


@pytest.mark.skipif(not MNIST.exists(), reason=f"{MNIST} is not there")
def test_stacked_mnist_is_mnist():
    dataset = stacked_mnist(26_000, data_dir=MNIST.parent, download=False, batch_size=64, seed=2)
    assert dataset[0].shape == (64, 28, 28, 3)
    assert len(dataset.digits) == 60_000
    assert len(np.unique(dataset.y)) == 1000
    # The mean pixel of MNIST's training images.
    x = np.concatenate([dataset[k] for k in range(20)])
    assert x.mean() == pytest.approx(0.1307, abs=0.005)
    assert (x.min(), x.max()) == (0, 1)


@pytest.mark.parametrize(
    "x, y, match",
    [
        (np.zeros((4, 2, 2, 3), "uint8"), np.zeros(4, int), "Pass grey images"),
        (np.zeros((4, 2, 2, 1), "uint8"), np.zeros(3, int), "for 4 digits"),
        (np.zeros((4, 2, 2, 1), "uint8"), np.full(4, 10), r"the values \[10\]"),
        (np.zeros((4, 2, 2, 1), "int32"), np.zeros(4, int), "type int32"),
    ],
)
def test_what_are_no_digits_is_refused(x, y, match):
    with pytest.raises(ValueError, match=match):
        StackedDataset(x, y)
