"""The curves of history.csv as panels: for plotly's zoom in the page, or drawn by matplotlib."""

import io
import math

import numpy as np

from keras_gen.report import images
from keras_gen.report.verdicts import BALANCE

# Title, unit, and the columns that share a panel; `val_` columns join those of the same name.
PANELS = (
    ("ELBO", "nats per image", ("elbo",)),
    ("Distortion", "nats per image", ("reconstruction",)),
    ("Rate", "nats per image", ("kl",)),
    ("Losses of the players", "", ("d_loss", "g_loss")),
    ("D on real images and on samples", "probability", ("p_real", "p_fake")),
    ("D on real images and on samples", "raw output", ("d_real", "d_fake")),
    ("Modes covered", "", ("modes", "modes_near")),
)
LABELS = {
    "d_loss": "discriminator",
    "g_loss": "generator",
    **{"p_real": "real", "p_fake": "samples", "d_real": "real", "d_fake": "samples"},
    **{"modes": "covered", "modes_near": "nearly covered"},
}
NOT_DRAWN = ("epoch", "loss", "val_loss")
MOST_PANELS = 12


def panels(run):
    """Return the panels of a run, as dictionaries for the page's script.

    Each has a title, a unit, its lines (label, y), the range of y that is shown first, and `text`,
    the numbers in words.
    """
    done, found = set(NOT_DRAWN), []
    if run.column("p_real"):
        done |= {"d_real", "d_fake", "val_d_real", "val_d_fake"}  # The same, less readable.
    others = [(name.replace("_", " "), "", (name,)) for name in run.history]
    for title, unit, names in (*PANELS, *others):
        columns = [f"{start}{name}" for name in names for start in ("", "val_")]
        columns = [name for name in columns if name not in done and run.column(name)]
        done |= set(columns)
        if columns and len(found) < MOST_PANELS:
            lines = [
                {"label": label(name, names), "y": _plain(run.column(name))} for name in columns
            ]
            found.append(_panel(title, unit, lines, [int(e) + 1 for e in run.history["epoch"]]))
            if "d_loss" in names:
                found[-1]["marks"] = BALANCE.get(run.arguments.get("loss"), ())
    return found


def label(column, names):
    is_held_out = column.startswith("val_")
    if len(names) == 1:
        return "held-out" if is_held_out else "training"
    return LABELS.get(column.removeprefix("val_"), column) + ", held-out" * is_held_out


def compared(runs):
    """Return panels with a line for each of [(name, run)], of held-out images where it can be."""
    found = []
    for title, unit, names in PANELS:
        for name in names:
            lines = [
                {"label": label, "y": _plain(y), "x": [int(e) + 1 for e in run.history["epoch"]]}
                for label, run in runs
                if (y := run.column(f"val_{name}") or run.column(name))
            ]
            if lines:
                title = title if len(names) == 1 else f"{title.split(',')[0]}, {LABELS[name]}"
                found.append(_panel(title, unit, lines, max((x["x"] for x in lines), key=len)))
    return found[:MOST_PANELS]


def _panel(title, unit, lines, epochs):
    text = []
    for line in lines:
        y = [value for value in line["y"] if value is not None]
        if y:
            text.append(
                f"{line['label']} from {y[0]:.4g} to {y[-1]:.4g}, in [{min(y):.4g}, {max(y):.4g}]"
            )
    return {
        "title": title,
        "unit": unit,
        "lines": lines,
        "x": epochs,
        "range": _first_range([value for line in lines for value in line["y"]]),
        "text": f"{title} over {len(epochs)} epochs: {'; '.join(text)}.",
    }


def _plain(values):
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _first_range(values):
    """Return the range of y that is shown: the first epochs are far off, and press the others."""
    values = [value for value in values if value is not None]
    if not values:
        return [0, 1]
    low, high = np.percentile(values, [2, 98])
    margin = 0.1 * (high - low) or 0.1 * abs(high) or 1
    return [float(low - margin), float(high + margin)]


def plotly():
    """Return the text of plotly's script, or None where it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    return get_plotlyjs()


def draw(panel):
    """Return a panel as matplotlib draws it, as a `data:` address; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    from PIL import Image

    figure = Figure(figsize=(5, 3.2), dpi=160, layout="constrained")
    axes = figure.subplots()
    for line in panel["lines"]:
        y = [math.nan if value is None else value for value in line["y"]]
        marker = "." if len(y) <= 30 else None  # A line of one point is not seen.
        axes.plot(line.get("x", panel["x"]), y, marker=marker, label=line["label"])
    for mark in panel.get("marks", ()):
        axes.axhline(mark, color="0.6", lw=0.8, ls=":")
    axes.set(xlabel="epoch", ylabel=panel["unit"], ylim=panel["range"])
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.spines[["top", "right"]].set_visible(False)
    # Not at the "best" place: seeking it warns where a machine is slow.
    figure.legend(loc="outside upper left", ncols=len(panel["lines"]), frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return images.address(Image.open(content).convert("RGB"))
