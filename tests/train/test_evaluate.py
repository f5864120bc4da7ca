"""The script measures what a training script has left."""

import json

import keras
import numpy as np
import pytest

from keras_gen import data, load_run, priors
from train import evaluate, gan, vae

pytestmark = pytest.mark.once

PIXELS = ["--features", "pixels", "--samples", "200"]  # No classifier is trained.


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_vae_is_measured_beside_its_floor(tmp_path, data_dir, capsys):
    arguments = ["--hidden", "16", "--latent-dim", "3", "--epochs", "2", "--data-dir", data_dir]
    vae.main([*arguments, "--out", str(tmp_path / "run")])
    before = numbers(tmp_path / "run")
    quick = ["--num-samples", "50", "--num-examples", "20", "--data-dir", data_dir, *PIXELS]
    evaluate.main([str(tmp_path / "run"), *quick])
    after = numbers(tmp_path / "run")
    # What was there stays, but for fresh draws of z.
    assert after["loss"] == pytest.approx(before["loss"], rel=0.05)
    assert after["kl"] == pytest.approx(
        after["mutual_information"] + after["aggregate_kl"], abs=1e-3
    )
    mean, log_var = load_run(tmp_path / "run").model.encode(
        data.load("digits", data_dir=data_dir)[1].x
    )
    assert after["active_units"] == np.count_nonzero(mean.var(axis=0, ddof=1) > 0.01)
    _, test = data.load("digits", data_dir=data_dir)
    x = test.x.astype("float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        coins = -np.nan_to_num(x * np.log(x)) - np.nan_to_num((1 - x) * np.log(1 - x))
    assert after["reconstruction_floor"] == pytest.approx(coins.sum() / len(x))
    assert after["reconstruction"] > after["reconstruction_floor"]
    # More draws are a better bound: the likelihood is not below the ELBO of the same images.
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    elbo = model.evaluate(test.x[:20], verbose=0, return_dict=True)["elbo"]
    assert -after["nll"] > elbo
    assert ("nll_standard_error" in after) == (after["nll_unknown_error"] < 1)
    assert after["evaluation"]["pixels"] == "between 0 and 1"
    assert after["evaluation"]["importance_samples"] == 50
    assert f"{after['nll']:.4f}" in capsys.readouterr().out
    # The same seed draws the same, and a fitted prior is nearer to the codes.
    evaluate.main([str(tmp_path / "run"), *quick, "--fit-prior", "mixture"])
    fitted = numbers(tmp_path / "run")
    assert fitted["mutual_information"] == after["mutual_information"]
    assert fitted["aggregate_kl"] < after["aggregate_kl"]
    assert fitted["evaluation"]["fitted_prior"] == "mixture"
    with_prior = keras.saving.load_model(tmp_path / "run" / "fitted_prior.keras")
    assert isinstance(with_prior.prior, priors.Mixture)


def test_a_gan_of_points_is_measured_beside_a_perfect_sampler(tmp_path, monkeypatch):
    ring = data.ring
    monkeypatch.setattr(
        data, "ring", lambda num_examples=512, **kwargs: ring(min(num_examples, 512), **kwargs)
    )
    out = tmp_path / "run"
    gan.main(["--dataset", "ring", "--epochs", "1", "--out", str(out)])
    evaluate.main([str(out), "--samples", "200"])
    after = numbers(out)
    model = load_run(out).model
    z = np.random.default_rng(0).standard_normal((2500, *model.latent_shape)).astype("float32")
    images = model.generate(z, ema=after["evaluation"]["samples_weights"] == "averaged")
    centres = np.stack([f(np.arange(8) * np.pi / 4) for f in (np.cos, np.sin)], axis=1)
    distances = np.linalg.norm(images[:, None] - centres, axis=-1)
    # Within 3 sigma, give or take what rounding does to a sample at the edge.
    near = [distances.min(axis=1) <= limit * 0.01 for limit in (2.9, 3.1)]
    low, high = (len(np.unique(distances[rows].argmin(axis=1))) for rows in near)
    assert low <= after["modes"] <= high
    assert near[0].mean() <= after["high_quality"] <= near[1].mean()
    assert after["perfect_high_quality"] == pytest.approx(0.98889, abs=1e-5)
    assert after["evaluation"]["generator_weights"] == "raw"


def test_a_gan_of_images_is_measured_on_the_test_set(tmp_path, data_dir):
    out = tmp_path / "run"
    quick = ["--network", "mlp", "--batch-size", "256", "--epochs", "1", "--data-dir", data_dir]
    gan.main([*quick, "--out", str(out)])
    trained = numbers(out)
    evaluate.main([str(out), "--data-dir", data_dir, *PIXELS])
    measured = numbers(out)
    assert measured["evaluation"]["data_set"] == "digits"
    # The digits to test are more than the 80 that a fifth of the samples needs.
    how = {"features": "Pixels", "n_real": 40, "n_fake": 40, "draws": 5, "real_examples": "test"}
    assert how.items() <= measured["evaluation"].items()
    assert measured["frechet"] > measured["frechet_floor"] > 0
    assert measured["frechet_ratio"] == pytest.approx(
        measured["frechet"] / measured["frechet_floor"]
    )
    # Noise has no digit near it, and two halves of the digits have each other.
    assert measured["recall"] == measured["coverage"] == 0 < 0.5 < measured["coverage_floor"]
    assert trained["d_loss"] != measured["d_loss"] > 0


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([str(tmp_path)])
    assert stopped.value.code == 2
    assert "it has no config.json and no model.keras" in capsys.readouterr().err
