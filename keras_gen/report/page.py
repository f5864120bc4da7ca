"""report.html of a run."""

import functools
import pathlib
import time

from keras_gen import files
from keras_gen.metrics.samples import MEANINGS
from keras_gen.report import advice, curves, images
from keras_gen.report.figures import is_noise, is_of_pixels
from keras_gen.report.reading import is_number, read
from keras_gen.report.verdicts import judge, posterior_collapsed

NAME = "report.html"
# In the order of the page. templates/report.html has their headings and captions.
PICTURES = ("reconstruction", "directions", "manifold", "scatter", "traversals", "interpolation")
PICTURES += ("nearest",)
OF_Z = ("directions", "manifold", "traversals", "interpolation")
FLAT_RATE = 0.1  # Nats: below it pictures along z are the same image everywhere.
# Rows of the numbers that stand first, next to each other; of the others a run's order is kept.
ORDER = ("elbo", "reconstruction", "kl", "d_loss", "g_loss", "p_real", "p_fake", "d_real", "d_fake")
# The same words as over the curves and in the verdicts.
NAMES = {
    **{"elbo": "ELBO", "reconstruction": "distortion (reconstruction)", "kl": "rate (kl)"},
    **{"d_loss": "loss of D", "g_loss": "loss of G"},
    **{"p_real": "D on real images", "p_fake": "D on samples"},
    **{"d_real": "D on real images, raw", "d_fake": "D on samples, raw"},
}


def write(folder, state=None, seconds=None, defaults=None):
    """Write report.html into the folder of a run, whole or not at all; return its path.

    Args:
        folder: where a training script writes; ValueError if it holds no run.
        state: "training", "diverged" or "finished"; by default as the files say.
        seconds: between two pictures; the page of a run that is training loads itself as often.
        defaults: of the script's arguments, where report.json does not hold them.
    """
    run = read(folder, state, defaults)
    kinds = [kind for kind in PICTURES if run.pictures(kind)]
    if "directions" in kinds and "traversals" in kinds:
        kinds.remove("traversals")  # The same, sorted otherwise.
    is_flat = posterior_collapsed(run) is not None and run.last("kl") < FLAT_RATE
    flat = [kind for kind in kinds if kind in OF_Z] if is_flat else []
    preview, notes = images.preview(run.path / "preview.png")
    return render(
        run.path / NAME,
        "report.html",
        curves.panels(run),
        run=run,
        verdicts=judge(run),
        numbers=numbers(run),
        is_noise=is_noise(run),
        is_of_pixels=is_of_pixels(run),
        advice=advice,
        frames=images.film(run.pictures("epoch")),
        pictures=images.newest({kind: run.pictures(kind) for kind in kinds if kind not in flat}),
        flat=flat,
        preview=preview,
        notes=notes,
        reload=min(60, max(5, round(seconds or 10))) if run.state == "training" else None,
        written=int(time.time()),
    )


def numbers(run):
    """Return rows (name, value, floor, deviation) of the numbers of a run."""
    samples = {} if is_noise(run) else run.facts.get("samples", {})  # Of noise they say nothing.
    known = {k: v for k, v in samples.items() if k != "n"}
    names = [name.removeprefix("val_") for name in run.history if name != "epoch"]
    known |= {} if run.metrics else {name: run.last(name) for name in dict.fromkeys(names)}
    known |= run.metrics
    if run.kind == "gan":
        known.pop("loss", None)  # The sum of the players' losses says nothing.
    known = {
        name: known[name] for name in sorted(known, key=lambda name: (*ORDER, name).index(name))
    }
    return [
        (name, value, known.get(f"{name}_floor"), known.get(f"{name}_sd"))
        for name, value in known.items()
        if is_number(value) and not name.endswith(("_sd", "_floor"))
    ]


def render(path, template, panels, **values):
    """Write a page, whole or not at all, from a file of templates/; return its path."""
    script = curves.plotly() if panels else None
    text = (
        _templates()
        .get_template(template)
        .render(
            panels=panels,
            plotly=script,
            drawn=[None if script else curves.draw(panel) for panel in panels],
            meanings=MEANINGS,
            **values,
        )
    )
    with files.whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="replace")
    return path


def _number(value):
    if not is_number(value):
        return ""
    is_count = isinstance(value, int) or abs(value) >= 1e4
    return f"{value:,.0f}" if is_count else f"{value:.4g}"


@functools.cache
def _templates():
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("A report needs Jinja2: pip install jinja2") from error
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    # Names of folders, classes and files are a user's, or a stranger's: all are escaped.
    templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    templates.filters["number"] = _number
    templates.filters["named"] = lambda name: NAMES.get(name, name.replace("_", " "))
    return templates
