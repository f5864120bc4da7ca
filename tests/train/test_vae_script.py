"""The script as a person runs it, in a process of its own where that can make a difference."""

import csv
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from matplotlib import image as png
from PIL import Image

# load_model looks the classes of keras_gen up.
from keras_gen.data import loading
from tests.data.test_loading import TinyImages, needs_tensorflow
from tests.faults import survival
from train import interrupts, vae

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture
def run(tmp_path, data_dir):
    def run(*arguments, module="train.vae", start=subprocess.run):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(data_dir)}
        return start(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


QUICK = ("--hidden", 16, "--latent-dim", 2, "--epochs", 2)


def test_a_run_leaves_pictures_curves_and_a_model_that_loads(run, tmp_path, backend):
    process = run(*QUICK)
    assert process.returncode == 0, process.stderr
    out = tmp_path / "runs" / "vae"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics.keys() == {"loss", "reconstruction", "kl", "elbo"}
    assert f"Test ELBO {metrics['elbo']:.2f} nats" in process.stdout
    assert f"rate {metrics['kl']:.2f}, distortion {metrics['reconstruction']:.2f}" in process.stdout
    config = json.loads((out / "config.json").read_text())
    assert config["backend"] == backend
    assert config["arguments"]["latent_dim"] == 2
    assert config["arguments"]["seed"] == 0
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val_elbo"]) > float(rows[0]["val_elbo"])
    for name in ("epoch", "reconstruction", "manifold", "scatter"):
        before, last = (png.imread(out / "samples" / f"{name}_000{k}.png") for k in (0, 2))
        assert last.std() > 0 and np.any(before != last)
    assert png.imread(out / "curves.png").std() > 0
    page = (out / "report.html").read_text()
    assert "Samples after epoch 2" in page and f"{metrics['elbo']:.4g}" in page
    assert json.loads((out / "report.json").read_text())["samples"]["classes_floor"] == 10
    assert (out / "samples" / "nearest_0002.png").exists()
    loaded = keras.saving.load_model(out / "model.keras", safe_mode=True)
    assert loaded.sample(3).shape == (3, 28, 28, 1)
    assert not [path for path in out.rglob("*") if "tmp" in path.name]


@pytest.mark.once
def test_same_seed_same_model_even_if_the_first_run_prepares_the_data(run, run_here, tmp_path):
    data_dir = tmp_path / "tfds"
    arguments = (*QUICK, "--epochs", 1, "--data-dir", data_dir)
    assert run(*arguments, "--seed", 3, "--out", "a").returncode == 0
    for seed, out in ((3, "b"), (4, "c")):
        assert run_here(vae, *arguments, "--seed", seed, "--out", out).returncode == 0
    a, b, c = (
        keras.saving.load_model(tmp_path / out / "model.keras").get_weights() for out in "abc"
    )
    for one, same, other in zip(a, b, c, strict=True):
        np.testing.assert_array_equal(one, same)
        if one.dtype == "float32":  # The note of bad updates is 0 in both.
            assert np.any(one != other)


@pytest.mark.once
def test_a_finished_run_is_kept_unless_told_and_the_default_is_replaced(run_here, tmp_path):
    run, out = functools.partial(run_here, vae), tmp_path / "mine"
    assert run(*QUICK, "--out", out).returncode == 0
    (out / "notes.txt").write_text("not the script's")
    finished = (out / "history.csv").read_text()
    refused = run(*QUICK, "--out", out, "--epochs", 1)
    assert refused.returncode == 2
    assert "holds a finished run. Name another, or add --overwrite." in refused.stderr
    assert (out / "history.csv").read_text() == finished
    assert run(*QUICK, "--out", out, "--overwrite", "--epochs", 1).returncode == 0
    assert len((out / "history.csv").read_text().splitlines()) == 2
    assert not (out / "samples" / "epoch_0002.png").exists()
    assert (out / "notes.txt").exists()
    assert run(*QUICK, "--epochs", 1).returncode == 0
    samples = tmp_path / "runs" / "vae" / "samples"
    (samples / "epoch_0099.png").write_text("of the run before")
    (samples / "photo.png").write_text("not the script's")
    assert run(*QUICK, "--epochs", 1).returncode == 0
    assert not (samples / "epoch_0099.png").exists()
    assert (samples / "photo.png").read_text() == "not the script's"


FOREIGN = {
    "config.json": '{"command": "make"}',
    "model.keras": "weights",
    "samples/photo.png": "a photo",
    "tensorboard/notes": "of others",
}


@pytest.mark.once
@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_files_of_others_is_refused(run_here, tmp_path, name):
    path = tmp_path / "runs" / "vae" / name
    path.parent.mkdir(parents=True)
    path.write_text(FOREIGN[name])
    process = run_here(vae, *QUICK)
    assert process.returncode == 2
    assert "that no run of these scripts has left there" in process.stderr
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert path.read_text() == FOREIGN[name]


@pytest.mark.once
def test_overwrite_replaces_what_a_run_writes_and_keeps_the_rest(run_here, tmp_path):
    for name, text in {**FOREIGN, "tensorboard/events.out.1": "", "samples.gif": ""}.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    process = run_here(vae, *QUICK, "--epochs", 1, "--out", "out", "--overwrite")
    assert process.returncode == 0, process.stderr
    for name in ("samples/photo.png", "tensorboard/notes"):
        assert (tmp_path / "out" / name).read_text() == FOREIGN[name]
    assert not (tmp_path / "out/tensorboard/events.out.1").exists()
    with Image.open(tmp_path / "out/samples.gif") as film:
        assert film.n_frames == 2
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["command"].startswith("python -m train.vae")


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--out", "file"), "--out file is a file. Name a folder."),
        (("--out", "file/sub"), "--out file/sub cannot be written to: Not a directory."),
        (("--dataset", "mnits"), "mnist"),
        (("--data-dir", "file"), "file cannot be written to"),
        (("--network", "conv", "--hidden", "4", "4", "4"), "divisible by 8"),
    ],
)
def test_bad_arguments_end_in_one_message_and_write_nothing(run_here, tmp_path, arguments, message):
    (tmp_path / "file").write_text("kept")
    process = run_here(vae, *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.once
def test_a_run_that_diverges_says_so_and_keeps_the_last_good_weights(run, tmp_path):
    process = run(*QUICK, "--learning-rate", "1e30")
    assert process.returncode == 1, process.stderr
    assert "Training diverged. The weights from before are in runs/vae/model.keras" in (
        process.stderr
    )
    assert "Epoch 1: a loss or gradient of the model was not finite" in process.stdout
    assert "Traceback" not in process.stderr
    out = tmp_path / "runs" / "vae"
    assert (out / "curves.png").exists()
    assert not (out / "metrics.json").exists()
    for weight in keras.saving.load_model(out / "model.keras").get_weights():
        assert np.all(np.isfinite(weight))


@pytest.mark.once
@needs_tensorflow
def test_a_streamed_set_trains_without_a_warning(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)
    arguments = {"dataset": "tiny_images", "data-dir": data_dir, "out": tmp_path, "epochs": 1}
    vae.main([f"--{name}={value}" for name, value in arguments.items()] + ["--hidden", "4"])
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.example_shape == TinyImages.FEATURES["image"].shape


@pytest.mark.once
def test_without_tensorboard_nothing_is_cleared(run, run_here, tmp_path):
    assert run_here(vae, *QUICK, "--epochs", 1).returncode == 0
    (tmp_path / "tensorboard.py").write_text("raise ImportError")
    process = run(*QUICK, "--tensorboard")
    assert process.returncode == 2
    assert "pip install tensorboard" in process.stderr
    assert (tmp_path / "runs" / "vae" / "metrics.json").exists()


@pytest.mark.once
def test_ctrl_c_keeps_the_epochs_so_far(run, run_here, tmp_path):
    out = tmp_path / "runs" / "vae"
    with survival.ctrl_c_is_handled():
        process = run(*QUICK, "--epochs", 10_000, "--sample-every", 1, start=subprocess.Popen)
    with process:
        try:
            while not (out / "samples" / "epoch_0002.png").exists():
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (
        "stopped. runs/vae holds checkpoint, config.json, history.csv, preview.png, report.html, "
        "report.json, samples.\n" in errors
    )
    assert "To continue after the last checkpoint: python -m train.vae --resume --out" in errors
    assert "Traceback" not in errors
    with open(out / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) >= 1
    refused = run_here(vae)
    assert refused.returncode == 2
    assert "holds a run that was stopped. Add --resume" in refused.stderr
    assert (out / "checkpoint").exists()


def test_ctrl_c_that_an_except_swallows_is_not_lost():
    with survival.ctrl_c_is_handled():
        with interrupts.remembered():
            callback = interrupts.stop_when_interrupted()
            callback.on_epoch_end(0, {})  # Nothing was pressed yet.
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                callback.on_epoch_end(1, {})
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.once
def test_help_imports_nothing_heavy(run):
    for module, words in (
        ("train.vae", ("--seed", "manifold", "scatter", "traversals")),
        ("train.reproduce", ("--seed",)),
    ):
        process = run("--help", module=module)
        assert process.returncode == 0
        assert all(word in process.stdout for word in words)
    program = "import sys, train.vae; print([m for m in ('keras', 'numpy') if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"
