"""curves.png, drawn from history.csv."""

import csv
import math


def draw_curves(out, pairs, ylabel):
    """Draw one panel for each pair (name, title) with the curve of val_name in it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(
        1, len(pairs), figsize=(4.2 * len(pairs), 3.4), squeeze=False, layout="constrained"
    )
    for axis, (name, title) in zip(axes[0], pairs, strict=True):
        _draw_panel(axis, rows, name)
        axis.set(title=title, xlabel="epoch", ylabel=ylabel)
    figure.savefig(out / "curves.png", dpi=120)
    pyplot.close(figure)


def _draw_panel(axis, rows, name):
    import numpy as np

    epochs = [int(row["epoch"]) + 1 for row in rows]
    marker = "." if len(epochs) <= 30 else None  # A line of one point is not seen.
    shown = []
    for key, label in ((name, "training"), (f"val_{name}", "validation")):
        if rows[0].get(key, "NA") != "NA":  # CSVLogger has columns for a validation never run.
            values = [float(row[key]) for row in rows]
            known = [(at, v) for at, v in zip(epochs, values, strict=True) if math.isfinite(v)]
            axis.plot([at for at, _ in known], [v for _, v in known], marker=marker, label=label)
            shown += [value for _, value in known]
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if shown:
        # The first epochs are far off, and would press the others into a line.
        low, high = np.percentile(shown, [2, 98])
        margin = 0.1 * (high - low) or 0.1 * abs(high) or 1
        axis.set_ylim(low - margin, high + margin)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
