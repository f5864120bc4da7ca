"""The curves of history.csv as panels: for plotly's zoom in the page, or drawn by matplotlib."""

import math

import numpy as np

from keras_gen.report import images
from keras_gen.report.verdicts import BALANCE, LOG_2

# Title, unit, and the columns that share a panel; `val_` columns join those of the same name.
PANELS = (
    ("ELBO", "nats per image", ("elbo",)),
    ("Distortion", "nats per image", ("reconstruction",)),
    ("Rate", "nats per image", ("kl",)),
    ("Losses of D and G", "", ("d_loss", "g_loss")),
    ("D on real images and on samples", "probability", ("p_real", "p_fake")),
    ("D on real images and on samples", "raw output", ("d_real", "d_fake")),
    ("Modes covered", "", ("modes", "modes_near")),
)
LABELS = {
    "d_loss": "loss of D",
    "g_loss": "loss of G",
    **{"p_real": "real", "p_fake": "samples", "d_real": "real", "d_fake": "samples"},
    **{"modes": "covered", "modes_near": "nearly covered"},
}
MARKS = {2 * LOG_2: "2 log 2", LOG_2: "log 2", -LOG_2: "-log 2"}
BEST = {"elbo": max, "modes": max, "modes_near": max, "reconstruction": min}
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
            lines = [line(label(name, names), run, name) for name in columns]
            found.append(panel(title, unit, lines, BEST.get(names[0])))
            found[-1]["name"] = names[0]
            if "d_loss" in names:
                marks = dict.fromkeys(BALANCE.get(str(run.arguments.get("loss")), ()))
                found[-1]["marks"] = [(y, f"balance: {MARKS.get(y, f'{y:g}')}") for y in marks]
    return found


def label(column, names):
    is_held_out = column.startswith("val_")
    if len(names) == 1:
        return "held-out" if is_held_out else "training"
    return LABELS.get(column.removeprefix("val_"), column) + ", held-out" * is_held_out


def line(label, run, column):
    """Return a column of a run as a line of a panel; None where it is not finite."""
    y = [float(f"{v:.6g}") if math.isfinite(v) else None for v in run.column(column)]
    return {"label": label, "x": [int(epoch) + 1 for epoch in run.history["epoch"]], "y": y}


def panel(title, unit, lines, best=None):
    """Return a panel; `best` is max, min, or None where no value is better than another."""
    words, seen = [], []
    for each in lines:
        y = [value for value in each["y"] if value is not None]
        seen += y
        extreme = f"best {best(y):.4g}" if best else f"between {min(y):.4g} and {max(y):.4g}"
        words.append(f"{each['label']} from {y[0]:.4g} to {y[-1]:.4g}, {extreme}")
    epochs = max(len(each["x"]) for each in lines)
    text = f"{title} over {epochs} epoch{'s' * (epochs != 1)}: {'; '.join(words)}."
    return {"title": title, "unit": unit, "lines": lines, "range": _range(seen), "text": text}


def _range(values):
    """Return the range of y that is shown: the first epochs are far off, and press the others."""
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
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    from PIL import Image

    # Margins by hand: matplotlib's own layout draws everything twice.
    figure = Figure(figsize=(5, 3.2), dpi=120)
    axes = figure.add_axes((0.15, 0.15, 0.82, 0.73))
    for line in panel["lines"]:
        y = [math.nan if value is None else value for value in line["y"]]
        marker = "." if len(y) <= 30 else None  # A line of one point is not seen.
        axes.plot(line["x"], y, marker=marker, label=line["label"])
    for mark, words in panel.get("marks", ()):
        axes.axhline(mark, color="0.6", lw=0.8, ls="--")
        axes.text(1, mark, words, transform=axes.get_yaxis_transform(), ha="right", va="bottom")
    axes.set(xlabel="epoch", ylabel=panel["unit"], ylim=panel["range"])
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.spines[["top", "right"]].set_visible(False)
    # Not at the "best" place: seeking it warns where a machine is slow.
    figure.legend(loc="upper center", ncols=len(panel["lines"]), frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return images.address(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
