"""Data sets by name. What reads and prepares them knows no backend: most tests run once."""

import gzip
import hashlib
import importlib.util
import json
import pathlib
import random
import socket
import struct
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits
from tensorflow_datasets.image_classification import mnist

from keras_gen.data import ArrayDataset, load, loading, preparing

ROOT = pathlib.Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TFDS prepares the set with TensorFlow"
)
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there")
IDX_FILES = {
    "train-images-idx3-ubyte.gz": 60_000,
    "train-labels-idx1-ubyte.gz": 60_000,
    "t10k-images-idx3-ubyte.gz": 10_000,
    "t10k-labels-idx1-ubyte.gz": 10_000,
}


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """40 + 10 images, image i all i, label i % 10; TFDS's default format, no URL."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {
        "image": tfds.features.Image(shape=(4, 4, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    SPLITS = {"train": range(40), "test": range(40, 50)}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self.FEATURES)
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(range_) for name, range_ in self.SPLITS.items()}

    def _generate_examples(self, indices):
        for i in indices:
            example = {"image": np.full((4, 4, 1), i, "uint8"), "label": i % 10}
            yield i, {key: example[key] for key in self.FEATURES}


class TinyUnlabelled(TinyImages):
    FEATURES = {"image": tfds.features.Image(shape=(4, 4, 1))}
    SPLITS = {"train": range(2), "validation": range(2)}  # holds 0 and 1 alone


class TinyTrainOnly(TinyImages):
    SPLITS = {"train": range(4)}


class TinyAnySize(TinyImages):
    FEATURES = {"image": tfds.features.Image(shape=(None, None, 1))}


class TinySounds(TinyImages):
    FEATURES = {"label": tfds.features.ClassLabel(num_classes=10)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture
def no_network(monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.once
def test_digits_are_scikit_learns(data_dir):
    train, test = load("digits", data_dir=data_dir, download=False)
    digits = load_digits()
    x = np.concatenate([train.x, test.x])
    assert (train.x.shape, test.x.shape) == ((1500, 28, 28, 1), (297, 28, 28, 1))
    assert (x.dtype, x.min(), x.max()) == (np.float32, 0.0, 1.0)
    np.testing.assert_array_equal(
        np.bincount(np.concatenate([train.y, test.y])), np.bincount(digits.target)
    )
    # Enlarging keeps the ink: 400 of 784 pixels have the mean that 64 had.
    assert x.mean() == pytest.approx(digits.images.mean() / 16 * 400 / 784, rel=0.015)


@pytest.mark.once
def test_digits_have_the_border_of_mnist(data_dir):
    _, test = load("digits", data_dir=data_dir)
    border = np.ones((28, 28), bool)
    border[4:-4, 4:-4] = False
    assert test.x[:, border].max() == 0


@pytest.mark.once
def test_digits_splits_are_disjoint_stratified_and_fixed(data_dir, tmp_path):
    train, test = load("digits", data_dir=data_dir)
    again, _ = load("digits", data_dir=tmp_path)
    in_train, in_test = ({x.tobytes() for x in split.x} for split in (train, test))
    assert not in_train & in_test
    np.testing.assert_array_equal(train.x, again.x)
    np.testing.assert_allclose(np.bincount(test.y) / 297, 0.1, atol=0.005)


@pytest.mark.once
def test_digits_are_read_by_tfds_itself(data_dir):
    load("digits", data_dir=data_dir)
    source = tfds.builder("digits", data_dir=data_dir).as_data_source("test")
    assert len(source) == 297
    assert source[0]["image"].dtype == np.uint8


def test_preparing_draws_no_random_numbers_of_others(tmp_path):
    def state():
        name, keys, *rest = np.random.get_state()
        return random.getstate(), name, keys.tolist(), rest

    before = state()
    load("digits", data_dir=tmp_path)  # prepares them
    assert state() == before
    load("digits", data_dir=tmp_path)
    assert state() == before


@pytest.mark.once
def test_digits_prepare_in_silence(tmp_path, capfd):
    load("digits", data_dir=tmp_path)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.once
def test_two_processes_prepare_the_digits_at_once(tmp_path):
    code = (
        "import sys, keras_gen.data as d; print(d.load('digits', data_dir=sys.argv[1])[0].x.sum())"
    )
    command = [sys.executable, "-c", code, tmp_path]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    sums = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sums[0] == sums[1]
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1.0.0"]


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="Keras runs on TensorFlow")
def test_digits_are_prepared_and_read_without_tensorflow(tmp_path):
    code = "import sys, keras_gen.data as d; d.load('digits', data_dir=sys.argv[1])"
    code += "; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code, tmp_path]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).stdout == b"False\n"


@pytest.mark.once
def test_test_set_is_not_shuffled_and_training_set_is(data_dir):
    train, test = load("digits", data_dir=data_dir, batch_size=297, labels=True)
    np.testing.assert_array_equal(test[0][0], test.x)
    assert not np.array_equal(train[0][0], train.x[:297])
    other, _ = load("digits", data_dir=data_dir, batch_size=297, labels=True, seed=1)
    assert not np.array_equal(train[0][1], other[0][1])


@pytest.mark.once
@needs_shared
def test_mnist_from_tfds_data_dir(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(SHARED / "tfds"))
    train, test = load("mnist", download=False, batch_size=100)
    assert (train.x.shape, test.x.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert len(train) == 600
    assert train.x.mean() == pytest.approx(0.13066, abs=5e-6)
    assert test.x.mean() == pytest.approx(0.13251, abs=5e-6)
    assert np.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.once
@needs_shared
def test_binarized_mnist_is_0_and_1_and_has_no_labels():
    train, test = load("binarized_mnist", data_dir=SHARED / "tfds", download=False)
    assert (len(train.x), len(test.x)) == (50_000, 10_000)
    assert np.unique(train.x).tolist() == np.unique(test.x).tolist() == [0.0, 1.0]
    assert train.y is None
    with pytest.raises(ValueError, match="'binarized_mnist' has no integer labels"):
        load("binarized_mnist", data_dir=SHARED / "tfds", labels=True)


@pytest.mark.once
@needs_shared
def test_mnist_is_prepared_from_its_original_files(tmp_path):
    _, test = load("mnist", data_dir=tmp_path, manual_dir=SHARED / "mnist", download=False)
    assert test.x.mean() == pytest.approx(0.13251, abs=5e-6)


def idx_files(folder, pixel, label):
    """The four files of MNIST's format, all pixels and all labels the same."""
    folder.mkdir()
    for name, n in IDX_FILES.items():
        if "images" in name:
            content = struct.pack(">iiii", 2051, n, 28, 28) + bytes([pixel]) * (n * 784)
        else:
            content = struct.pack(">ii", 2049, n) + bytes([label]) * n
        (folder / name).write_bytes(gzip.compress(content, 1, mtime=0))
    return folder


def register(monkeypatch, builder, folder):
    """Makes the files in `folder` the originals of `builder`."""
    infos = {}
    for name in IDX_FILES:
        content = (folder / name).read_bytes()
        infos[builder.URL + name] = tfds.download.checksums.UrlInfo(
            size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=name
        )
    monkeypatch.setattr(builder, "url_infos", infos)


@pytest.fixture
def small_mnists(monkeypatch):
    for n, name in ((30, "_TRAIN_EXAMPLES"), (20, "_TEST_EXAMPLES")):
        monkeypatch.setattr(mnist, name, n)
        for file in IDX_FILES:
            if ("train" in file) == ("TRAIN" in name):
                monkeypatch.setitem(IDX_FILES, file, n)


@pytest.mark.once
@needs_tensorflow
def test_mnist_and_fashion_mnist_do_not_mix(tmp_path, monkeypatch, small_mnists):
    for builder, name, pixel, label in (
        (mnist.MNIST, "mnist", 51, 1),
        (mnist.FashionMNIST, "fashion_mnist", 102, 2),
    ):
        folder = idx_files(tmp_path / name, pixel, label)
        register(monkeypatch, builder, folder)
        train, test = load(name, data_dir=tmp_path / "tfds", manual_dir=folder, download=False)
        for data in (train, test):
            assert np.unique(data.x).tolist() == [np.float32(pixel / 255)]
            assert np.unique(data.y).tolist() == [label]
        assert (len(train.x), len(test.x)) == (30, 20)


@pytest.mark.once
@pytest.mark.parametrize("damage", ["other content", "cut short"])
def test_a_file_that_is_not_the_original_is_refused(tmp_path, monkeypatch, small_mnists, damage):
    folder = idx_files(tmp_path / "files", 51, 1)
    register(monkeypatch, mnist.MNIST, folder)
    damaged = folder / "t10k-images-idx3-ubyte.gz"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-9] if damage == "cut short" else content[::-1])
    with pytest.raises(ValueError) as error:
        load("mnist", data_dir=tmp_path / "tfds", manual_dir=folder, download=False)
    assert f"{damaged} is not the original file of data set 'mnist'" in str(error.value)
    assert not (tmp_path / "tfds").exists()


@pytest.mark.once
def test_a_manual_dir_that_lacks_a_file_is_refused(tmp_path, monkeypatch, small_mnists):
    folder = idx_files(tmp_path / "files", 51, 1)
    register(monkeypatch, mnist.MNIST, folder)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"its files: train-labels-idx1-ubyte\.gz\.$"):
        load("mnist", data_dir=tmp_path / "tfds", manual_dir=folder, download=False)


@pytest.mark.once
def test_a_manual_dir_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="`manual_dir` is .*, which is not a folder"):
        load("mnist", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")


@pytest.mark.once
@pytest.mark.parametrize("download", [True, False])
def test_without_data_or_network_two_lines_say_what_to_do(tmp_path, no_network, download):
    start = time.perf_counter()
    with pytest.raises(FileNotFoundError) as error:
        load("fashion_mnist", data_dir=tmp_path, download=download)
    assert time.perf_counter() - start < 10
    first, second = str(error.value).split("\n")
    assert "'fashion_mnist'" in first
    assert str(tmp_path) in first
    assert "manual_dir=" in second


@pytest.mark.once
def test_a_name_server_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch):
    def silent(*args, **kwargs):
        time.sleep(15)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(preparing, "PROBE_SECONDS", 1)
    start = time.perf_counter()
    with pytest.raises(FileNotFoundError, match="does not answer"):
        load("mnist", data_dir=tmp_path)
    assert time.perf_counter() - start < 5


@pytest.mark.once
def test_unknown_name_is_refused_with_close_ones(tmp_path):
    with pytest.raises(ValueError) as error:
        load("fashion_mnits", data_dir=tmp_path)
    assert "'fashion_mnist'" in str(error.value)
    assert len(str(error.value)) < 300
    with pytest.raises(ValueError, match="data set 'photos'.*no folder of that name here"):
        load("photos", data_dir=tmp_path)
    with pytest.raises(ValueError, match="is a folder.* your own images by kg.data.folder"):
        load(str(tmp_path))


@pytest.mark.once
@pytest.mark.parametrize("name", ["", "no name", "mnist/a/b/c"])
def test_a_name_that_is_none_is_refused_in_one_line(tmp_path, capfd, name):
    with pytest.raises(ValueError) as error:
        load(name, data_dir=tmp_path)
    assert str(error.value).startswith(f"There is no data set {name!r}, ")
    assert "\n" not in str(error.value)
    assert "Where:" not in capfd.readouterr().out


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "message"), [("mnist:9.9.9", "only: 3.0.1"), ("mnist/foo", "config foo not found")]
)
def test_a_version_or_config_that_there_is_not_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=f"(?i){message}"):
        load(name, data_dir=tmp_path)


@pytest.mark.once
@needs_tensorflow
def test_validation_stands_in_for_a_missing_test_split(tmp_path):
    train, test = load("tiny_unlabelled", data_dir=tmp_path)
    assert (len(train.x), len(test.x)) == (2, 2)
    assert np.unique(train.x).tolist() == [0.0, 1.0]


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("tiny_train_only", r"has the splits \['train'\]", marks=needs_tensorflow),
        ("tiny_any_size", r"images of shape \(None, None, 1\)"),
        ("tiny_sounds", r"has the features \['label'\]"),
    ],
)
def test_sets_that_are_no_images_to_train_on_are_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        load(name, data_dir=tmp_path)


@pytest.mark.once
@pytest.mark.parametrize("name", ["tiny_any_size", "tiny_sounds", "tiny_unlabelled"])
def test_a_set_that_does_not_fit_is_refused_before_it_is_prepared(tmp_path, name):
    with pytest.raises(ValueError):
        load(name, data_dir=tmp_path, labels=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_batch_size_0_is_refused(data_dir):
    with pytest.raises(ValueError, match="`batch_size` is 0"):
        load("digits", data_dir=data_dir, batch_size=0)


@needs_tensorflow
def test_a_large_set_streams_reshuffled_every_epoch(data_dir, monkeypatch):
    in_memory, _ = load("tiny_images", data_dir=data_dir)
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)
    train, test = load("tiny_images", data_dir=data_dir, batch_size=16)
    epochs = [np.concatenate([x.numpy() for x in train]) for _ in range(3)]
    order = [epoch[:, 0, 0, 0].tolist() for epoch in epochs]
    assert len(train) == 3
    assert isinstance(in_memory, ArrayDataset)
    assert order[0] != order[1] != order[2]
    for epoch in order:
        assert sorted(epoch) == sorted(in_memory.x[:, 0, 0, 0].tolist())
    first, second = (np.concatenate([x.numpy() for x in test]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.once
@needs_tensorflow
def test_a_stream_repeats_with_its_seed(data_dir, monkeypatch):
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)

    def labels(seed):
        train, _ = load("tiny_images", data_dir=data_dir, labels=True, seed=seed)
        return [y.numpy().tolist() for _ in range(2) for _, y in train]

    assert labels(1) == labels(1) != labels(2)


@pytest.mark.once
@needs_tensorflow
def test_a_stream_can_be_put_back_to_an_epoch(data_dir, monkeypatch):
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)
    train, _ = load("tiny_images", data_dir=data_dir, labels=True)

    def labels(data):
        return np.concatenate([y.numpy() for _, y in data]).tolist()

    orders = [labels(train) for _ in range(3)]
    assert train.order.epoch == 3
    train.order.epoch = 1
    assert labels(train) == orders[1]
    again, _ = load("tiny_images", data_dir=data_dir, labels=True)
    again.order.epoch = 2
    assert labels(again) == orders[2]


@needs_tensorflow
def test_fit_takes_both_kinds_of_set(data_dir, monkeypatch):
    # The mean of the 40 images i / 255, met by a model that has nothing to learn.
    mean = np.arange(40).mean() / 255
    for limit in (loading.IN_MEMORY_BYTES, 0):
        monkeypatch.setattr(loading, "IN_MEMORY_BYTES", limit)
        train, test = load("tiny_images", data_dir=data_dir, batch_size=10)
        model = keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
                keras.layers.ActivityRegularization(l1=1.0),
            ]
        )
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        # Keras warns that it leaves a stream's order alone, unless told so.
        history = model.fit(train, validation_data=test, shuffle=False, verbose=0).history
        assert history["loss"][0] == pytest.approx(mean, rel=1e-4)
        assert history["val_loss"][0] == pytest.approx(np.arange(40, 50).mean() / 255, rel=1e-4)


@pytest.mark.once
def test_an_array_record_set_too_large_for_memory_has_the_batches_of_one_in_memory(
    data_dir, monkeypatch
):
    options = {"data_dir": data_dir, "batch_size": 400, "labels": True, "seed": 3}
    in_memory = load("digits", **options)
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)
    streams = load("digits", **options)
    assert not hasattr(streams[0], "x")
    assert [stream.num_classes for stream in streams] == [10, 10]
    for stream, whole in zip(streams, in_memory, strict=True):
        for epoch in (0, 5):
            stream.epoch = whole.epoch = epoch
            assert len(stream) == len(whole)
            for (x, y), (whole_x, whole_y) in zip(stream, whole, strict=True):
                np.testing.assert_array_equal(x, whole_x)
                np.testing.assert_array_equal(y, whole_y)
    train, _ = load("digits", **{**options, "labels": False})
    assert (train[0].shape, train[0].dtype) == ((400, 28, 28, 1), np.float32)


WITHOUT_TENSORFLOW = """
import json, sys
import tests.without_tensorflow
import tests.data.test_loading
import keras_gen.data

train, test = keras_gen.data.load("tiny_images", data_dir=sys.argv[1])
print(json.dumps([round(255 * float(x.max())) for x in test.x]))
for name in ("tiny_images", "tiny_unlabelled"):
    try:
        keras_gen.data.load(name, data_dir=sys.argv[2])
    except ImportError as error:
        print()
        print(json.dumps(str(error)))
"""


@needs_tensorflow
@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="Keras runs on TensorFlow")
def test_without_tensorflow_array_record_is_read_and_others_name_it(tmp_path):
    builder = tfds.builder("tiny_images", data_dir=tmp_path / "a", file_format="array_record")
    builder.download_and_prepare()
    load("tiny_images", data_dir=tmp_path / "b")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, tmp_path / "a", tmp_path / "b"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    said = [line for line in process.stdout.splitlines() if line[:1] in ("[", '"')]
    images, read, prepared = map(json.loads, said)
    assert sorted(images) == list(range(40, 50))
    assert "as tfrecord, which TensorFlow reads" in read
    assert "prepares data set 'tiny_unlabelled' with TensorFlow" in prepared
    for name, message in (("tiny_images", read), ("tiny_unlabelled", prepared)):
        assert f'"{name}", data_dir=..., file_format="array_record")' in message
    assert not preparing.is_prepared(preparing.find("tiny_unlabelled", tmp_path / "b"))


@pytest.mark.once
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=f"{tmp_path}/file cannot be written to"):
        load("digits", data_dir=tmp_path / "file")


@pytest.mark.once
@needs_tensorflow
def test_tfrecord_without_tensorflow_names_array_record(data_dir, monkeypatch):
    load("tiny_images", data_dir=data_dir)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match='file_format="array_record"'):
        load("tiny_images", data_dir=data_dir)
