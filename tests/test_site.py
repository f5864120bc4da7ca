"""The site: its pages, its links to pictures, and an API that leaves no public name out."""

import inspect
import pathlib
import re

import pytest

import keras_gen as kg

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = (
    *("augment", "callbacks", "data", "features", "inference", "layers", "likelihoods", "losses"),
    *("metrics", "models", "networks", "posteriors", "priors", "schedules"),
)
# Helpers of the rooms, and densities that a prior or a posterior hands out by itself.
NOT_SHOWN = {
    *("get", "resolve", "plain", "check_integer", "elementwise", "log_prob"),
    *("NormalMixture", "PosteriorMixture", "UnitNormal", "Normal", "FullNormal"),
}


def public_names(room):
    module = getattr(kg, room)
    for name, value in vars(module).items():
        is_made_here = getattr(value, "__module__", "").startswith("keras_gen")
        if is_made_here and not name.startswith("_") and not inspect.ismodule(value):
            yield name


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_on_a_page_of_the_api(room):
    pages = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    shown = {line.rpartition(".")[2] for line in re.findall(r"^::: (\S+)", pages, re.M)}
    assert set(public_names(room)) - NOT_SHOWN <= shown


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    entries = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / ".mkdocs.yml").read_text(), re.M)
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(entries) == sorted(pages)


def test_pages_link_to_what_is_there():
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
