"""Images of one's own: any kind of file in any kind of folder becomes the arrays it should."""

import io
import lzma
import os
import pathlib
import shutil
import struct
import unicodedata
import zipfile
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

import keras_gen as kg
from keras_gen.data import cache as caches
from keras_gen.data.decoding import decode
from tests.helpers import numpy, weights_of

EMOJI = pathlib.Path(__file__).parents[3] / "shared" / "data" / "emoji"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def noise(height=6, width=8, channels=3, seed=0):
    values = np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype="u1")
    return values[..., 0] if channels == 1 else values


def write(path, pixels=None, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = noise(seed=seed) if pixels is None else pixels
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def photos(root, classes=("cat", "dog"), each=10):
    """A folder of different images, 6x8x3."""
    for c, name in enumerate(classes):
        for i in range(each):
            write(root / name / f"{i:02d}.png", seed=100 * c + i)
    return root


def all_of(*sets):
    """The images of several sets as they are kept, and their labels."""
    pixels = [data.images[data.rows] for data in sets if data]
    return np.concatenate(pixels), np.concatenate([data.y for data in sets if data])


# What one file becomes.

GREY, COLOURS = noise(channels=1), noise()
LOSSLESS = {"png": {}, "bmp": {}, "tiff": {}, "webp": {"lossless": True}}


@pytest.mark.once
@pytest.mark.parametrize("kind", LOSSLESS)
def test_pixels_come_back_as_they_were_written(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", COLOURS, **LOSSLESS[kind])
    np.testing.assert_array_equal(decode(path, None, 3), COLOURS)


@pytest.mark.once
def test_a_gif_shows_its_first_frame_and_a_palette_its_colours(tmp_path):
    frames = [Image.new("RGB", (5, 4), c).quantize(4) for c in ((200, 100, 50), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.png")
    for name in ("a.gif", "a.png"):
        x = decode(tmp_path / name, None, 3)
        np.testing.assert_array_equal(x, np.full((4, 5, 3), (200, 100, 50)))


@pytest.mark.once
def test_a_jpeg_is_near_what_was_written_also_in_cmyk(tmp_path):
    smooth = np.linspace(0, 255, 16 * 16 * 3).reshape(16, 16, 3).astype("uint8")
    path = write(tmp_path / "a.jpg", smooth, quality=95)
    assert np.abs(decode(path, None, 3) - smooth.astype(int)).max() < 12
    orange = Image.new("CMYK", (4, 4), (0, 127, 255, 0))  # Red 255, green 128, blue 0.
    path = write(tmp_path / "b.jpg", orange, quality=95)
    assert np.abs(decode(path, None, 3) - np.array([255.0, 128, 0])).max() < 6


@pytest.mark.once
def test_16_bits_and_floats_are_rounded_to_8(tmp_path):
    levels = np.array([[0, 128, 129, 32767, 65535]], "uint16")
    path = write(tmp_path / "a.png", levels)
    # x / 257: 0, 0.498, 0.502, 127.498, 255.
    assert decode(path, None, 1).ravel().tolist() == [0, 0, 1, 127, 255]
    path = write(tmp_path / "a.tif", np.array([[0, 0.1, 0.5, 1]], "float32"))
    assert decode(path, None, 1).ravel().tolist() == [0, 26, 128, 255]


@pytest.mark.once
def test_one_bit_and_grey_in_colour(tmp_path):
    path = write(tmp_path / "a.png", np.array([[True, False]]))
    assert decode(path, None, 1).ravel().tolist() == [255, 0]
    path = write(tmp_path / "b.png", GREY)
    np.testing.assert_array_equal(decode(path, None, 3), GREY[..., None].repeat(3, -1))


@pytest.mark.once
def test_transparent_pixels_show_the_background(tmp_path):
    half = np.array([[[200, 100, 0, 51], [1, 2, 3, 0], [9, 8, 7, 255]]], "uint8")  # 51 is a fifth.
    path = write(tmp_path / "a.png", half)
    over_white = [[[244, 224, 204], [255, 255, 255], [9, 8, 7]]]
    np.testing.assert_array_equal(decode(path, None, 3), over_white)
    over_blue = [[[40, 20, 204], [0, 0, 255], [9, 8, 7]]]
    np.testing.assert_array_equal(decode(path, None, 3, background=(0, 0, 255)), over_blue)
    grey = Image.merge("LA", [Image.new("L", (2, 1), 100), Image.new("L", (2, 1), 51)])
    assert decode(write(tmp_path / "c.png", grey), None, 1).ravel().tolist() == [224, 224]


# EXIF 2.3, tag 274: "the 0th row is at the visual ... of the image, and the 0th column at the ...".
STORED = {
    1: lambda x: x,  # top, left
    2: lambda x: x[:, ::-1],  # top, right
    3: lambda x: x[::-1, ::-1],  # bottom, right
    4: lambda x: x[::-1],  # bottom, left
    5: lambda x: x.swapaxes(0, 1),  # left, top
    6: lambda x: x[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda x: x[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.once
@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "jpg"])
def test_images_stand_upright_as_exif_says(tmp_path, kind):
    upright = np.zeros((32, 48, 3), "uint8")
    upright[:16, :24], upright[16:, 24:] = 255, 128
    for orientation, stored in STORED.items():
        exif = Image.Exif()
        exif[274] = orientation
        pixels = np.ascontiguousarray(stored(upright))
        path = write(tmp_path / f"{orientation}.{kind}", pixels, exif=exif)
        x = decode(path, None, 3).astype(int)
        assert np.abs(x - upright).max() < 8, orientation


@pytest.mark.once
def test_shrinking_by_a_whole_number_takes_the_mean_of_blocks():
    x = noise(12, 15)
    blocks = x.reshape(4, 3, 5, 3, 3).mean(axis=(1, 3))
    assert np.abs(decode(x, (4, 5), 3) - blocks).max() < 0.6


@pytest.mark.once
@pytest.mark.parametrize("size", [(7, 7), (11, 11), (30, 30)])
def test_other_sizes_keep_means_and_symmetry(size):
    smooth = np.rint(np.hypot(*np.mgrid[-1:1:24j, -1:1:24j]) * 170).astype("uint8")[..., None]
    x = decode(smooth, size, 1).astype(int)
    assert np.abs(x - x[::-1]).max() <= 1 and np.abs(x - x.swapaxes(0, 1)).max() <= 1
    assert abs(x.mean() - smooth.mean()) < 1.5
    assert np.all(decode(np.full((24, 24, 1), 77, "uint8"), size, 1) == 77)


@pytest.mark.once
def test_crop_takes_the_middle_and_pad_shows_all():
    x = np.zeros((4, 12, 1), "uint8")
    x[:, 4:8] = 200
    assert np.all(decode(x, (4, 4), 1) == 200)
    padded = decode(x, (12, 12), 1, fit="pad")[..., 0]
    assert np.all(padded[:4] == 255) and np.all(padded[8:] == 255)
    np.testing.assert_array_equal(padded[4:8], x[..., 0])
    np.testing.assert_array_equal(decode(x, (4, 12), 1, fit="pad"), x)
    assert decode(x, (8, 3), 3).shape == (8, 3, 3)


@pytest.mark.once
def test_a_large_jpeg_that_is_reduced_while_it_is_decoded_is_the_same_within_two_levels(tmp_path):
    y, x = np.mgrid[0:256, 0:384]
    smooth = np.stack([x / 384, y / 256, (x + y) / 640], axis=-1)
    path = write(tmp_path / "a.jpg", (255 * smooth).astype("uint8"), quality=95)
    whole = Image.open(path).convert("RGB")
    expected = decode(np.asarray(whole), (16, 16), 3).astype(int)
    assert np.abs(decode(path, (16, 16), 3) - expected).max() <= 2


# What a folder becomes.


@pytest.mark.once
def test_subfolders_are_classes_and_each_gives_a_tenth_to_the_test_set(tmp_path):
    root = photos(tmp_path / "photos", ("dog", "cat", "été"), each=20)
    train, test = kg.data.folder(root)
    assert train.class_names == test.class_names == ["cat", "dog", "été"]
    assert np.bincount(train.y).tolist() == [18] * 3 and np.bincount(test.y).tolist() == [2] * 3
    x, y = train[0]
    assert x.shape == (54, 6, 8, 3) and x.dtype == np.float32 and y.shape == (54,)
    assert (train.num_classes, train.images.dtype) == (3, np.uint8)
    pixels, y = all_of(train, test)
    kept = {image.tobytes(): label for image, label in zip(pixels, y, strict=True)}
    for c, name in enumerate(["dog", "cat", "été"]):
        for i in range(20):
            assert kept.pop(noise(seed=100 * c + i).tobytes()) == train.class_names.index(name)
    assert not kept


@pytest.mark.once
def test_labels_are_where_there_are_two_subfolders_and_nothing_next_to_them(tmp_path):
    root = photos(tmp_path / "photos", ("a/cat", "a/dog/small"))  # In one folder: it is no class.
    assert kg.data.folder(root)[0].class_names == ["cat", "dog"]
    assert isinstance(kg.data.folder(root, labels=False)[0][0], np.ndarray)
    assert kg.data.folder(root / "a" / "cat")[0].y is None
    write(root / "a" / "cover.png")
    with pytest.warns(UserWarning, match="1 images next to them, such as 'cover.png'.*no labels"):
        assert kg.data.folder(root)[0].y is None
    assert kg.data.folder(root, labels=False)[0].y is None


@pytest.mark.once
def test_a_folder_of_train_and_test_is_divided_already(tmp_path):
    for part, seed in (("train", 0), ("Validation", 50)):
        for c, name in enumerate(("cat", "dog")):
            write(tmp_path / "set" / part / name / "1.png", seed=seed + c)
    train, test = kg.data.folder(tmp_path / "set")
    assert train.class_names == ["cat", "dog"] and train.y.tolist() == test.y.tolist() == [0, 1]
    np.testing.assert_array_equal(test.images[test.rows], [noise(seed=50), noise(seed=51)])


@pytest.mark.once
def test_the_split_depends_on_names_and_seed_alone(tmp_path):
    root = photos(tmp_path / "photos", each=30)

    def names(root, **options):
        _, test = kg.data.folder(root, **options)
        return {image.tobytes() for image in test.images[test.rows]}

    before = names(root)
    assert len(before) == 6 and names(root, seed=1) != before
    assert len(names(root, test=0.5)) == 30
    moved = pathlib.Path(shutil.copytree(root, tmp_path / "elsewhere" / "of another name"))
    assert names(moved) == before
    archive = shutil.make_archive(tmp_path / "photos", "gztar", root)
    assert names(archive) == before
    for i in range(30, 36):  # Three of a class, still: no other image comes in but new ones.
        write(root / "cat" / f"{i}.png", seed=i)
    new = {noise(seed=i).tobytes() for i in range(30, 36)}
    assert names(root) - before <= new


@pytest.mark.once
def test_a_name_is_the_same_however_the_accents_are_coded(tmp_path):
    for form in ("NFC", "NFD"):
        names = [unicodedata.normalize(form, name) for name in ("été", "köy")]
        photos(tmp_path / form, names, each=12)
    composed, decomposed = (kg.data.folder(tmp_path / form) for form in ("NFC", "NFD"))
    assert decomposed[0].class_names == composed[0].class_names == ["köy", "été"]
    for one, other in zip(composed, decomposed, strict=True):
        np.testing.assert_array_equal(one.x, other.x)


@pytest.mark.once
def test_copies_are_on_the_same_side(tmp_path):
    root = photos(tmp_path / "photos", each=40)
    for name in ("cat", "dog"):
        for i in range(40):  # Each once more in its class, and once among the others.
            shutil.copy(root / name / f"{i:02d}.png", root / name / f"copy of {i}.png")
            shutil.copy(root / name / f"{i:02d}.png", root / "dog" / f"{name} {i}.png")
    train, test = kg.data.folder(root)
    sides = [{image.tobytes() for image in data.images[data.rows]} for data in (train, test)]
    assert not sides[0] & sides[1]
    assert len(test.rows) >= 5 and len(train.rows) + len(test.rows) == 240


@pytest.mark.once
def test_hidden_files_others_and_links_that_loop(tmp_path):
    root = photos(tmp_path / "photos")
    write(root / ".thumbnails" / "1.png")
    write(root / "cat" / "._00.png")
    (root / "cat" / "notes.txt").write_text("no image")
    os.symlink(root, root / "cat" / "loop")
    os.symlink(root / "cat", root / "dog" / "more")  # Followed; and from there to itself, not.
    train, test = kg.data.folder(root, test=0)
    assert test is None and len(train.rows) == 30
    assert np.bincount(train.y).tolist() == [10, 20]


def uneven(root):
    """A class of one image, and one of three."""
    photos(root, ("a",), each=1)
    for i in range(3):
        write(root / "b" / f"{i}.png", seed=i + 1)
    return root


@pytest.mark.once
def test_few_images_and_images_of_one_colour(tmp_path):
    root = photos(tmp_path / "three", (".", "."), each=3)
    train, test = kg.data.folder(root)
    assert (len(train.rows), len(test.rows)) == (2, 1)
    many = [f"class {i}" for i in range(8)]
    train, test = kg.data.folder(photos(tmp_path / "many", many, each=4))
    assert (len(train.rows), len(test.rows), train.num_classes) == (29, 3, 8)
    # A test image is of a class that keeps another one, and the classes take turns.
    assert len(set(test.y)) == 3 and set(train.y) == set(range(8))
    for seed in range(5):
        train, test = kg.data.folder(photos(tmp_path / "one", ("a", "b", "b")), seed=seed, test=0.9)
        assert set(train.y) == {0, 1}
        train, test = kg.data.folder(uneven(tmp_path / f"uneven{seed}"), seed=seed)
        assert (train.y == 0).sum() == 1 and set(test.y) == {1}
    with pytest.raises(ValueError, match="too few for a training and a test set"):
        kg.data.folder(photos(tmp_path / "pair", ("a", "b"), each=1))
    for i in range(12):
        write(tmp_path / "plain" / f"{i}.png", np.full((4, 4), 20 * i, "uint8"))
    train, test = kg.data.folder(tmp_path / "plain")
    assert train[0].shape == (11, 4, 4, 1) and len(test.rows) == 1


@pytest.mark.once
def test_channels_are_those_of_the_files_unless_told(tmp_path):
    root = tmp_path / "photos"
    for i in range(4):
        write(root / f"{i}.png", noise(channels=1, seed=i))
    assert kg.data.folder(root)[0].images.shape[-1] == 1
    assert kg.data.folder(root, channels=3)[0].images.shape[-1] == 3
    write(root / "z.png", noise(seed=9))
    assert kg.data.folder(root)[0].images.shape[-1] == 3
    assert kg.data.folder(root, channels=1, size=(5, 7))[0].images.shape == (5, 5, 7, 1)


@pytest.mark.once
def test_a_list_a_zip_a_tar_and_arrays_are_read_as_the_folder_is(tmp_path):
    root = photos(tmp_path / "photos", ("cat", "dog"), each=12)
    expected = kg.data.folder(root)
    sources = [sorted(root.rglob("*.png"))]
    for kind in ("zip", "tar", "bztar", "xztar"):
        sources.append(shutil.make_archive(tmp_path / "in", kind, tmp_path, "photos"))
    for source in sources:
        found = kg.data.folder(source)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one.x, other.x)
            np.testing.assert_array_equal(one.y, other.y)
            assert other.class_names == ["cat", "dog"]
    pixels = np.stack([noise(seed=i) for i in range(20)])
    np.save(tmp_path / "x.npy", pixels)
    np.savez(tmp_path / "x.npz", x=pixels / np.float32(255), y=np.arange(20) % 2)
    for name in ("x.npy", "x.npz"):
        train, test = kg.data.folder(tmp_path / name)
        assert {i.tobytes() for d in (train, test) for i in d.images[d.rows]} == {
            image.tobytes() for image in pixels
        }
    pixels, y = all_of(*kg.data.folder(tmp_path / "x.npz", labels=True))
    for image, label in zip(pixels, y, strict=True):
        assert np.all(image == noise(seed=_number(image))) and label == _number(image) % 2


@pytest.mark.once
def test_a_list_keeps_its_order_and_a_set_names_its_files(tmp_path):
    root = photos(tmp_path / "photos", each=12)
    listed = [str(path) for path in sorted(root.rglob("*.png"))]
    random = np.random.default_rng(0)
    random.shuffle(listed)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        data, _ = kg.data.folder(listed, test=0, cache=cache)
        assert data.files == listed
        for image, name in zip(data.images[data.rows], data.files, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(name)))
    train, test = kg.data.folder(listed)
    assert train.files == [name for name in listed if name not in test.files]
    by_path = kg.data.folder(root)[1].files  # The split is the same, and its order the paths'.
    assert by_path == sorted(test.files) and len(by_path) == 2
    archive = shutil.make_archive(tmp_path / "photos", "zip", root)
    assert [f"{root}/{name}" for name in kg.data.folder(archive)[1].files] == by_path
    np.save(tmp_path / "x.npy", np.stack([noise(seed=i) for i in range(12)]))
    assert kg.data.folder(tmp_path / "x.npy")[0].files is None


def _number(image):
    return next(i for i in range(20) if np.array_equal(image, noise(seed=i)))


# Order, cache, flips.


@pytest.mark.once
def test_a_kill_while_the_file_is_replaced_leaves_no_index_of_others(tmp_path, monkeypatch):
    root = photos(tmp_path / "photos")
    first, second = sorted((root / "cat").iterdir())[:2], sorted((root / "dog").iterdir())[:2]
    options = {"test": 0, "cache": tmp_path / "here"}
    one = kg.data.folder([*first, second[0]], **options)[0].x
    write_text = pathlib.Path.write_text
    monkeypatch.setattr(pathlib.Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        kg.data.folder([first[0], *second], **options)
    monkeypatch.setattr(pathlib.Path, "write_text", write_text)
    np.testing.assert_array_equal(kg.data.folder([*first, second[0]], **options)[0].x, one)


def killed(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.once
def test_a_cached_set_gives_the_same_batches_in_the_same_order(tmp_path, capsys):
    root = photos(tmp_path / "photos", each=30)
    options = {"size": 5, "batch_size": 7, "seed": 3, "flip": True}
    in_memory = kg.data.folder(root, **options)
    assert "Decoding 60 images of 5x5x3" in capsys.readouterr().out
    written = kg.data.folder(root, **options, cache=tmp_path / "here")
    read = kg.data.folder(root, **options, cache=tmp_path / "here")
    assert capsys.readouterr().out.count("Decoding") == 1
    for sets in (written, read):
        assert not sets[0].images.flags.owndata and not sets[0].images.flags.writeable
        for epoch in range(2):
            for one, other in zip(in_memory, sets, strict=True):
                one.epoch = other.epoch = epoch
                for first, second in zip(one, other, strict=True):
                    np.testing.assert_array_equal(first[0], second[0])
                    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.once
def test_the_file_is_made_anew_if_an_image_changes_and_deleted_when_told(tmp_path, capsys):
    root = photos(tmp_path / "photos")
    for change in (
        lambda: None,
        lambda: write(root / "cat" / "03.png", seed=500),
        lambda: (root / "dog" / "01.png").unlink(),
        lambda: os.truncate(next(tmp_path.glob("here/*/images.uint8")), 10),
    ):
        change()
        cached, _ = kg.data.folder(root, cache=tmp_path / "here", test=0)
        assert "Decoding" in capsys.readouterr().out
        np.testing.assert_array_equal(cached.x, kg.data.folder(root, test=0)[0].x)
    assert len(list(tmp_path.glob("here/*"))) == 1
    caches_before = caches.IN_MEMORY_BYTES
    try:
        caches.IN_MEMORY_BYTES = 0
        kg.data.folder(root)
        assert len(list(tmp_path.glob("cache/keras_gen/images/*/images.uint8"))) == 1
    finally:
        caches.IN_MEMORY_BYTES = caches_before
    kg.data.folder(root, cache=False)
    assert not list(tmp_path.glob("cache/keras_gen/images/*"))


@pytest.mark.once
def test_a_failure_leaves_no_file(tmp_path):
    root = photos(tmp_path / "photos")
    (root / "dog" / "09.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="'dog/09.png' in .* cannot be read"):
        kg.data.folder(root, cache=tmp_path / "here")
    assert not [path for path in (tmp_path / "here").rglob("*") if path.is_file()]


@pytest.mark.once
def test_flips_are_drawn_from_seed_epoch_and_image(tmp_path):
    root = photos(tmp_path / "photos", each=50)
    plain, _ = kg.data.folder(root, labels=False, seed=4)
    flipped, test = kg.data.folder(root, labels=False, seed=4, flip=True)
    assert not test.flip
    patterns = []
    for epoch in (0, 1, 0):
        plain.epoch = flipped.epoch = epoch
        x, mirrored = plain[0], flipped[0]
        is_flipped = np.array([np.any(a != b) for a, b in zip(x, mirrored, strict=True)])
        np.testing.assert_array_equal(mirrored[is_flipped], x[is_flipped, :, ::-1])
        patterns.append(is_flipped[np.argsort(flipped._permutation(epoch))])
    assert 25 < patterns[0].sum() < 65  # 90 coins: 45 and four standard deviations of 4.7.
    assert np.array_equal(patterns[0], patterns[2]) and not np.array_equal(*patterns[:2])


@pytest.mark.once
def test_unreadable_files_are_left_out_and_counted_when_told(tmp_path, capsys):
    root = photos(tmp_path / "photos")
    (root / "dog" / "0.jpg").write_bytes(b"")
    (root / "cat" / "truncated.png").write_bytes((root / "cat" / "00.png").read_bytes()[:90])
    train, _ = kg.data.folder(root, skip_unreadable=True, test=0)
    assert np.bincount(train.y).tolist() == [10, 10]
    said = capsys.readouterr().out
    assert "2 of 22 files cannot be read and are left out" in said
    assert "'dog/0.jpg'" in said and "'cat/truncated.png'" in said


# Digits.


@pytest.fixture(scope="module")
def digits_as_files(tmp_path_factory):
    """The digits in their own order, as PNG files, and as `load` gives them."""
    root = tmp_path_factory.mktemp("digits")
    sets = kg.data.load("digits", data_dir=root / "tfds", seed=5)
    for part, data in zip(("train", "test"), sets, strict=True):
        for i, image in enumerate(np.rint(255 * data.x[:600, ..., 0]).astype("uint8")):
            write(root / "png" / part / f"{i:04d}.png", image)
        data.x, data.num_examples = data.x[:600], min(600, data.num_examples)
    return root / "png", sets


def test_digits_as_files_give_the_weights_of_the_digits_by_name(digits_as_files):
    path, by_name = digits_as_files
    by_file = kg.data.folder(path, seed=5)
    weights = []
    for train, test in (by_name, by_file):
        keras.utils.set_random_seed(2)
        vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), 2, hidden=(8,)), seed=3)
        vae.compile("adam")
        vae.fit(train, validation_data=test, verbose=0)
        weights.append(weights_of(vae))
        np.testing.assert_array_equal(train.x, by_name[0].x)
        np.testing.assert_array_equal(test.x, by_name[1].x)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_run_that_stops_and_goes_on_with_workers_ends_with_the_same_weights(tmp_path):
    root = photos(tmp_path / "photos")
    weights = []
    for folder, stops in (("whole", (3,)), ("stopped", (1, 3))):
        for epochs in stops:
            train, _ = kg.data.folder(root, size=4, batch_size=8, flip=True, cache=tmp_path / "c")
            train.workers = 2
            keras.utils.set_random_seed(epochs)
            vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 3), 2, hidden=(4,)), seed=3)
            vae.set_weights([np.full_like(w, 0.1) for w in map(numpy, vae.weights)])
            vae.compile("adam")
            checkpoint = kg.callbacks.Checkpoint(tmp_path / folder)
            vae.fit(train, epochs=epochs, callbacks=[checkpoint], verbose=0)
        weights.append(weights_of(vae))
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


# Forty bad folders and files.


def png(width, height):
    """A PNG that claims a size, and of whose pixels nearly all are missing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    pixels = struct.pack(">I", 500) + b"IDAT" + zlib.compress(bytes(9))
    return b"\x89PNG\r\n\x1a\n" + chunk + pixels


def file(content, name="photos/a.png"):
    """A folder in which one file has this content."""

    def make(root):
        path = photos(root / "photos").parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return root / "photos"

    return make


def image(pixels, name="photos/a.png", **options):
    def make(root):
        write(photos(root / "photos").parent / name, pixels, **options)
        return root / "photos"

    return make


def alone(content, name):
    """A file that is itself the data."""

    def make(root):
        (root / name).write_bytes(content)
        return root / name

    return make


def arrays(name, **named):
    def make(root):
        np.savez(root / name, **named) if named else np.save(root / name, [])
        return root / name

    return make


def array(x):
    def make(root):
        np.save(root / "x.npy", x)
        return root / "x.npy"

    return make


def packed(files):
    """The bytes of a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def good(root):
    return photos(root / "photos")


def same(root):
    for i in range(12):
        write(root / "photos" / f"{i}.png", seed=0)
    return root / "photos"


def in_text(root):
    (root / "photos").mkdir()
    (root / "photos" / "list.csv").write_text("a,b")
    return root / "photos"


def broken_link(root):
    os.symlink(root / "nowhere.png", good(root) / "cat" / "link.png")
    return root / "photos"


def parts(*names):
    def make(root):
        return photos(root / "photos", names, each=2)

    return make


def huge():
    """An .npz whose array claims to have 2^50 bytes."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**15, 2**15)}
    )
    return packed({"x.npy": content.getvalue()})


BOMB = 20_000  # Pixels on a side.
BAD = {
    "no path": (lambda root: root / "nowhere", {}, "There is no folder or file '.*nowhere'"),
    "a number": (lambda root: 7, {}, "`path` is a int. Pass the path of a folder"),
    "an empty list": (lambda root: [], {}, "The list of files is empty"),
    "a list of nothing": (lambda root: ["a.png"], {}, "no file '.*a.png', which stands in the"),
    "a list of folders": (
        lambda root: [good(root)],
        {},
        "is a folder, and a list holds files",
    ),
    "a list of arrays": (lambda root: [noise()], {}, "holds a ndarray, and paths .*ArrayDataset"),
    "an empty folder": (lambda root: root, {}, "holds no images, and no files. Images end in"),
    "a folder of text": (in_text, {}, "holds no images, and 1 other files"),
    "one image": (alone(png(1, 1), "a.png"), {}, "'.*a.png' is a file. Pass a folder of images"),
    "an empty file": (file(b""), {}, "'a.png' in '.*photos' cannot be read: it is no image"),
    "a text as image": (file(b"hello" * 99), {}, "'a.png' .* it is no image, or of a kind"),
    "a truncated image": (file(png(9, 9)), {}, "'a.png' in '.*' cannot be read: .*truncated"),
    "a damaged head": (file(png(9, 9).replace(b"IHDR", b"IHDX")), {}, "'a.png' .* cannot be read"),
    "PostScript": (file(b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9), {}, "'a.png' .* it is no image"),
    "a bomb": (file(png(BOMB, BOMB)), {}, "'a.png' .* more than 89478485 pixels, which may be"),
    "a smaller bomb": (file(png(BOMB, 5000)), {}, "'a.png' .* more than 89478485 pixels"),
    "a link to nowhere": (broken_link, {}, "'cat/link.png' .* cannot be read: .*No such file"),
    "another script": (file(b"", "photos/кот/猫 é.png"), {}, "'кот/猫 é.png' .* cannot be read"),
    "two sizes": (
        image(noise(9, 9)),
        {},
        r"has the size 6x8x3, and others have .* Name one `size` for all, such as 64",
    ),
    "two forms": (image(noise(8, 6)), {}, r"has the size .* Name one `size` for all"),
    "32 bits": (
        image(np.full((6, 8), 70_000, "int32"), "photos/a.tif"),
        {},
        "'a.tif' .* integers of 32 bits",
    ),
    "floats up to 255": (
        image(np.full((6, 8), 255, "float32"), "photos/a.tif"),
        {},
        r"'a.tif' .* floats outside \[0, 1\]",
    ),
    "NaN": (image(np.full((6, 8), np.nan, "float32"), "photos/a.tif"), {}, r"outside \[0, 1\]"),
    "only copies": (same, {}, "There are 1 different images among 12, too few .* In Python test=0"),
    "no labels": (parts("cat"), {"labels": True}, "has no labels: 0 subfolders with images, and 2"),
    "images next to classes": (
        file(b"", "photos/cover.png"),  # Refused before any is decoded.
        {"labels": True},
        "has no labels: 2 subfolders with images, and 1 images next to them",
    ),
    "three parts": (parts("train", "val", "test"), {}, "test, train, val: parts of a set, and two"),
    "no zip": (alone(b"hello", "a.zip"), {}, "'.*a.zip' is damaged, or no archive"),
    "an empty zip": (alone(packed({}), "a.zip"), {}, "'.*a.zip' holds no images"),
    "a zip of text": (alone(packed({"a.txt": "b"}), "a.zip"), {}, "holds no images"),
    "a zip of a bad image": (
        alone(packed({"a.png": "b", "c.png": "d"}), "a.zip"),
        {},
        "'a.png' in '.*a.zip' cannot be read: it is no image",
    ),
    "a damaged zip": (
        alone(packed({"a.png": png(9, 9)}).replace(b"IHDR", b"IHDX"), "a.zip"),
        {},
        "'.*a.zip' is damaged, or no archive: Bad CRC-32",
    ),
    "no tar": (alone(b"hello" * 999, "a.tar"), {}, "'.*a.tar' is damaged, or no archive"),
    "a truncated tar.gz": (alone(b"\x1f\x8b\x08\x00", "a.tgz"), {}, "'.*a.tgz' is damaged"),
    "a truncated tar.xz": (
        alone(lzma.compress(b"hello" * 999)[:-20], "a.txz"),
        {},
        "'.*a.txz' is damaged, or no archive",
    ),
    "a zip of images named npz": (
        alone(packed({"a.png": png(1, 1)}), "a.npz"),
        {},
        r"holds the arrays \(none\). Save the images as x",
    ),
    "a header of terabytes": (alone(huge(), "a.npz"), {}, "'.*a.npz' is no file of arrays, or"),
    "a label of a billion": (
        arrays("a.npz", x=np.zeros((9, 8, 8), "u1"), y=np.full(9, 10**9)),
        {},
        "go up to 1000000000, and classes are counted from 0. Save `np.unique",
    ),
    "no array": (alone(b"hello", "a.npy"), {}, "'.*a.npy' is no file of arrays, or damaged"),
    "objects": (array(np.array([{}])), {}, "'.*x.npy' is no file of arrays, or damaged: .*object"),
    "one image as array": (
        array(noise(channels=1)),
        {},
        r"an array of shape \(6, 8\). Save images.*A table is no image",
    ),
    "channels first": (array(np.zeros((9, 3, 8, 8), "u1")), {}, r"transpose\(0, 2, 3, 1\)"),
    "tables": (array(np.zeros((9, 64), "u1")), {}, r"shape \(9, 64\). Save .* A table is no image"),
    "no images": (array(np.zeros((0, 8, 8, 3), "u1")), {}, r"at the end\.$"),
    "two channels": (array(np.zeros((9, 8, 8, 2), "u1")), {}, r"at the end\.$"),
    "one in colour": (
        array(np.zeros((9, 8, 3), "u1")),
        {},
        r"save `x\[None\]`; if they are",
    ),
    "films": (array(np.zeros((2, 9, 8, 8, 3), "u1")), {}, r"`x.reshape\(-1, 8, 8, 3\)` is one"),
    "an array of no labels": (
        array(np.zeros((9, 8, 8), "u1")),
        {"labels": True},
        r"has no labels. Save them next to the images, .* `np.savez\(path, x=x, y=y\)`",
    ),
    "integers": (array(np.zeros((9, 8, 8), "int64")), {}, "an array of type int64. Save uint8"),
    "up to 255": (
        array(np.full((9, 8, 8), 255.0)),
        {},
        "Image 0 of '.*x.npy' has values from 255 to 255. Save floats in",
    ),
    "no array of images": (
        arrays("a.npz", x_train=np.zeros(3), x_test=np.zeros(3)),
        {},
        "holds the arrays x_train, x_test. Save the images as x",
    ),
    "too few labels": (
        arrays("a.npz", x=np.zeros((9, 8, 8), "u1"), y=np.zeros(3, "int64")),
        {},
        r"The labels in '.*a.npz' have shape \(3,\) and type int64. Save one integer for each",
    ),
    "size 0": (good, {"size": 0}, "`size` is 0. Pass an integer, at least 1"),
    "three sizes": (good, {"size": (8, 8, 3)}, r"`size` is \(8, 8, 3\). Pass one number, or"),
    "4 channels": (good, {"channels": 4}, "`channels` is 4. Pass 1 for grey, 3 for colour"),
    "a stretch": (good, {"fit": "stretch"}, '`fit` is .stretch.. Pass "crop" or "pad"'),
    "no colour": (good, {"background": "whyte"}, "`background` is 'whyte'. Pass a name such as"),
    "a colour of floats": (good, {"background": (1.0, 0, 1.0)}, "`background` .* integers from 0"),
    "a way to flip": (good, {"flip": "none"}, "`flip` is 'none'. Pass True or False"),
    "a number to skip": (good, {"skip_unreadable": 3}, "`skip_unreadable` is 3. Pass True or"),
    "all for testing": (good, {"test": 1}, "`test` is 1. Pass a share from 0 to below 1"),
    "a number of tests": (good, {"test": 100}, "`test` is 100. Pass a share from 0 to below 1"),
    "unknown labels": (good, {"labels": "yes"}, "`labels` is 'yes'. Pass \"auto\", True or False"),
    "no seed": (good, {"seed": None}, "`seed` is None. Pass an integer, at least 0"),
    "no device": (good, {"multiple_of": 0}, "`multiple_of` is 0. Pass an integer, at least 1"),
    "a cache without a place": (good, {"cache": True}, "`cache` is True. Pass a folder"),
    "no batch": (good, {"batch_size": 0}, "`batch_size` is 0. Pass an integer, at least 1"),
}


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:.*images next to them:UserWarning")
@pytest.mark.parametrize("case", BAD)
def test_bad_folders_and_files_are_refused_by_name(tmp_path, case):
    make, options, message = BAD[case]
    with pytest.raises((ValueError, FileNotFoundError), match=f"(?s){message}"):
        kg.data.folder(make(tmp_path), **options)


@pytest.mark.once
def test_the_emoji(tmp_path):
    if not EMOJI.exists():
        pytest.skip(f"There are no emoji in {EMOJI}.")
    train, test = kg.data.folder(EMOJI / "flags", size=32)
    assert (len(train.rows), len(test.rows)) == (243, 27)
    assert train.images.shape == (270, 32, 32, 3)
    assert train.images[:, 0, 0].min() == 255  # The corners are transparent.
