"""Measure how time and memory grow with one size at a time, and draw it.

The sizes are the batch, the image, the latent, the draws of an IWAE, data in memory and data on
disk. Each point runs in a process of its own; its memory is the machine's, not a GPU's. Next to
each curve stands its largest relative distance from the nearest straight line. Data in memory and
on disk are 64x64 images in batches of 256, and one whole pass is timed. Data on disk, up to 4 GB,
are written to the temporary folder first and deleted afterwards.
"""

import argparse
import json
import tempfile

from train import options
from train.benchmark.processes import BACKENDS, Worker, exit_on_sigterm, installed, machine

# axis: title, unit, values
AXES = {
    "batch": ("batch of an MLP VAE", "images a batch", [64, 128, 256, 512, 1024]),
    "pixels": ("image of a convolutional VAE", "pixels an image", [16**2, 32**2, 64**2, 96**2]),
    "latent": ("latents of an MLP VAE", "latents", [2, 64, 256, 1024]),
    "k": ("draws of an IWAE", "draws k", [1, 10, 50, 100]),
    "in_memory": ("data in memory", "GB", [0.25, 0.5, 1, 2]),
    "streamed": ("data on disk", "GB", [0.25, 1, 2, 4]),
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m train.benchmark.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(
            f"{axis}: {title}, {unit}: {', '.join(map(str, values))}"
            for axis, (title, unit, values) in AXES.items()
        ),
    )
    parser.add_argument("axis", nargs="*", help="default: all")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="default: all installed"
    )
    add = parser.add_argument
    file = {"type": options.output_file, "metavar": "FILE"}
    add("--steps", type=options.positive, default=50, help="batches of a round (default: 50)")
    add("--json", **file, help="write the points there")
    add("--picture", **file, help="draw the curves there, a PNG")
    args = parser.parse_args(argv)
    unknown = set(args.axis) - set(AXES)
    if unknown:
        parser.error(f"nothing called {', '.join(sorted(unknown))}: there are {', '.join(AXES)}")
    backends = args.backend or [name for name in BACKENDS if installed(name)]

    print(f"{machine()}; medians of 3 rounds of {args.steps} steps; for data one pass\n")
    print("| size | backend | ms a step | off a line by | peak, MB | off a line by |")
    print("|---|---|---|---|---|---|", flush=True)
    curves = []
    for axis in args.axis or AXES:
        for backend in backends:
            points = [measure(axis, value, backend, args.steps) for value in AXES[axis][2]]
            curves.append({"axis": axis, "backend": backend, "points": points})
            print(line(curves[-1]), flush=True)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(curves, file, indent=2)
    if args.picture:
        draw(curves, args.picture)


def measure(axis, value, backend, steps):
    """Return `{"value": , "ms": , "peak_mb": }` of one point, from a process of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,  # Made here, so that it is deleted in any case.
        Worker("growth_point", backend, axis, value, steps, folder) as worker,
    ):
        return {"value": value, **worker.answer()}


def line(curve):
    values = [point["value"] for point in curve["points"]]
    row = f"| {curve['axis']} {' '.join(map(str, values))} | {curve['backend']} |"
    for quantity in ("ms", "peak_mb"):
        measured = [point[quantity] for point in curve["points"]]
        *_, off = nearest_line(values, measured)
        numbers = " ".join(
            f"{number:.3g}" if quantity == "ms" else f"{number:.0f}" for number in measured
        )
        row += f" {numbers} | {100 * off:.0f}% |"
    return row


def nearest_line(values, measured):
    """Return slope and height at 0 of the line of least relative errors, and the largest error."""
    import numpy as np

    values, measured = np.asarray(values, float), np.asarray(measured, float)
    # (a value + b) / measured = 1, by least squares.
    slope, height = np.linalg.lstsq(
        np.stack([values, np.ones_like(values)], axis=1) / measured[:, None],
        np.ones_like(values),
        rcond=None,
    )[0]
    return slope, height, np.abs((slope * values + height) / measured - 1).max()


def draw(curves, path):
    """Draw a column for each axis, time above memory: points, and the lines nearest to them."""
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = list(dict.fromkeys(curve["axis"] for curve in curves))
    figure, panels = pyplot.subplots(
        2, len(axes), figsize=(2.9 * len(axes), 5.2), squeeze=False, layout="constrained"
    )
    colors = dict(zip(BACKENDS, ("tab:orange", "tab:blue", "tab:red"), strict=True))
    for curve in curves:
        column = axes.index(curve["axis"])
        values = [point["value"] for point in curve["points"]]
        for panel, quantity in zip(panels[:, column], ("ms", "peak_mb"), strict=True):
            measured = [point[quantity] for point in curve["points"]]
            slope, height, _ = nearest_line(values, measured)
            color = colors[curve["backend"]]
            panel.plot(values, measured, "o", color=color, ms=4, label=curve["backend"])
            ends = np.array([0, max(values)])
            panel.plot(ends, slope * ends + height, color=color, lw=1, alpha=0.6)
    for column, axis in enumerate(axes):
        title, unit, _ = AXES[axis]
        panels[0, column].set_title(title)
        panels[1, column].set_xlabel(unit)
    for panel in panels.flat:
        panel.set_ylim(0, 1.1 * panel.dataLim.ymax)
        panel.set_xlim(left=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("ms a step")
    panels[1, 0].set_ylabel("peak memory, MB")
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    exit_on_sigterm()
    main()
