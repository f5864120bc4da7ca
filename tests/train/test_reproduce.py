import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from scipy.special import logit, xlogy
from sklearn import linear_model

import keras_gen as kg
from train import studies, study
from train.reproduce import (
    codes,
    colors,
    few_images,
    likelihoods,
    minibatch,
    models,
    points,
    priors,
    rows,
    samplers,
    table,
    uses,
)

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
MNIST = ROOT.parent / "shared" / "data" / "tfds"


def reproduce(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "train.reproduce", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


needs_mnist = pytest.mark.skipif(not MNIST.exists(), reason=f"MNIST is not in {MNIST}")


@needs_mnist
def test_no_decoder_beats_the_entropy_of_grey_mnist():
    """45.53 nats on the test set: what the best logits, those of the pixels themselves, give."""
    _, test = kg.data.load("mnist", data_dir=MNIST, download=False)
    x = test.x.astype("float64")
    entropy = -(xlogy(x, x) + xlogy(1 - x, 1 - x)).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(entropy, 45.53, atol=0.005)
    logits = np.clip(logit(x), -50, 50).astype("float32")
    for shift, beaten in ((0.0, False), (0.2, True), (-0.2, True)):
        log_prob = kg.likelihoods.Bernoulli().log_prob(
            keras.ops.convert_to_tensor(test.x), keras.ops.convert_to_tensor(logits + shift)
        )
        reconstruction = -float(keras.ops.convert_to_numpy(log_prob).mean())
        if beaten:
            assert reconstruction > entropy + 0.1
        else:
            np.testing.assert_allclose(reconstruction, entropy, rtol=1e-5)


@pytest.mark.study
@needs_mnist
def test_the_vae_of_pytorchs_examples_reaches_its_published_elbo(tmp_path):
    """Three public logs end at 105.56 to 105.61 nats."""
    file = tmp_path / "rows.json"
    # It takes a third of the time on JAX.
    backend = "jax" if importlib.util.find_spec("jax") else keras.config.backend()
    environment = {"TFDS_DATA_DIR": str(MNIST), "KERAS_BACKEND": backend}
    process = reproduce("pytorch-vae", "--json", str(file), **environment)
    assert process.returncode == 0, process.stdout + process.stderr
    (row,) = json.loads(file.read_text())
    assert row.keys() == {"name", "quantity", "obtained", "published", "tolerance", "passed"}
    assert row["passed"] is True
    assert 105.2 < row["obtained"] < 106.0


@pytest.mark.study
@needs_mnist
def test_the_linear_vae_arrives_at_probabilistic_pca(tmp_path):
    """The closed forms' ELBO within .2 nat, from below, sigma^2 within 1%, and the plane."""
    file = tmp_path / "rows.json"
    process = reproduce("linear-vae", "--json", str(file), TFDS_DATA_DIR=str(MNIST))
    assert process.returncode == 0, process.stdout + process.stderr
    made = iter(json.loads(file.read_text()))
    for train, test, sigma2 in ((182.1547, 186.0241, 0.034867), (12.4277, 14.3601, 0.056096)):
        for closed_form in (train, test):
            row = next(made)
            assert row["published"] == pytest.approx(closed_form, abs=1e-4)
            assert closed_form - 0.2 < row["obtained"] < closed_form + 0.03
        assert next(made)["obtained"] == pytest.approx(sigma2, rel=0.01)
        assert next(made)["obtained"] > 0.999


@pytest.mark.study
@needs_mnist
@pytest.mark.parametrize("name", ["one-class-mnist", "denoise", "inpaint", "invert"])
def test_a_use_beats_what_stands_next_to_it(tmp_path, name):
    file = tmp_path / "rows.json"
    process = reproduce(name, "--json", str(file), TFDS_DATA_DIR=str(MNIST))
    assert process.returncode == 0, process.stdout + process.stderr
    assert all(row["passed"] for row in json.loads(file.read_text()))


def test_the_gaps_of_iwae_are_the_closed_forms(tmp_path):
    file = tmp_path / "rows.json"
    process = reproduce("iwae-gap", "--json", str(file))
    assert process.returncode == 0, process.stdout + process.stderr
    one, many, _ = json.loads(file.read_text())
    assert one["obtained"] == pytest.approx((math.log(2) - 1) / 2, abs=1e-4)
    assert many["obtained"] == pytest.approx((2 / math.sqrt(3) - 1) / 2, abs=0.02)


@pytest.mark.study
@needs_mnist
@pytest.mark.parametrize(
    "name", ["nll-20", "nll-50", "nll-ten-minutes", "burda-short", "burda-layers", "keras-vae"]
)
def test_the_likelihood_of_binarised_mnist(name):
    process = reproduce(name, TFDS_DATA_DIR=str(MNIST))
    assert process.returncode == 0, process.stdout + process.stderr


def test_a_row_is_held_to_its_number_from_the_right_side():
    assert [rows.Row("", "", x, 5.0, 1.0).passed for x in (3.9, 4.1, 5.9, 6.1)] == [0, 1, 1, 0]
    assert [rows.AtLeast("", "", x, 5.0).passed for x in (4.9, 5.0, 9.0)] == [0, 1, 1]
    assert [rows.AtMost("", "", x, 5.0).passed for x in (1.0, 5.0, 5.1)] == [1, 1, 0]


def test_the_linear_estimate_of_hidden_pixels_is_least_squares():
    # With the moments of the sample itself, it is the regression of hidden on visible values.
    x = np.random.default_rng(0).dirichlet([2.0] * 7, size=50)[:, :6].reshape(50, 2, 3, 1)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 0] = True
    estimate = uses.linear_inpaint(x, hidden, *uses.moments(x), ridge=0.0)
    visible, target = x[:, 1].reshape(50, 3), x[:, 0].reshape(50, 3)
    expected = linear_model.LinearRegression().fit(visible, target).predict(visible)
    np.testing.assert_allclose(estimate[:, 0].reshape(50, 3), np.clip(expected, 0, 1), atol=1e-9)
    np.testing.assert_array_equal(estimate[:, 1], x[:, 1])


def test_psnr_of_a_tenth_is_20_db():
    np.testing.assert_allclose(uses.psnr(np.full(4, 0.6), np.full(4, 0.5)), 20)


def test_a_run_on_points_that_has_a_row_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(points, "FILE", tmp_path / "runs.csv")
    run = ("ring", 3, "--epochs", "1", "--batch-size", "4096", "--hidden", "4")
    row = points.run(*run)
    assert (row["data"], row["seed"], row["steps"]) == ("ring", "3", "24")
    assert points.run(*run) == row
    assert len(points.FILE.read_text().splitlines()) == 2


def test_minibatch_discrimination_is_the_only_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(minibatch, "FILE", tmp_path / "runs.csv")
    monkeypatch.setattr(minibatch, "train", lambda kernels, seed: {"modes": 8 if kernels else seed})
    made = minibatch.minibatch(1)
    assert [(row.obtained, row.published) for row in made] == [(8, 1), (8, 2), (8, 3)]
    plain, compared = (minibatch.players(kernels)[1].count_params() for kernels in (None, (10, 5)))
    assert compared - plain == 128 * 10 * 5 + 10  # T, and ten weights of the last layer.


def test_without_a_name_it_lists_what_it_can_reproduce():
    process = reproduce()
    assert process.returncode == 0
    assert "pytorch-vae: The VAE of PyTorch's examples" in process.stdout


def test_the_table_of_the_page_is_what_the_runs_recorded():
    runs = json.loads(table.RECORD.read_text())
    assert table.markdown(runs) in table.PAGE.read_text()
    for by_backend in runs.values():
        for made in by_backend.values():
            assert all(math.isfinite(row["obtained"]) for row in made["rows"])


def test_a_run_is_recorded_beside_those_of_other_backends(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "RECORD", tmp_path / "reproduced.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "reproduced.md")
    table.PAGE.write_text(f"before\n{table.BEGIN}\n{table.END}\nafter\n")
    made = [rows.AtMost("b", "NLL, nats", 5.25, 5.0), rows.Row("one", "share", 1.0, 1.0, 0.1)]
    table.record("b", ["a", "b"], "jax", 0, 2.4, made)
    table.record("b", ["a", "b"], "torch", 0, 3.4, [rows.AtMost("b", "NLL, nats", 4.0, 5.0)] * 2)
    table.record("a", ["a", "b"], "jax", 0, 1.0, [rows.AtLeast("a", "PSNR", 20.0, 19.0)])
    assert table.PAGE.read_text().split("\n") == [
        "before",
        table.BEGIN,
        "| entry | quantity | expected | TensorFlow | JAX | PyTorch |",
        "|---|---|---|---|---|---|",
        "| `a` | PSNR | at least 19 |  | 20 |  |",
        "| | seconds | |  | 1 |  |",
        "| `b` | NLL, nats | at most 5 |  | 5.25 (missed) | 4 |",
        "|  | one: share | 1 +- 0.1 |  | 1 | 4 |",
        "| | seconds | |  | 2 | 3 |",
        table.END,
        "after",
        "",
    ]


def test_angles_between_planes():
    # The plane of (e1, e2) and that of (e1, cos t e2 + sin t e3), whatever spans them.
    t = 0.3
    A = np.eye(3)[:, :2] @ [[2.0, 1.0], [0.0, 3.0]]
    B = np.array([[1.0, 0.0], [0.0, np.cos(t)], [0.0, np.sin(t)]]) @ [[1.0, 5.0], [1.0, 0.0]]
    np.testing.assert_allclose(likelihoods.smallest_cosine(A, B), np.cos(t))
    np.testing.assert_allclose(likelihoods.smallest_cosine(A, -A), 1)


def test_augmentation_has_to_halve_the_gap_and_to_bring_the_samples_nearer(tmp_path, monkeypatch):
    monkeypatch.setattr(few_images, "FILE", tmp_path / "runs.csv")
    runs = {"none": {"gap": 4, "frechet_ratio": 30}, "adaptive": {"gap": 3, "frechet_ratio": 29}}
    monkeypatch.setattr(few_images, "train", lambda augment, seed, data: runs[augment])
    assert [row.passed for row in few_images.few_images(0)] == 3 * [False, True]
    # No run is repeated.
    runs["adaptive"] = {"gap": 2, "frechet_ratio": 31}
    assert [row.passed for row in few_images.few_images(0)] == 3 * [False, True]
    assert [row.passed for row in few_images.few_images(3)] == 3 * [True, False]


def test_samples_under_each_prior_are_rows_of_a_table_and_pictures(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((40, 8, 8, 1), dtype="float32")
    loaded = types.SimpleNamespace(x=x), None, None, np.zeros(5)
    scores = dict.fromkeys(study.SCORES, 1.0) | {"frechet_ratio": 3.0}
    page = tmp_path / "reproduced.md"
    page.write_text(f"before\n{samplers.BEGIN}\n{table.END}\nafter\n")
    monkeypatch.setattr(study, "load", lambda *_, **__: loaded)
    monkeypatch.setattr(study, "score", lambda dataset, fake, **_: {**scores, "recall": len(fake)})
    monkeypatch.setattr(table, "PAGE", page)
    for name, value in {
        **{"FILE": tmp_path / "samplers.csv", "PICTURES": tmp_path / "samplers", "SEEDS": 1},
        **{"EPOCHS": {"mnist": 1}, "PRIOR_EPOCHS": {"mnist": 1}, "SECOND_EXAMPLES": 40},
        **{"FILTERS": (4, 4), "D_FILTERS": (4,), "CODES": 4, "LATENT_DIM": 4},
    }.items():
        monkeypatch.setattr(samplers, name, value)
    names = ["N(0, I)", "two-stage", "VAE-GAN, mixture of 50, fitted", "VQ-GAN and its prior"]
    kept = {name: samplers.RECIPES[name] for name in names}
    monkeypatch.setattr(samplers, "RECIPES", kept)
    (row,) = samplers.samplers(0)
    assert (row.obtained, row.published) == (3.0, 1.5)
    for name, line in zip(names, page.read_text().splitlines()[4:], strict=False):
        assert line.startswith(f"| mnist | {name} | 1 | ")
        assert line.endswith("| 3.0 | 1.00 | 5.00 | 1.00 |")
    assert len(list((tmp_path / "samplers").glob("mnist_*_0.png"))) == len(names)
    (again,) = samplers.samplers(0)  # Nothing is trained twice.
    assert again.obtained == row.obtained and len(studies.rows(samplers.FILE)) == len(names)


def write_photos(folder):
    """Write twenty noisy images of 16 pixels of each of two classes."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            x = random.integers(0, 256, (16, 16, 3), dtype="uint8")
            kg.callbacks.save_png(folder / name / f"{i}.png", x)


@pytest.mark.once
def test_two_likelihoods_of_colours_are_compared(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos")
    ratios = iter([3.0, 2.0, 1.5, 1.5])  # Of N(0, I), then of a fitted flow.
    scores = dict.fromkeys(study.SCORES, 1.0)
    monkeypatch.setattr(study, "score", lambda *_: scores | {"frechet_ratio": next(ratios)})
    options = "--size", "32", "--epochs", "1", "--hidden", "4", "4", "--latent-dim", "4"
    for name, value in {
        **{"FILE": tmp_path / "colors.csv", "OPTIONS": options, "SEEDS": 1},
        "PRIORS": {"N(0, I)": ("standard_normal", None), "fitted": ("standard_normal", "flow")},
    }.items():
        monkeypatch.setattr(colors, name, value)
    found = colors.colors(0, str(tmp_path / "photos"))
    assert [(row.obtained, row.published) for row in found] == [(3.0, 2.0), (1.5, 1.5)]
    assert [row.passed for row in found] == [False, True]
    assert len(list((tmp_path / "colors").glob("photos_*_0.png"))) == 4
    assert len(studies.rows(colors.FILE)) == 4
    assert colors.colors(0, str(tmp_path / "photos"))[0].obtained == 3.0  # None is trained twice.
    with pytest.raises(ValueError, match="folder of images in folders: pass --dataset FOLDER"):
        colors.colors(0)


@pytest.mark.once
def test_every_model_is_a_row_and_a_picture(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((40, 8, 8, 1), dtype="float32")
    loaded = types.SimpleNamespace(x=x), types.SimpleNamespace(x=x[:10]), None, np.zeros(30)
    ratios = iter([4.0, 2.0, 5.0, 3.0])  # The denoiser has none.
    scores = dict.fromkeys(study.SCORES, 1.0)
    monkeypatch.setattr(study, "load", lambda *_: loaded)
    monkeypatch.setattr(study, "score", lambda *_: scores | {"frechet_ratio": next(ratios)})
    names = "Autoencoder", "DenoisingAutoencoder", "PPCA", "VQVAE", "GAN"
    (tmp_path / "gallery.md").write_text(f"before\n{models.BEGIN}\n{table.END}\nafter\n")
    for name, value in {
        **{"FILE": tmp_path / "studies" / "models.csv", "PAGE": tmp_path / "gallery.md"},
        **{"SHAPE": (8, 8, 1), "HIDDEN": (4,), "CODES": 4, "PRIOR_EPOCHS": 1},
        **{"EPOCHS": dict.fromkeys(names, 1), "BATCH_SIZE": 20},
        "MODELS": {name: models.MODELS[name] for name in names},
    }.items():
        monkeypatch.setattr(models, name, value)
    models.FILE.parent.mkdir()
    found = models.models(0)
    assert [(row.obtained, row.published) for row in found] == [(2.0, 4.0), (5.0, 4.0), (3.0, 4.0)]
    lines = models.PAGE.read_text().splitlines()
    for name, line in zip(names, lines[4:], strict=False):
        picture = f"studies/models/{name.lower()}_0.png"
        assert line.startswith(f"| `{name}` | 1 | ")
        assert f"![Digits of {name}]({picture})" in lines and (tmp_path / picture).exists()
    assert lines[5].endswith(" |  |  |  |  |")
    assert lines[8].endswith(" | 3.0 | 1.00 | 1.00 | 1.00 |")
    assert [row.obtained for row in models.models(0)] == [2.0, 5.0, 3.0]  # None is trained twice.


def test_codes_of_a_folder_are_counted_and_drawn(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos")
    for name, value in {
        **{"FILE": tmp_path / "codes.csv", "SIZE": 16, "FILTERS": (4, 4), "CODES": 4},
        **{"EPOCHS": 1, "PRIOR_EPOCHS": 1, "BATCH_SIZE": 8},
    }.items():
        monkeypatch.setattr(codes, name, value)
    perplexity, unused = codes.codes(0, str(tmp_path / "photos"))
    assert 1 <= perplexity.obtained <= 4 and perplexity.published == 2
    assert 0 <= unused.obtained <= 3 and unused.published == 0
    (row,) = studies.rows(codes.FILE)
    assert float(row["bits_of_codes"]) == 16 * 2  # A map of 4x4 codes of 2 bits.
    assert len(list((tmp_path / "codes").glob("photos_0*.png"))) == 2
    assert codes.codes(0, str(tmp_path / "photos"))[1].obtained == unused.obtained
    assert len(studies.rows(codes.FILE)) == 1  # Nothing is trained twice.
    with pytest.raises(ValueError, match="folder of images in folders: pass --dataset FOLDER"):
        codes.codes(0)


def test_the_vampprior_is_compared_with_the_normal_one(tmp_path, monkeypatch):
    x = (np.random.default_rng(0).random((40, 4, 4, 1)) < 0.5).astype("float32")
    data = [kg.data.ArrayDataset(x, batch_size=20, seed=0) for _ in range(2)]
    monkeypatch.setattr(kg.data, "load", lambda name, **settings: data)
    monkeypatch.setattr(priors, "FILE", tmp_path / "runs.csv")
    settings = {
        "SEEDS": 1,
        "K": 3,
        "EPOCHS": 1,
        "WARM_UP": 1,
        "NUM_SAMPLES": 20,
        "HIDDEN": 8,
        "LATENT_DIM": 2,
    }
    for name, value in settings.items():
        monkeypatch.setattr(priors, name, value)
    first, gain = priors.vamp(0)
    # An untrained model of 16 fair coins is near 16 log 2.
    np.testing.assert_allclose(first.obtained, 16 * np.log(2), rtol=0.15)
    # Every row is there, and none is made twice.
    monkeypatch.setattr(priors, "train", lambda *_: pytest.fail("a run was repeated"))
    assert [row.obtained for row in priors.vamp(0)] == [first.obtained, gain.obtained]
    assert abs(gain.obtained) < 1.5 and not gain.passed
