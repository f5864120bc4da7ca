"""The pages that teach run as they stand, with the quick values that stand in them."""

import pathlib

import pytest
from matplotlib import pyplot

from train import tutorials

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = {path.relative_to(DOCS).as_posix(): path.read_text() for path in tutorials.teaching()}
OTHERS = {
    path.stem: path.read_text()
    for path in (DOCS / f"{name}.md" for name in ("coming_from", "contributing", "troubleshooting"))
}

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder to work in. The digits are prepared once for all."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.getbasetemp() / "tfds"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pyplot.close("all")


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_and_shows_what_it_prints_and_draws(page, folder):
    text = TUTORIALS[page]
    printed = tutorials.run(text, quick=True)
    shown = [output for not_run, _, output in tutorials.BLOCK.findall(text) if not not_run]
    assert [bool(output) for output in printed] == [bool(output) for output in shown]
    names = tutorials.pictures(text, pathlib.Path(page).stem)
    assert all((folder / f"{name}.png").exists() for name in names)


@pytest.mark.parametrize("page", OTHERS)
def test_a_page_runs(page):
    tutorials.run(OTHERS[page], quick=True)
