"""What the scripts share: their common options, and the folder that a run leaves behind."""

import argparse
import contextlib
import csv
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import sys

# What a run writes: files, and files in folders. Nothing else in its folder is ever touched.
FILES = ("config.json", "history.csv", "curves.png", "model.keras", "metrics.json", "samples.gif")
FOLDERS = {
    "samples": ("epoch_*.png", "reconstruction_*.png", "interpolation_*.png"),
    "tensorboard": ("events.out.*",),
}


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one to speak of."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def parser(description, name, epochs):
    """An argument parser with the options that all training scripts have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m train.{name}",
        description=description,
        formatter_class=Help,
    )
    add = parser.add_argument
    add("--dataset", default="digits", help="digits, or the TFDS name of an image data set")
    add("--data-dir", help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    add("--manual-dir", help="folder with a data set's original files, instead of a download")
    add("--epochs", type=positive, default=epochs, help="passes over the training set")
    add("--batch-size", type=positive, default=128, help="images per step")
    add(
        "--sample-every",
        type=positive,
        help="epochs between pictures; by default about 15 are taken",
    )
    add("--seed", type=seed, default=0, help="of weights, noise and order: same seed, same run")
    add("--out", type=pathlib.Path, default=default_out(name), help="folder of the run")
    add("--overwrite", action="store_true", help="replace a finished run in --out")
    add("--tensorboard", action="store_true", help="write event files to --out/tensorboard")
    return parser


def default_out(name):
    return pathlib.Path("runs") / name


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive integer")
    return value


def seed(text):
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not in [0, 2^31)")
    return value


def check_out(out, overwrite, default):
    """Raises ValueError where a run may not be written to the folder `out`."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file. Name a folder.")
    if (out / "metrics.json").exists() and not overwrite and out != default:
        raise ValueError(f"--out {out} holds a finished run. Name another, or add --overwrite.")
    there = [name for name in (*FILES, *FOLDERS) if (out / name).exists()]
    if there and not overwrite and not _is_a_run(out):
        raise ValueError(
            f"--out {out} holds {', '.join(there)} that no run of these scripts has left there. "
            f"Name another folder, or add --overwrite to replace them."
        )


def _is_a_run(out):
    """True where config.json is one that `start` has written."""
    try:
        command = json.loads((out / "config.json").read_text())["command"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return str(command).startswith("python -m train.")


def start(out, name, arguments):
    """Clears what an earlier run left in `out` and writes config.json."""
    import keras

    import keras_gen

    _clear(out)
    out.mkdir(parents=True, exist_ok=True)
    backend = keras.config.backend()
    config = {
        "command": shlex.join(["python", "-m", f"train.{name}", *sys.argv[1:]]),
        "arguments": {name: _plain(value) for name, value in arguments.items()},
        "backend": backend,
        "versions": {
            "python": platform.python_version(),
            "keras_gen": keras_gen.__version__,
            "keras": keras.__version__,
            backend: importlib.metadata.version(backend),
        },
    }
    write_json(out / "config.json", config)


def _clear(out):
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    for folder, patterns in FOLDERS.items():
        for pattern in patterns:
            for path in (out / folder).glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):  # Not there, or with other files in it.
            (out / folder).rmdir()


def finish(out, model, metrics):
    """Saves the model, and metrics.json last: it says that the run is finished."""
    unfinished = out / ".model.tmp.keras"
    model.save(unfinished)
    unfinished.replace(out / "model.keras")
    write_json(out / "metrics.json", metrics)


def write_json(path, content):
    """Writes whole or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


def draw_curves(out, pairs, ylabel):
    """curves.png from history.csv: one panel for each (name, title) with its val_ twin."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure, axes = pyplot.subplots(
        1, len(pairs), figsize=(4.2 * len(pairs), 3.4), squeeze=False, layout="constrained"
    )
    for axis, (name, title) in zip(axes[0], pairs, strict=True):
        settled = []
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in rows[0]:
                values = [float(row[key]) for row in rows]
                axis.plot(epochs, values, label=label)
                settled += values[len(values) // 30 :]
        # The first epochs are far off, and would press the others into a line.
        margin = 0.05 * (max(settled) - min(settled)) or 1
        axis.set(title=title, xlabel="epoch", ylabel=ylabel)
        axis.set_ylim(min(settled) - margin, max(settled) + margin)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "curves.png", dpi=120)
    pyplot.close(figure)


def fail(parser, error):
    """Ends a script on bad input: the message alone, exit code 2, nothing trained."""
    parser.exit(2, f"{parser.prog}: error: {error}\n")


def quiet_tensorflow():
    """TensorFlow's start-up chatter off, unless the user asked for it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def _plain(value):
    return str(value) if isinstance(value, pathlib.Path) else value
