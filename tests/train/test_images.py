"""--dataset PATH: the scripts on images of one's own."""

import json
import re

import keras
import pytest
from matplotlib import image as png

from tests.data.test_folder import noise, photos, write
from train import evaluate, gan, vae

pytestmark = pytest.mark.once
CONV = ("--network", "conv", "--hidden", 4, 4)
SMALL = ("--epochs", 1, "--latent-dim", 2, "--batch-size", 8)


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "my photos", each=12)


def test_bernoulli_of_colours_names_the_option_that_suits_them(run_here, folder):
    arguments = ("--dataset", folder, "--size", 8, "--hidden", 4)
    process = run_here(vae, *SMALL, *arguments, "--likelihood", "bernoulli")
    assert process.returncode == 0, process.stderr
    assert "For colours try --likelihood discretized_logistic" in process.stdout
    process = run_here(vae, *SMALL, *arguments, "--channels", 1, "--overwrite")
    assert process.returncode == 0, process.stderr
    assert "For colours try" not in process.stdout


def test_a_vae_of_a_folder_with_its_preview_resumed_and_evaluated(run_here, folder, tmp_path):
    arguments = ("--dataset", folder, "--size", 8, "--conditional", "--flip", "--hidden", 4)
    process = run_here(vae, *SMALL, *arguments)
    assert process.returncode == 0, process.stderr
    assert "22 images to train on and 2 to test, 8x8x3, in 2 classes: cat, dog" in process.stdout
    out = tmp_path / "runs" / "vae"
    assert png.imread(out / "preview.png").std() > 0
    saved = json.loads((out / "config.json").read_text())["arguments"]
    assert (saved["dataset"], saved["size"], saved["flip"]) == (str(folder), [8], True)
    model = keras.saving.load_model(out / "model.keras")
    assert model.num_classes == 2 and model.sample(3, y=1).shape == (3, 8, 8, 3)
    process = run_here(evaluate, out, "--num-samples", 2, "--samples", 50)
    assert process.returncode == 0, process.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["evaluation"]["test_examples"] == 2
    assert metrics["evaluation"]["data_set"] == str(folder)
    assert f"names the images in {folder}, which are read now." in process.stdout

    # The folder has moved; in another one there are other classes.
    moved = folder.rename(tmp_path / "moved")
    process = run_here(evaluate, out, "--num-samples", 2)
    assert process.returncode == 2
    assert "Images that have moved: train.evaluate --dataset PATH." in process.stderr
    # One that was typed as a plain word might have been the name of a set.
    config = json.loads((out / "config.json").read_text())
    config["arguments"]["dataset"] = "pictures"
    (out / "config.json").write_text(json.dumps(config))
    process = run_here(evaluate, out, "--num-samples", 2)
    assert process.returncode == 2
    assert "There is no 'pictures' here. If it was a folder of images, pass" in process.stderr
    process = run_here(evaluate, out, "--num-samples", 2, "--dataset", moved)
    assert process.returncode == 0, process.stderr
    again = json.loads((out / "metrics.json").read_text())
    assert again["mutual_information"] == metrics["mutual_information"]
    assert again["evaluation"]["data_set"] == str(moved)
    other = photos(tmp_path / "other", classes=("cat", "cow"), each=12)
    process = run_here(evaluate, out, "--num-samples", 2, "--dataset", other)
    assert process.returncode == 2
    assert "has the classes cat, cow, and the model was trained on cat, dog." in process.stderr


def test_a_gan_of_a_folder_and_its_grey_half(run_here, folder, tmp_path):
    arguments = ("--dataset", folder, "--network", "mlp", "--size", 6, 8, "--channels", 1)
    process = run_here(gan, *SMALL, *arguments, "--examples", 9, "--no-cache")
    assert process.returncode == 0, process.stderr
    model = keras.saving.load_model(tmp_path / "runs" / "gan" / "model.keras")
    # The folders are classes, unless --no-conditional is said.
    assert model.num_classes == 2 and model.sample(3, y=1).shape == (3, 6, 8, 1)
    assert "labels of 2 classes, for both players" in process.stdout
    assert keras.ops.convert_to_numpy(model.optimizer.generator.iterations) == 1  # One full batch.
    process = run_here(gan, *SMALL, *arguments, "--no-conditional", "--overwrite")
    assert process.returncode == 0, process.stderr
    model = keras.saving.load_model(tmp_path / "runs" / "gan" / "model.keras")
    assert model.num_classes is None and "labels none" in process.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("--dataset", "my photos/cat", "--conditional"),
            "; or do without labels",
        ),
        (("--dataset", "empty"), "The folder 'empty' holds no images, and no files"),
        (
            ("--dataset", "my photos/cat/00.png"),
            "Pass a folder of images.*in Python also",
        ),
        (
            ("--dataset", "bad"),
            "(?s)'1.png' in '.*bad' cannot be read: it is no image.*set `skip_unreadable` to",
        ),
        (("--dataset", "my photos", "--size", 2, *CONV), "take fewer of them"),
        (("--dataset", "few"), "There are 1 different images among 1.* Add others"),
        (("--dataset", "sizes"), "others have .*Name one `size` for all, such as 64"),
    ],
)
def test_bad_folders_end_in_one_message(run_here, folder, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    write(tmp_path / "few" / "1.png")
    for height in (6, 8):
        write(tmp_path / "sizes" / f"{height}.png", noise(height))
    (tmp_path / "bad" / "1.png").write_text("text")
    process = run_here(vae, *SMALL, *arguments)
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert process.stderr.count("error: ") == 1
    assert re.search(message, process.stderr), process.stderr
    assert not (tmp_path / "runs").exists()
