"""Films of a finished run: of its training, and of a walk through latent space."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import keras_gen as kg
from train import film, gan

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "gan"
    data = ["--data-dir", str(tmp_path_factory.getbasetemp() / "tfds"), "--examples", "64"]
    small = ["--network", "mlp", "--latent-dim", "3", "--conditional", "--ema", "0.9"]
    gan.main(["--epochs", "2", "--batch-size", "64", *small, *data, "--out", str(folder)])
    return folder


def frames(path):
    with Image.open(path) as file:
        for k in range(file.n_frames):
            file.seek(k)
            yield np.asarray(file.convert("RGB")).astype(int)


def test_a_run_has_a_film_of_its_samples_and_gets_one_of_a_walk(run):
    first, *_, last = frames(run / "samples.gif")
    expected = np.asarray(Image.open(run / "samples/epoch_0002.png"))
    np.testing.assert_allclose(last, expected, atol=2)
    assert np.abs(first - last).max() > 50
    film.main([str(run), "--points", "3", "--steps", "2", "--n", "25"])
    walk = [*frames(run / "walk.gif")]
    model = kg.load_run(run).model
    z = model.draw_latents(20 * 3, seed=0).reshape(3, 20, 3)
    y = np.resize(np.arange(10), 20)
    for k in range(3):  # Two rows of ten classes; at each second frame all are at a draw.
        images = kg.callbacks.image_grid(model.generate(z[k], y=y, ema=True), columns=10)
        np.testing.assert_allclose(walk[2 * k][: len(images)], images, atol=2)
    assert len(walk) == 6


def test_a_walk_of_one_class_is_a_webp(run, tmp_path):
    path = tmp_path / "walk.webp"
    film.main([str(run), "--walk", str(path), "--y", "3", "--points", "2", "--steps", "1"])
    first, second = frames(path)
    assert first.shape == second.shape and len(first) == 4 * 58 + 2 + 18


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--walk", "walk.avi"], "does not end in .gif or .webp or .mp4"),
        (["--walk", "no/walk.gif"], "is in a folder that is not there"),
        (["--walk", "walk.gif", "--points", "1"], "is not an integer of at least 2"),
        (["--walk", "walk.gif", "--y", "cat"], "--y cat is none of the 10 classes"),
    ],
)
def test_what_cannot_be_filmed_is_said(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        film.main([str(run), *arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_and_a_strangers_run_are_filmed_or_refused(run, tmp_path, capsys):
    run = shutil.copytree(run, tmp_path / "gan")
    for name in ("model.keras", "metrics.json", "samples.gif", "walk.gif"):
        (run / name).unlink(missing_ok=True)
    film.main([str(run)])
    assert "There is no walk: the run has no model.keras yet." in capsys.readouterr().out
    assert not (run / "walk.gif").exists() and len([*frames(run / "samples.gif")]) == 3
    before = (run / "samples.gif").read_bytes()

    def refused(message):
        with pytest.raises(SystemExit) as stopped:
            film.main([str(run)])
        assert stopped.value.code == 2 and message in capsys.readouterr().err
        assert (run / "samples.gif").read_bytes() == before

    (run / "samples/epoch_0001.png").write_bytes(b"no picture")
    refused("epoch_0001.png is no picture of a run")
    shutil.rmtree(run / "samples")
    refused("holds no pictures of training")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "arguments": 3}))
    refused("was not written by a training script")
