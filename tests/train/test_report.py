"""The command, the report that a run writes, and what it shows that needs the model."""

import argparse
import json
import types

import keras
import numpy as np
import pytest

import keras_gen as kg
import keras_gen.report
from tests.report import folders
from tests.report.test_page import HISTORY, Page
from train import config, defaults, gan, looks, report, reporting, vae

pytestmark = pytest.mark.once

METRICS = {"elbo": -130.0, "kl": 12.0}


@pytest.fixture(scope="module")
def digits():
    """Ten classes of 4x4 images: a bright row, column or corner each, with a little noise."""
    random = np.random.default_rng(0)
    patterns = random.integers(2, size=(10, 4, 4, 1))
    y = np.arange(600) % 10
    x = np.clip(patterns[y] + 0.1 * random.random((600, 4, 4, 1)), 0, 1).astype("float32")
    return kg.data.ArrayDataset(x, y, labels=False), kg.data.ArrayDataset(x[:100], y[:100])


class Sampler:
    """A model that returns examples of its training data."""

    num_classes, example_shape = None, (4, 4, 1)

    def __init__(self, x):
        self.x = x

    def sample(self, n, seed):
        return np.resize(self.x, (n, *self.x.shape[1:]))


def settings(**values):
    return argparse.Namespace(seed=0, dataset="digits", **values)


def test_of_a_model_that_returns_all_classes_all_are_counted_and_of_one_that_returns_one(digits):
    train, test = digits
    facts = looks.measure(settings(), Sampler(train.x), train, test)
    assert (facts["classes"], facts["classes_floor"], facts["n"]) == (10, 10, 500)
    assert facts["recall"] >= 0.9 * facts["recall_floor"]
    facts = looks.measure(settings(), Sampler(train.x[train.y == 3]), train, test)
    assert facts["classes"] == 1 and facts["recall"] < 0.2 * facts["recall_floor"]


def test_below_a_sample_stand_the_training_images_that_are_nearest(digits):
    train, test = digits
    images, columns, _, caption = looks.nearest(settings(), Sampler(train.x[20:36]), train, test)
    assert columns == 8 and images.shape == (48, 4, 4, 1) and "of 600" in caption
    samples, first, second = images[:8], images[8:16], images[16:24]
    np.testing.assert_array_equal(samples, train.x[20:28])
    np.testing.assert_array_equal(first, samples)
    for sample, other in zip(samples, second, strict=True):
        distances = np.sort([np.sum((sample - x) ** 2) for x in train.x])
        assert np.sum((sample - other) ** 2) == pytest.approx(distances[1], rel=1e-4)


def linear_gan(scale):
    """A GAN whose generator is linear: z_k changes four pixels of a row by scale[k]."""
    kernel = np.kron(np.diag(scale), np.ones(4))
    z = keras.Input((4,))
    x = keras.layers.Reshape((4, 4, 1))(keras.layers.Dense(16, use_bias=False)(z))
    generator = keras.Model(z, x)
    generator.set_weights([kernel])
    image = keras.Input((4, 4, 1))
    discriminator = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image)))
    return kg.GAN(generator, discriminator, latent_dim=4)


def test_directions_of_a_gan_are_sorted_by_how_much_they_change_the_pixels():
    scale = np.array([0.5, 4.0, 1.0, 2.0])
    images, steps, _, caption = looks.directions(settings(), linear_gan(scale), None, None)
    rows = images.reshape(4, steps, 4, 4)
    changed = np.ptp(rows, axis=1).mean(axis=-1)  # (directions, rows of the image)
    assert changed.argmax(axis=1).tolist() == [1, 3, 2, 0]
    shares = (np.sort(scale**2)[::-1] / np.sum(scale**2) * 100).round().astype(int)
    found = [int(text.strip(" .%")) for text in caption.split(": ")[-1].split(",")]
    np.testing.assert_allclose(found, shares, atol=6)  # From 500 draws of z.


def test_directions_of_a_vae_are_its_latents_sorted_by_their_kl(digits):
    vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), latent_dim=5, hidden=(8,)))
    images, steps, _, caption = looks.directions(settings(), vae, *digits)
    mean, log_var = vae.encode(digits[1].x)
    kl = np.mean(0.5 * (mean**2 + np.exp(log_var) - 1 - log_var), axis=0)
    order = np.argsort(-kl)
    assert caption.endswith(", ".join(f"z_{k + 1}: {kl[k]:.2f}" for k in order) + ".")
    z = np.tile(mean.mean(axis=0), (steps, 1))
    z[:, order[0]] = kg.callbacks.latents.quantiles(steps)
    np.testing.assert_allclose(images[:steps], vae.generate(z), atol=1e-5)


def test_the_command_writes_the_report_of_a_run_and_says_the_verdict(run_here, tmp_path):
    folders.write(tmp_path / "a", {"elbo": [-200.0, -150.0]}, METRICS, frames=2)
    process = run_here(report, "a")
    assert process.returncode == 0
    assert process.stdout.startswith("a/report.html: ")
    assert "<h1>a</h1>" in (tmp_path / "a" / "report.html").read_text()
    assert run_here(report, "a", "--sort", "elbo").returncode == 2


def test_of_several_runs_the_command_writes_one_page_more(run_here, tmp_path):
    for name in "abc":
        folders.write(tmp_path / name, {"elbo": [-200.0, -150.0]}, METRICS)
    process = run_here(report, "a", "b", "c", "--sort", "kl", "--out", "all.html")
    assert process.returncode == 0 and process.stdout.endswith("all.html\n")
    assert "3 runs compared" in (tmp_path / "all.html").read_text()
    assert all((tmp_path / name / "report.html").exists() for name in "abc")


@pytest.mark.parametrize(("by", "order"), [(None, "bca"), ("elbo", "bca"), ("kl", "cba")])
def test_runs_are_compared_in_the_order_of_a_metric(tmp_path, by, order):
    for name, elbo, kl in (("a", -150.0, 9.0), ("b", -120.0, 8.0), ("c", -130.0, 7.0)):
        numbers = {"elbo": elbo, "kl": kl}
        folders.write(tmp_path / name, HISTORY, numbers, frames=2, latent_dim=ord(name))
    path = report.write_comparison(tmp_path / "c.html", [tmp_path / name for name in "abc"], by)
    found = Page(path)
    assert [a["href"][0] for a in found.every("a")] == list(order)
    assert len(found.every("img")) == 3 and "latent_dim" in found.text
    assert "learning_rate" not in found.text  # It is the same in all.
    with pytest.raises(ValueError, match="No run has the metric fid. Known are elbo, kl"):
        report.write_comparison(path, [tmp_path / "a", tmp_path / "b"], "fid")


def test_a_folder_without_a_run_is_an_error_of_one_line(run_here, tmp_path):
    (tmp_path / "empty").mkdir()
    process = run_here(report, "empty")
    assert process.returncode == 2 and "empty holds no run" in process.stderr


@pytest.mark.parametrize(
    ("costs", "written"),
    [(0, [1, 0, 1, 0, 1, 0, 1]), (2.9, [1, 0, 1, 0, 1, 0, 1]), (8, [1, 0, 0, 0, 0, 0, 1])],
)
def test_a_report_is_written_at_pictures_as_often_as_costs_three_percent(
    tmp_path, monkeypatch, costs, written
):
    """Before the first epoch, then at each second one; an epoch takes 50 seconds."""
    out = folders.write(tmp_path / "run", {"elbo": [-200.0]})
    clock = types.SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    states = []

    def write(folder, state, seconds):
        states.append(state)
        clock.now += costs

    monkeypatch.setattr(reporting, "time", clock)
    monkeypatch.setattr(kg.report, "write", write)
    (out / "report.json").write_text('{"seconds": 1000}')  # Of the part before a kill.
    callback = reporting.Report(out, 2, {"model": "VAE"}).callback()
    callback.on_train_begin(None)
    found = []
    for epoch in range(6):
        callback.on_epoch_begin(epoch, None)
        found += [len(states)] if epoch == 0 else []
        clock.now += 50
        callback.on_epoch_end(epoch, None)
        found.append(len(states))
    assert np.diff([0, *found]).tolist() == written
    assert set(states) == {"training"}
    assert json.loads((out / "report.json").read_text())["seconds"] >= 1200


def test_a_run_ends_well_without_its_last_pictures(tmp_path, capsys):
    out = folders.write(tmp_path / "run", {"elbo": [-200.0]}, METRICS)

    def take():
        raise RuntimeError("no memory")

    reporting.Report(out, 1, {}).finish(take)
    assert "goes without its last pictures: no memory" in capsys.readouterr().out
    assert "finished" in (out / "report.html").read_text()


def test_a_run_goes_on_without_its_report(tmp_path, capsys, monkeypatch):
    out = folders.write(tmp_path / "run", {"elbo": [-200.0]})
    (out / "config.json").write_text("[]")
    for _ in range(2):
        page = reporting.Report(out, 1, {})
        page.write("training")
        page.write("training")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and all(line.startswith("report.html is not written: ") for line in said)


@pytest.mark.parametrize(
    ("script", "typed", "differs"),
    [
        (vae, "", {}),
        (vae, "--beta 30 --epochs 30", {"beta": (30.0, 1.0), "epochs": (30, 150)}),
        (vae, "--network conv --seed 3", {"network": ("conv", "mlp")}),
        (gan, "--dataset ring", {}),
        (gan, "--recipe r3gan", {"recipe": ("r3gan", None)}),
        (gan, "--augment diff_augment", {"augment": ("diff_augment", "none")}),
        (gan, "--no-conditional", {"conditional": (False, True)}),
        (gan, "--dataset mnist --epochs 9", {"epochs": (9, 8)}),
    ],
)
def test_a_setting_differs_from_the_default_if_it_was_typed(script, typed, differs):
    args = script.make_parser().parse_args(typed.split())
    script.fill_in(args)
    name = script.__name__.removeprefix("train.")
    content = {"command": f"python -m train.{name} {typed}", "arguments": config.arguments(args)}
    found = defaults.of_run(content)
    own = content["arguments"]
    assert {k: (own[k], v) for k, v in found.items() if own[k] != v} == differs


@pytest.mark.parametrize(("script", "epochs"), [(vae, 2000), (gan, 3000)])
def test_a_folders_default_is_so_many_steps(script, epochs, tmp_path):
    # 80 images in batches of 32: 3 of a VAE, and the 2 that are full of a GAN.
    typed = ["--dataset", str(tmp_path), "--batch-size", "32"]
    args = script.make_parser().parse_args(typed)
    script.fill_in(args)
    name = script.__name__.removeprefix("train.")
    typed = f"python -m train.{name} {' '.join(typed)}"
    content = {"command": typed, "arguments": config.arguments(args)}
    assert defaults.of_run(content, 80)["epochs"] == epochs


def test_directions_that_change_nothing_are_not_shown():
    images, steps, _, caption = looks.directions(
        settings(), linear_gan([4.0, 0, 2.0, 0]), None, None
    )
    assert len(images) == 2 * steps and caption.count("%") == 2


@pytest.mark.parametrize("text", ["[]", "{", '{"seconds": null}', '{"seconds": "a"}'])
def test_a_damaged_file_of_facts_ends_no_run(text, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_gen.report, "write", lambda *_, **__: None)
    (tmp_path / "report.json").write_text(text)
    callback = reporting.Report(tmp_path, 1, {}).callback()
    callback.on_train_begin(None)
    callback.on_epoch_begin(0, None)
    assert json.loads((tmp_path / "report.json").read_text())["seconds"] < 60


def test_large_images_are_not_all_read_for_their_neighbours():
    class Large:
        num_examples, y, images = 100_000, None, np.zeros((1, 512, 512, 3), "uint8")

        def examples(self, rows):
            return np.zeros((len(rows), 1))

    assert len(looks._training(Large())[0]) * 512 * 512 * 3 <= looks.MOST_VALUES
