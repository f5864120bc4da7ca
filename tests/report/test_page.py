"""The page of a run and that of several, from folders made by hand."""

import base64
import html.parser
import io
import json
import os
import re
import sys

import numpy as np
import PIL.Image
import pytest

import keras_gen as kg
from keras_gen import files, pictures, report
from keras_gen.report import curves, images, page
from tests.report import folders

pytestmark = pytest.mark.once

HISTORY = {
    "elbo": folders.settling(40, -300, -130),
    "kl": folders.settling(40, 5, 12),
    "val_elbo": folders.settling(40, -290, -132),
    "val_kl": folders.settling(40, 5, 12),
}
METRICS = {"elbo": -132.5, "kl": 12.0, "reconstruction": 120.5, "loss": 132.5}


@pytest.fixture
def finished(tmp_path):
    facts = {"data": {"training": 1500, "shape": [28, 28, 1]}, "seconds": 61.0}
    return folders.write(tmp_path / "run", HISTORY, METRICS, facts, frames=5)


@pytest.fixture
def no_plotly(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)


class Page(html.parser.HTMLParser):
    """The tags of a page, its JSON, and its text without scripts and styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.data, self.text, self.inside = [], {}, "", None
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = self.tags[-1] if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside is None:
            self.text += text
        elif self.inside[1].get("type") == "application/json":
            self.data[self.inside[1]["id"]] = json.loads(text)

    def every(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_of_a_run_holds_its_numbers_pictures_and_command(finished, no_plotly):
    path = report.write(finished)
    assert path == finished / "report.html"
    found = Page(path)
    for text in ("-132.5", "No fault found", "1,500 to train on", "61 seconds", "latent_dim"):
        assert text in found.text
    assert f"KERAS_BACKEND=jax python -m train.vae --seed 0 --out {finished}-again" in found.text
    assert [epoch for epoch, _ in found.data["frames"]] == [0, 1, 2, 3, 4]
    assert all(picture["alt"] for picture in found.every("img"))
    assert all(
        picture["src"].startswith("data:image/webp;base64,") for picture in found.every("img")
    )


def test_nothing_is_loaded_from_elsewhere(finished):
    found = Page(report.write(finished))
    links = [a.get("src") or a.get("href") for _, a in found.tags if "src" in a or "href" in a]
    assert links and all(link.startswith("data:") for link in links)
    (policy,) = [m["content"] for m in found.every("meta") if "Policy" in m.get("http-equiv", "")]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("state", ["training", "finished"])
def test_only_the_page_of_a_run_that_trains_loads_itself_again(finished, no_plotly, state):
    found = Page(report.write(finished, state, seconds=17.3))
    (mark,) = [div for div in found.every("div") if div.get("id") == "page"]
    assert mark.get("data-reload") == ("17" if state == "training" else None)
    refreshes = [meta for meta in found.every("meta") if meta.get("http-equiv") == "refresh"]
    assert len(refreshes) == (state == "training")  # Without scripts, too.


def test_without_plotly_the_curves_are_drawn(finished, no_plotly):
    found = Page(report.write(finished))
    drawn = [picture for picture in found.every("img") if picture["alt"].startswith("ELBO over")]
    assert len(drawn) == 1 and "held-out from -290 to -132, best -132" in drawn[0]["alt"]
    assert "pip install plotly" in found.text and found.data["panels"] == []


def test_with_plotly_the_page_holds_the_numbers_of_the_curves(finished):
    pytest.importorskip("plotly")
    path = report.write(finished)
    elbo, rate = Page(path).data["panels"]
    assert [line["label"] for line in elbo["lines"]] == ["training", "held-out"]
    assert elbo["lines"][0]["x"] == list(range(1, 41)) and rate["lines"][1]["y"][0] == 5
    assert path.stat().st_size < 15e6


def test_what_a_stranger_names_is_text(tmp_path, no_plotly):
    evil = "<script>alert(1)</script>"
    path = folders.write(tmp_path / "a<b>&'", HISTORY, METRICS, frames=1, dataset=evil)
    facts = {"data": {"training": evil, "shape": evil}, "rows": {"nearest": evil}, "how": evil}
    (path / "report.json").write_text(json.dumps({**facts, "model": evil, "seconds": evil}))
    history = (path / "history.csv").read_text()
    (path / "history.csv").write_text(history.replace("val_kl", "</script>" + evil))
    folders.draw(path / "samples" / "nearest_0001.png")
    text = report.write(path).read_text()
    assert evil not in text and "</script><" not in text.replace("</script>\n<", "")
    assert "a&lt;b&gt;&amp;&#39;" in text


def test_a_film_has_at_most_60_frames_evenly_and_the_last(tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, frames=149)
    epochs = [epoch for epoch, _ in images.film(report.read(path).pictures("epoch"))]
    assert len(epochs) == 60 and epochs[0] == 0 and epochs[-1] == 148
    steps = {after - before for before, after in zip(epochs, epochs[1:], strict=False)}
    assert steps <= {2, 3}


def test_a_film_of_large_pictures_has_fewer_frames(tmp_path, monkeypatch):
    path = folders.write(tmp_path / "run", HISTORY, frames=40)
    monkeypatch.setattr(
        images, "FILM_BYTES", 16 * len(images.embed(path / "samples/epoch_0000.png"))
    )
    assert 10 <= len(images.film(report.read(path).pictures("epoch"))) <= 16


def test_pictures_that_are_large_together_are_made_smaller(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(256, size=(500, 500, 3)).astype("uint8")
    pictures.save_png(tmp_path / "noise.png", noise)
    of = {kind: [(0, tmp_path / "noise.png")] for kind in ("nearest", "manifold")}
    whole = sum(len(address) for _, address in images.newest(of).values())
    monkeypatch.setattr(images, "PICTURE_BYTES", whole - 1)
    smaller = sum(len(address) for _, address in images.newest(of).values())
    assert 0.64 * whole < smaller < 0.9 * whole  # 400 x 400 of 500 x 500 pixels, less even noise.


def test_pictures_that_are_none_are_left_out(tmp_path, no_plotly):
    path = folders.write(tmp_path / "run", HISTORY, METRICS, frames=2)
    (path / "samples" / "epoch_0001.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (path / "samples" / "epoch_0002.png").symlink_to(path / "samples" / "epoch_0000.png")
    assert [epoch for epoch, _ in Page(report.write(path)).data["frames"]] == [0]


def test_a_report_that_fails_leaves_the_last_one_whole(finished, no_plotly, monkeypatch):
    before = report.write(finished).read_text()

    def killed(self, *args, **kwargs):
        self.write_bytes(b"<!DOCTYPE")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(finished), "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        report.write(finished)
    assert (finished / "report.html").read_text() == before


def test_a_run_is_training_while_its_folder_is_locked(finished):
    (finished / "metrics.json").unlink()
    assert report.read(finished).state == "stopped"
    lock = files.Lock(finished)
    assert report.read(finished).state == "training"
    lock.release()
    (finished / "model.keras").write_text("weights")
    assert report.read(finished).state == "diverged"


def test_a_line_that_is_half_written_is_not_read(finished):
    with open(finished / "history.csv", "a") as file:
        file.write("40,-130.2,")
    assert report.read(finished).epochs == 40


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"arguments": 3}', '{"a": ' * 100_000, '{"arguments": {}, "versions": [1]}'],
)
def test_a_folder_that_no_script_has_left_is_refused(finished, content):
    (finished / "config.json").write_text(content)
    with pytest.raises(ValueError, match="config.json"):
        report.write(finished)
    assert not (finished / "report.html").exists()


def test_a_history_that_is_no_table_is_refused(finished):
    (finished / "history.csv").write_text("epoch,elbo\n0," + "1" * 200_000)
    with pytest.raises(ValueError, match="history.csv cannot be read as CSV"):
        report.read(finished)


def test_values_that_no_script_has_written_are_not_taken_for_numbers(tmp_path, no_plotly):
    path = folders.write(tmp_path / "run", HISTORY, {"elbo": 10**400, "kl": True}, loss=["a"])
    (path / "report.json").write_text(json.dumps({"seconds": 10**400, "samples": {"recall": [1]}}))
    found = Page(report.write(path))
    assert "e+" not in found.text and "-132" in found.text


def test_a_value_that_is_nan_is_a_gap(tmp_path):
    history = {"elbo": [-1.0, float("nan"), -2.0], "fid": ["NA"] * 3, "kl": ["inf", "nan", "inf"]}
    (panel,) = curves.panels(report.read(folders.write(tmp_path / "run", history)))
    assert panel["lines"][0]["y"] == [-1.0, None, -2.0]


def test_without_jinja2_the_error_says_what_to_install(finished, monkeypatch):
    page._templates.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match="pip install jinja2"):
        report.write(finished)


def test_a_collapsed_run_has_no_pictures_of_one_image_repeated(tmp_path, no_plotly):
    history = {"val_elbo": folders.settling(40, -290, -177), "val_kl": [1e-3] * 40}
    path = folders.write(tmp_path / "run", history, {"kl": 4e-4}, beta=40.0)
    folders.draw(path / "samples" / "traversals_0040.png")
    found = Page(report.write(path))
    assert "Left out: with a rate of 0.0004 nats per image" in found.text
    assert not any("Traversals" in picture["alt"] for picture in found.every("img"))
    assert "--beta 1" in found.text and ("b", {}) in found.tags  # What is changed is bold.


def test_the_lines_of_a_preview_are_text_and_the_picture_holds_the_images_alone(finished):
    kg.data.preview(np.zeros((9, 40, 40, 1), "float32"), finished / "preview.png", num_images=4)
    address, lines = images.preview(finished / "preview.png")
    assert lines[0] == "4 of 9 images, 40x40x1, float32"
    content = base64.b64decode(address.split(",")[1])
    with (
        PIL.Image.open(io.BytesIO(content)) as picture,
        PIL.Image.open(finished / "preview.png") as all_of_it,
    ):
        assert picture.height == all_of_it.height - pictures.LINE * len(lines)


def test_precision_above_that_of_real_images_has_its_remark_in_its_row(tmp_path, no_plotly):
    samples = {"n": 500, "precision": 0.95, "precision_floor": 0.9}
    path = folders.write(tmp_path / "run", HISTORY, METRICS, {"samples": samples})
    (row,) = re.findall(
        r"<tr><th[^>]*>precision.*?</tr>", report.write(path).read_text(), re.DOTALL
    )
    assert "Pixels favour blur" in row and "Above that of real images it is no merit" in row


def test_each_id_stands_once(finished, no_plotly):
    ids = re.findall(r'\bid="([^"]+)"', report.write(finished).read_text())
    assert len(ids) == len(set(ids)) > 5


def test_the_numbers_of_a_gan_stand_next_to_each_other_and_those_of_noise_are_left_out(
    tmp_path, no_plotly
):
    metrics = {"d_fake": -1.0, "d_loss": 1.2, "d_real": 1.0, "loss": 2.0, "p_fake": 0.4}
    metrics |= {"p_real": 0.6, "g_loss": 0.8}
    samples = {"precision": 0.0, "precision_floor": 0.9, "classes": 3, "classes_floor": 10}
    facts = {"samples": samples, "defaults": {**folders.GAN, "packing": 2}}
    path = folders.write(tmp_path / "run", None, metrics, facts, kind="gan")
    names = [row[0] for row in page.numbers(report.read(path))]
    assert names == ["d_loss", "g_loss", "p_real", "p_fake", "d_real", "d_fake"]
    text = Page(report.write(path)).text
    assert "of noise they say nothing" in text and "Differs from the defaults" in text
    assert "packing 1 (default 2)" in text and "of real images\n" not in text


def test_the_newest_picture_of_a_run_that_went_on_is_dated(tmp_path, no_plotly):
    path = folders.write(tmp_path / "run", HISTORY, frames=31, sample_every=6)
    found = Page(report.write(path))
    assert "Pictures are drawn every 6 epochs: that of epoch 30 is the newest of 40." in found.text
    assert f"KERAS_BACKEND=jax python -m train.vae --resume --out {path}" in found.text
    assert "A bound on log p(x): higher is better." in found.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_the_place_of_a_picture_is_none(tmp_path):
    os.mkfifo(tmp_path / "preview.png")
    assert images.preview(tmp_path / "preview.png") == (None, [])
    assert images.embed(tmp_path / "preview.png") is None
