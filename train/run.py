"""What the scripts share: their common options, and the folder that a run leaves behind."""

import argparse
import contextlib
import csv
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shlex
import signal
import sys
import tempfile

# What a run writes: files, and files in folders. Nothing else in its folder is ever touched.
FILES = ("config.json", "history.csv", "curves.png", "model.keras", "metrics.json", "samples.gif")
FOLDERS = {
    "samples": (
        "epoch_*.png",
        "reconstruction_*.png",
        "interpolation_*.png",
        "manifold_*.png",
        "scatter_*.png",
        "traversals_*.png",
    ),
    "tensorboard": ("events.out.*",),
}


DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one to speak of."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def parser(description, name, epochs, datasets="digits, or the TFDS name of an image data set"):
    """An argument parser with the options that all training scripts have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m train.{name}",
        description=description,
        formatter_class=Help,
    )
    add = parser.add_argument
    add("--dataset", default="digits", help=datasets)
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
    add("--dtype", choices=DTYPES, default="float32", help="of the networks' arithmetic")
    add("--out", type=pathlib.Path, default=default_out(name), help="folder of the run")
    add("--overwrite", action="store_true", help="replace a finished run in --out")
    add("--tensorboard", action="store_true", help="write the pictures to --out/tensorboard too")
    return parser


def default_out(name):
    return pathlib.Path("runs") / name


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive integer")
    return value


def positive_float(text):
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is not a positive, finite number")
    return value


def seed(text):
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not in [0, 2^31)")
    return value


def carry_out(parser, name, train, argv=None):
    """Parses and trains; what goes wrong ends in one message and an exit code.

    1: training diverged. 2: bad input, and nothing is trained. 130: Ctrl-C.
    """
    args = parser.parse_args(argv)
    made = []
    try:
        with interrupts():
            made = check_out(args.out, args.overwrite, default=default_out(name))
            train(args)
    except (ValueError, OSError, ImportError) as error:
        fail(parser, error)
    except KeyboardInterrupt:
        stop(parser, args.out)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # Not empty: a run is in it.
                folder.rmdir()


_interrupted = False


@contextlib.contextmanager
def interrupts():
    """Remembers a Ctrl-C, beside raising KeyboardInterrupt as Python does by itself."""
    global _interrupted
    _interrupted = False
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # Someone else's affair: a program in the background gets none.
        return

    def interrupt(signum, frame):
        global _interrupted
        _interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_when_interrupted():
    """A callback that ends `fit` after an epoch in which a Ctrl-C was lost.

    Keras 3.15 compares structures under a bare `except:`, and Python drops what a destructor
    raises: a KeyboardInterrupt that comes there is lost.
    """
    import keras

    def check(epoch, logs):
        if _interrupted:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_end=check)


@contextlib.contextmanager
def precision(dtype):
    """Within it networks and models are made to compute in `dtype`, one of `DTYPES`."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_out(out, overwrite, default):
    """Makes the folder `out`; ValueError where a run may not, or cannot, be written to it.

    Returns the folders that it has made, `out` first.
    """
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
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(
            f"--out {out} cannot be written to: {error.strerror}. Name another folder."
        ) from error
    return made


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


def check_finite(out, model, guard):
    """Ends the script, with exit code 1, if training was stopped: the model is kept."""
    if guard.message:
        _save(out, model)
        sys.exit(f"Training diverged. The weights from before are in {out / 'model.keras'}.")


def finish(out, model, metrics):
    """Saves the model, and metrics.json last: it says that the run is finished."""
    check_converged({key: metrics[key] for key in metrics if key.endswith("loss")})
    _save(out, model)
    write_json(out / "metrics.json", finite(metrics))


def finite(metrics):
    """Numbers as JSON has them: no NaN, which is the KL of a GAN without one good sample."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}


def _save(out, model):
    unfinished = out / ".model.tmp.keras"
    model.save(unfinished)
    unfinished.replace(out / "model.keras")


def check_converged(numbers):
    """Ends the script, with exit code 1, if one of the final numbers is not finite."""
    for name, value in numbers.items():
        if not math.isfinite(value):
            sys.exit(
                f"Training diverged: the final {name} is {value}, so no model is saved. Try a "
                f"smaller learning rate."
            )


def description(data, labels):
    """The shape of an example, and the number of classes if there are `labels`, else None."""
    if hasattr(data, "element_spec"):
        if labels:
            raise ValueError(
                "--conditional takes a data set that fits in memory: of a stream the number of "
                "classes is not known."
            )
        return tuple(data.element_spec.shape[1:]), None
    examples, *_ = data[0] if labels else (data[0],)
    if not labels:
        return examples.shape[1:], None
    # A stream cannot look at all labels, and is told.
    return examples.shape[1:], getattr(data, "num_classes", None) or int(data.y.max()) + 1


def write_json(path, content):
    """Writes whole or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.unlink(missing_ok=True)  # In a stranger's folder it may be a link to elsewhere.
    unfinished.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    unfinished.replace(path)


def draw_curves(out, pairs, ylabel):
    """curves.png from history.csv: one panel for each (name, title) with its val_ twin."""
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure, axes = pyplot.subplots(
        1, len(pairs), figsize=(4.2 * len(pairs), 3.4), squeeze=False, layout="constrained"
    )
    marker = "." if len(epochs) <= 30 else None  # A line of one point is not seen.
    for axis, (name, title) in zip(axes[0], pairs, strict=True):
        shown = []
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if rows[0].get(key, "NA") != "NA":  # CSVLogger has columns for a validation never run.
                values = [float(row[key]) for row in rows]
                axis.plot(epochs, values, marker=marker, label=label)
                shown += [value for value in values if math.isfinite(value)]
        axis.set(title=title, xlabel="epoch", ylabel=ylabel)
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if shown:
            # The first epochs are far off, and would press the others into a line.
            low, high = np.percentile(shown, [2, 98])
            margin = 0.1 * (high - low) or 0.1 * abs(high) or 1
            axis.set_ylim(low - margin, high + margin)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "curves.png", dpi=120)
    pyplot.close(figure)


def fail(parser, error):
    """Ends a script on bad input: the message alone, exit code 2, nothing trained."""
    parser.exit(2, f"{parser.prog}: error: {error}\n")


def stop(parser, out):
    """Ends a script on Ctrl-C: what there is stays, and is named; exit code 130."""
    there = [name for name in (*FILES, *FOLDERS) if (out / name).exists()]
    parser.exit(130, f"\n{parser.prog}: stopped. {out} holds {', '.join(there) or 'nothing'}.\n")


def quiet_tensorflow():
    """Less of TensorFlow's log at its start, unless the user set its level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _plain(value):
    return str(value) if isinstance(value, pathlib.Path) else value
