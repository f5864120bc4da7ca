"""The picture of the first batch."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_gen as kg

pytestmark = pytest.mark.once
X = np.random.default_rng(0).random((10, 8, 8, 3), "float32")


class Own(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X[:4], np.arange(4)


def picture(path):
    return np.asarray(Image.open(path)).astype(int)


def tensor():
    return pytest.importorskip("torch").from_numpy(X)


def loader():
    data = pytest.importorskip("torch").utils.data
    return data.DataLoader(data.TensorDataset(tensor()), 5)


KINDS = {
    "array": lambda: X,
    "list": lambda: list(X),
    "tensor": tensor,
    "pair": lambda: (X, np.arange(10)),
    "PyDataset": Own,
    "DataLoader": loader,
    "ArrayDataset": lambda: kg.data.ArrayDataset(X, np.arange(10), batch_size=4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_shows_the_images_of_the_first_batch(tmp_path, kind):
    data = KINDS[kind]()
    kg.data.preview(data, tmp_path / "a.png")
    shown = picture(tmp_path / "a.png")
    first = data[0] if isinstance(data, kg.data.ArrayDataset) else (X,)
    block = np.rint(255 * first[0][0]).astype(int).repeat(10, 0).repeat(10, 1)
    # Two lines of text, then a border of 4.
    np.testing.assert_allclose(shown[36:116, 4:84], block, atol=1)


def red(path):
    return np.any((picture(path)[:48] == (200, 0, 0)).all(-1))


@pytest.mark.parametrize(
    "data, warns",
    [(X, False), (2 * X - 1, True), (255 * X, True), (X / 255, True), (X / 2 + 0.1, False)],
)
def test_a_wrong_range_is_red(tmp_path, data, warns):
    kg.data.preview(data, tmp_path / "a.png")
    assert red(tmp_path / "a.png") == warns


def test_classes_stand_under_the_images_and_names_may_be_long(tmp_path):
    images = np.zeros((4, 8, 8, 1), "uint8")
    names = ["a", "猫" * 40]
    plain = kg.data.ImageDataset(images, batch_size=4)
    named = kg.data.ImageDataset(images, [0, 1, 0, 1], class_names=names, batch_size=4)
    kg.data.preview(plain, tmp_path / "plain.png")
    kg.data.preview(named, tmp_path / "named.png")
    plain, named = picture(tmp_path / "plain.png"), picture(tmp_path / "named.png")
    assert named.shape[0] == plain.shape[0] + 2 * 16  # A line for each row.
    under = named[52 + 80 : 52 + 80 + 15, 4:84]
    assert (under < 128).any() and (under == 255).mean() > 0.5


def test_it_leaves_the_order_as_it_was_and_a_generator_alone(tmp_path):
    data = kg.data.ArrayDataset(X, batch_size=3)
    data.epoch = 2
    kg.data.preview(data, tmp_path / "a.png")
    assert data.epoch == 2
    with pytest.raises(ValueError, match="would lose its first batch"):
        kg.data.preview(iter([X]))
    with pytest.raises(ValueError, match=r"first batch has shape \(10, 192\). A preview shows"):
        kg.data.preview(X.reshape(10, -1))


def test_paths_and_images_of_several_sizes_are_told_how_to_become_images(tmp_path):
    bad = {
        "is a path. Read the images first: `train, _ = kg.data.folder": tmp_path,
        "different shapes. Give all": [X[0], X[1, :4], X[2]],
        "no real numbers but type <U5.*kg.data.folder": ["a.png", "b.png"],
    }
    for message, data in bad.items():
        with pytest.raises(ValueError, match=message):
            kg.data.preview(data, tmp_path / "a.png")
