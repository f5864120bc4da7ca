"""Two devices do what one does: virtual ones, or two processes."""

import csv
import json

import keras
import pytest

from tests.faults import devices
from tests.faults.devices import TOLERANCE, launch

SECOND_ENGINE = {"tensorflow": "tensorflow workers", "jax": "jax processes"}


def results(engine, folder, *models):
    """What every process of `several.py` found."""
    ended = launch(engine, "tests.distribution.several", folder, *models)
    assert all(code == 0 for code, _ in ended), ended[0][1][-3000:] + ended[-1][1][-3000:]
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def found(folder):
    return results(keras.config.backend(), folder, *devices.MODELS)


def test_logs_and_weights_are_those_of_one_device(found):
    """Of a VAE with free bits; of a GAN with batch norm, a penalty, and layers across a batch; of a
    codebook; and of a VAE-GAN with its adaptive weight.
    """
    for each in found:
        assert each["devices"] == 2
        for model in devices.MODELS:
            assert each[model]["logs"] < TOLERANCE
            assert each[model]["weights"] < TOLERANCE


def test_each_device_draws_noise_and_dropout_of_its_own(found, backend):
    """The mean of two independent draws has half their variance, of two equal ones all of it."""
    for each in found:
        if backend == "jax":  # Draws for the whole batch, whatever the devices.
            assert abs(each["draws"]["loss"] - each["draws_alone"]["loss"]) < 1e-4
        else:
            assert abs(each["draws"]["noise_left"] - 0.5) < 0.05
            assert abs(each["draws"]["dropout_left"] - 0.5) < 0.05


def test_one_bad_part_stops_the_update_everywhere(found):
    for each in found:
        assert each["bad_part"] == [1, 0.0]


def test_the_probability_of_an_augmentation_is_the_same_on_every_device(found, backend):
    for each in found:
        assert each["adaptive"] == pytest.approx([0.24] * (1 if backend == "torch" else 2))


def test_what_cannot_be_shared_or_compiled_is_refused(found, backend):
    for each in found:
        said = each["refusals"]
        assert said["odd batch"].startswith("A batch of 7 examples cannot be shared equally by 2")
        assert said["odd rest"].startswith("A batch of 3 examples cannot be shared equally by 2")
        lacking = {name for name in said if said[name] and "odd" not in name}
        assert (
            lacking
            == {
                "tensorflow": {"jit_compile", "gradient_accumulation", "fit_prior"},
                "jax": {"fit_prior"},
                "torch": {"arrays", "fit_prior"},
            }[backend]
        )


def test_a_model_works_and_is_saved_among_devices_and_after(found):
    for each in found:
        uses = each["uses"]
        for name in ("loaded", "predict", "file", "after"):
            assert uses[name] < 1e-6
        assert uses["sample"] == [5, 8, 8, 1] and uses["log_likelihood"] == [6]
        steps, loss = uses["steps"]
        assert steps == 1 and 40 < loss < 50  # 64 pixels of 0.7 nats


def test_pictures_are_drawn_during_training(found, folder):
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert names == [f"epoch_000{epoch}.png" for epoch in range(3)]


def test_the_script_trains_on_two_devices(backend, tmp_path):
    script_trains(backend, tmp_path)


def script_trains(engine, tmp_path):
    arguments = ["--distribute", "--epochs", 2, "--hidden", 8, "--out", tmp_path / "run"]
    ended = launch(engine, "train.vae", *arguments)
    output = "".join(text for _, text in ended)
    assert all(code == 0 for code, _ in ended), output[-3000:]
    assert "shared by 2 device(s)" in output
    assert output.count("Epoch 1/2") == 1  # One process shows its progress.
    # 297 test images in batches of 128: the last one has 41.
    assert "Of the test set's last batch, 1 examples are left out" in output
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        first, second = (float(row["val_elbo"]) for row in csv.DictReader(file))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert second > first
    assert abs(metrics["elbo"] - second) < 5  # With another noise.


@pytest.mark.study
def test_two_processes_do_it_too(backend, tmp_path):
    if backend not in SECOND_ENGINE:
        pytest.skip("torch has no other way")
    script_trains(SECOND_ENGINE[backend], tmp_path)
    for each in results(SECOND_ENGINE[backend], tmp_path, "vae"):
        assert each["devices"] == 2
        assert max(each["vae"].values()) < TOLERANCE
        assert each["bad_part"] == [1, 0.0]
        assert bool(each["refusals"]["predict"]) == (backend == "jax")
        assert bool(each["refusals"]["arrays"]) == (backend == "jax")
        assert max(each["uses"][name] for name in ("loaded", "predict", "file", "after")) < 1e-6
