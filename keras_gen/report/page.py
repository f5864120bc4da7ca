"""The pages: report.html of a run, and the comparison of several."""

import functools
import os
import pathlib
import time

from keras_gen import files
from keras_gen.metrics.samples import HIGHER_IS_BETTER, MEANINGS
from keras_gen.report import curves, images
from keras_gen.report.reading import is_number, read
from keras_gen.report.verdicts import judge

NAME = "report.html"
# In the order of the page. templates/report.html has their headings and captions.
PICTURES = ("reconstruction", "directions", "manifold", "scatter", "traversals", "interpolation")
PICTURES += ("nearest",)
# By which runs are compared if no metric is named: the first that any of them has.
BY_DEFAULT = ("frechet_ratio", "frechet", "modes", "elbo", "coverage", "recall")
RISES = {*HIGHER_IS_BETTER, "elbo", "modes", "modes_near", "high_quality", "classes"}
RISES |= {"active_units", "mutual_information"}


def write(folder, state=None, seconds=None):
    """Write report.html into the folder of a run, whole or not at all; return its path.

    Args:
        folder: where a training script writes.
        state: "training", "diverged" or "finished"; by default as the files say.
        seconds: between two pictures; the page of a run that is training loads itself as often.

    Raises:
        ValueError: There is no run.
        ImportError: Jinja2 is not installed.
    """
    run = read(folder, state)
    pictures = {kind: images.newest(run.pictures(kind)) for kind in PICTURES}
    if pictures["directions"]:
        pictures["traversals"] = None  # The same, sorted otherwise.
    pictures["preview"] = images.embed(run.path / "preview.png")
    return _write(
        run.path / NAME,
        "report.html",
        curves.panels(run),
        run=run,
        verdicts=judge(run),
        numbers=numbers(run),
        frames=images.film(run.pictures("epoch")),
        pictures={kind: picture for kind, picture in pictures.items() if picture},
        reload=min(60, max(5, round(seconds or 10))) if run.state == "training" else None,
        written=int(time.time()),
    )


def write_comparison(path, folders, by=None):
    """Write one page that compares runs, sorted by a metric; return its path.

    Raises:
        ValueError: There are fewer than two runs, or none of them has the metric.
        ImportError: Jinja2 is not installed.
    """
    path, runs = pathlib.Path(path), [read(folder) for folder in folders]
    if len(runs) < 2:
        raise ValueError("One run has nothing to be compared with. Name two or more.")
    rows = [{"run": run, "numbers": {row[0]: row[1] for row in numbers(run)}} for run in runs]
    metrics = list(dict.fromkeys(name for row in rows for name in row["numbers"]))
    by = by or next((name for name in BY_DEFAULT if name in metrics), None)
    if by is not None and by not in metrics:
        raise ValueError(f"No run has the metric {by}. Known are {', '.join(metrics) or 'none'}.")
    sign = -1 if by in RISES else 1
    rows.sort(key=lambda row: sign * row["numbers"].get(by, sign * float("inf")))
    same_name = len({run.name for run in runs}) < len(runs)
    for row in rows:
        run = row["run"]
        row["name"] = str(run.path) if same_name else run.name
        row["address"] = os.path.relpath(run.path / NAME, path.absolute().parent)
        row["verdict"] = judge(run)[0]
        row["picture"] = images.newest(run.pictures("epoch"))
    places = ("out", "overwrite", "sample_every")
    names = dict.fromkeys(name for run in runs for name in run.arguments if name not in places)
    settings = {name: [row["run"].arguments.get(name) for row in rows] for name in names}
    return _write(
        path,
        "comparison.html",
        curves.compared([(row["name"], row["run"]) for row in rows]),
        rows=rows,
        metrics=metrics,
        by=by,
        rises=RISES,
        differ={name: of for name, of in settings.items() if any(v != of[0] for v in of)},
    )


def numbers(run):
    """Return rows (name, value, floor, deviation) of the numbers of a run."""
    known = {k: v for k, v in run.facts.get("samples", {}).items() if k != "n"}
    names = [name.removeprefix("val_") for name in run.history if name != "epoch"]
    known |= {} if run.metrics else {name: run.last(name) for name in dict.fromkeys(names)}
    known |= run.metrics
    return [
        (name, value, known.get(f"{name}_floor"), known.get(f"{name}_sd"))
        for name, value in known.items()
        if is_number(value) and not name.endswith(("_sd", "_floor"))
    ]


def _write(path, template, panels, **values):
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
    return templates
