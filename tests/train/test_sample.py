"""Samples of a finished run: the picture of the run again, images in folders, arrays."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

import keras_gen as kg
from train import gan, sample, vae

pytestmark = pytest.mark.once

QUICK = ["--epochs", "1", "--latent-dim", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vae"
    data = ["--data-dir", str(folder.parent / "tfds")]
    vae.main([*QUICK, "--hidden", "8", "--conditional", *data, "--out", str(folder)])
    config = json.loads((folder / "config.json").read_text())
    config["class_names"] = ["nought", "one/../..", *map(str, range(2, 10))]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def refused(*arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        sample.main([*map(str, arguments)])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_load_run_gives_the_model_its_settings_and_its_classes(folder):
    run = kg.load_run(str(folder))
    assert run.settings["epochs"] == 1 and run.class_names[0] == "nought"
    z, y = np.zeros((1, 2), "float32"), [3]
    again = kg.saving.load_model(folder / "model.keras").generate(z, y=y)
    np.testing.assert_array_equal(run.model.generate(z, y=y), again)


def test_load_run_names_what_is_wrong(folder, tmp_path):
    with pytest.raises(ValueError, match="it has no config.json and no model.keras"):
        kg.load_run(tmp_path)
    (tmp_path / "model.keras").write_bytes((folder / "model.keras").read_bytes())
    for content in ("[]", '{"arguments": 3}', "{", '{"arguments": {}, "class_names": 3}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match="not written by a training script"):
            kg.load_run(tmp_path)


def test_the_grid_is_the_last_picture_of_the_run(folder, tmp_path):
    sample.main([str(folder), "--grid", str(tmp_path / "g.png")])
    picture, last = (
        np.asarray(Image.open(path))
        for path in (tmp_path / "g.png", folder / "samples/epoch_0001.png")
    )
    # One row more: 64 images, where the run draws six of each class, and a caption.
    images = 6 * 58 + 2
    assert (picture[:images] == last[:images]).all() and len(picture) == len(last) + 58 - 18
    # Below them the names of the classes, two of which the fixture has changed.
    np.testing.assert_array_equal(picture[-16:, 118:], last[images : images + 16, 118:])
    assert (picture[-16:, :118] < 128).any()


def test_arrays_are_the_same_for_the_same_seed_and_truncated(folder, tmp_path):
    def drawn(*arguments):
        path = tmp_path / "a.npz"
        sample.main([str(folder), "--npz", str(path), *arguments])
        with np.load(path) as arrays:
            return dict(arrays)

    first, again, other = drawn("--n", "12"), drawn("--n", "12"), drawn("--n", "12", "--seed", "1")
    assert first["x"].shape == (12, 28, 28, 1) and first["y"].tolist() == [*range(10), 0, 1]
    assert (first["x"] == again["x"]).all() and not (first["z"] == other["z"]).any()
    z = drawn("--n", "2000", "--truncation", "0.5", "--y", "nought")["z"]
    # A normal number in [-t, t] has variance 1 - 2 t phi(t) / (2 Phi(t) - 1).
    assert abs(z).max() <= 0.5 and z.var() == pytest.approx(0.0806, abs=0.003)


def test_images_lie_in_the_folders_of_their_classes(folder, tmp_path):
    sample.main([str(folder), "--n", "11", "--png", str(tmp_path / "new")])
    paths = sorted(
        path.relative_to(tmp_path / "new").as_posix() for path in tmp_path.rglob("*.png")
    )
    assert paths[-3:] == ["nought/000000.png", "nought/000010.png", "one______/000001.png"]
    model = kg.load_run(folder).model
    z = model.draw_latents(11, seed=0)
    pixels = 255 * model.generate(z[:1], y=[0])[0, ..., 0]
    found = np.asarray(Image.open(tmp_path / "new/nought/000000.png"))
    assert found.dtype == np.uint8 and abs(found - pixels).max() <= 0.51
    sample.main([str(folder), "--n", "2", "--y", "nought", "--png", str(tmp_path / "noughts")])
    assert [path.name for path in (tmp_path / "noughts").iterdir()] == ["nought"]


def test_a_grid_of_images_out_of_range_is_clipped_without_a_word(tmp_path):
    images = np.linspace(-2, 3, 4 * 8 * 8).reshape(4, 8, 8, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample.write_grid(tmp_path / "a.png", images, None)
    assert (tmp_path / "a.png").exists()


def test_what_cannot_be_drawn_is_refused(folder, tmp_path, capsys):
    assert "none of the 10 classes" in refused(folder, "--y", "ten", capsys=capsys)
    assert "is not empty" in refused(folder, "--png", folder, capsys=capsys)
    assert "does not end in .npz" in refused(folder, "--npz", tmp_path / "a.txt", capsys=capsys)
    assert "holds no finished run" in refused(tmp_path, capsys=capsys)
    assert "at least 0.05" in refused(folder, "--truncation", "0", capsys=capsys)
    ring = tmp_path / "ring"
    gan.main(["--dataset", "ring", *QUICK, "--batch-size", "2500", "--out", str(ring)])
    assert "no images" in refused(ring, capsys=capsys)
    assert "without labels" in refused(ring, "--y", "1", capsys=capsys)
    sample.main([str(ring), "--n", "3", "--npz", str(tmp_path / "points.npz")])
    with np.load(tmp_path / "points.npz") as arrays:
        assert arrays["x"].shape == (3, 2) and "y" not in arrays
