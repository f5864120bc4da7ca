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
FILES = ("metrics.json", "config.json", "history.csv", "curves.png", "model.keras", "samples.gif")
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
    # Of `train.export`; a folder stands behind those that are in it.
    "saved_model/variables": ("variables.*",),
    "saved_model/assets": (),
    "saved_model": ("saved_model.pb", "fingerprint.pb"),
    "onnx": ("*.onnx",),
    "checkpoint": ("epoch_*.json", "epoch_*.keras", "epoch_*.npz", ".epoch_*.tmp.*", ".lock"),
}
# What a process finds out for itself.
OF_A_PROCESS = ("resume", "devices", "checkpoints")
# What may be another when a run is resumed: where things are, and what leaves no trace.
FREE = ("out", "overwrite", "resume", "data_dir", "manual_dir", "checkpoint_every")


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
    add("--overwrite", action="store_true", help="replace the run in --out")
    add(
        "--resume",
        action="store_true",
        help="continue the run in --out, with the arguments that it was started with, after its "
        "last checkpoint; where there is none, begin",
    )
    add(
        "--checkpoint-every",
        type=positive,
        metavar="EPOCHS",
        help="epochs between checkpoints; by default as often as takes less than 2%% of the time",
    )
    add("--tensorboard", action="store_true", help="write the pictures to --out/tensorboard too")
    add(
        "--distribute",
        action="store_true",
        help="share each batch among all devices, and the processes that TF_CONFIG, "
        "JAX_COORDINATOR_ADDRESS or torchrun speak of",
    )
    parser.set_defaults(devices=1, checkpoints=None)
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

    1: training diverged. 2: bad input, or files that cannot be written. 130: Ctrl-C.
    """
    args = parser.parse_args(argv)
    made = []
    try:
        with interrupts():
            if args.resume:
                args = resumed(parser, name, args, argv)
            with on_devices(args):
                made = check_out(args, default=default_out(name))
                train(args)
    except (ValueError, OSError, ImportError) as error:
        fail(parser, f"{error}{_how_to_resume(parser, args.out)}")
    except KeyboardInterrupt:
        stop(parser, args.out)
    except Exception as error:
        # Of TensorFlow, which may not be installed: a stream is read while it trains.
        if type(error).__name__ not in (
            "DataLossError",
            "NotFoundError",
            "FailedPreconditionError",
        ):
            raise
        fail(parser, f"A file of the data set {args.dataset!r} cannot be read: {error}")
    finally:
        while _locks:
            _locks.pop().release()
        for folder in made:
            with contextlib.suppress(OSError):  # Not empty: a run is in it.
                folder.rmdir()


@contextlib.contextmanager
def on_devices(args):
    """With --distribute: what is in it runs on all devices, whose number is args.devices.

    All processes do the same, as the engines want it, and the folder of the first is kept.
    """
    if not args.distribute:
        yield
        return
    quiet_tensorflow()
    import keras_gen as kg

    with kg.distribution.data_parallel() as devices, contextlib.ExitStack() as stack:
        args.devices = devices.count
        if devices.is_chief:
            print(f"Each batch is shared by {devices.count} device(s).")
        else:
            args.checkpoints = args.out / "checkpoint"  # Read, not written.
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            args.out = pathlib.Path(folder) / "run"
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def shared(args, *sets):
    """The training and the test set, in batches that the devices can share equally."""
    for data, name in zip(sets, ("training", "test"), strict=True):
        if not hasattr(data, "multiple_of"):
            if args.devices > 1:
                print(f"Of the {name} set a last batch that is not full is left out.")
            continue
        data.multiple_of = args.devices
        left_out = data.num_examples - data.num_read
        if left_out and not data.drop_remainder:
            print(
                f"Of the {name} set's last batch {left_out} examples are left out, which "
                f"{args.devices} devices cannot share equally."
            )
    return sets


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


def resumed(parser, name, args, argv):
    """The arguments to resume with: those that the run in --out was started with.

    Ends the script where that run is finished.
    """
    from train import folders

    out = args.out
    if args.overwrite:
        raise ValueError("--resume continues the run in --out, and --overwrite replaces it.")
    if not (out / "config.json").exists():
        print(f"There is no run in {out} to resume: one begins.")
        return args
    config = _config(out)
    if config is None or folders.read_config(out / "config.json")[0] != name:
        raise ValueError(f"--out {out} holds no run of python -m train.{name} to resume.")
    if (out / "metrics.json").exists():
        parser.exit(0, f"The run in {out} is finished: there is nothing to resume.\n")
    if (out / "model.keras").exists() and not _has_checkpoint(out):
        raise ValueError(
            f"The run in {out} has diverged, and model.keras is what it was before. Start again "
            f"with --overwrite, and a smaller learning rate."
        )
    before = config["arguments"]
    for key, value in _given(parser, argv).items():
        if key not in FREE and json.loads(json.dumps(_plain(value))) != before.get(key):
            raise ValueError(
                f"The run in {out} was started with {key} = {before.get(key)}, and --resume was "
                f"given {value}, which would be another run. Leave it out, or name another --out."
            )
    quiet_tensorflow()
    import keras

    if config["backend"] != keras.config.backend():
        raise ValueError(
            f"The run in {out} was started on {config['backend']}, and this is "
            f"{keras.config.backend()}. Set KERAS_BACKEND={config['backend']}."
        )
    kept = {key: value for key, value in before.items() if key not in FREE}
    for key in ("data_dir", "manual_dir", "checkpoint_every"):
        kept[key] = getattr(args, key) or before.get(key)
    return argparse.Namespace(**{**vars(args), **kept})


def _given(parser, argv):
    """The arguments that stand on the command line."""
    unset = object()
    names = vars(parser.parse_args([]))
    given = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, unset)))
    return {key: value for key, value in vars(given).items() if value is not unset}


def check_out(args, default):
    """Makes the folder --out; ValueError where a run may not, or cannot, be written to it.

    Returns the folders that it has made, --out first.
    """
    out, overwrite = args.out, args.overwrite
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file. Name a folder.")
    if (out / "metrics.json").exists() and not overwrite and out != default:
        raise ValueError(f"--out {out} holds a finished run. Name another, or add --overwrite.")
    there = [name for name in (*FILES, *FOLDERS) if (out / name).exists()]
    if _has_checkpoint(out) and not (overwrite or args.resume or (out / "metrics.json").exists()):
        raise ValueError(
            f"--out {out} holds a run that was stopped. Add --resume to continue it, or "
            f"--overwrite to replace it."
        )
    if there and not overwrite and _config(out) is None:
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


def _config(out):
    """What `start` has written to config.json; None where it is not there, or by others."""
    try:
        config = json.loads((out / "config.json").read_text())
        is_a_run = str(config["command"]).startswith("python -m train.")
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return config if is_a_run else None


def _has_checkpoint(out):
    return any((out / "checkpoint").glob("epoch_*.json"))


def checkpoint(args):
    """The callback that writes to --out/checkpoint, and goes on from there."""
    import keras_gen as kg

    return kg.callbacks.Checkpoint(
        args.checkpoints or args.out / "checkpoint", args.checkpoint_every
    )


_locks = []


def start(args, name, model, checkpoint):
    """Makes --out ready for `fit`, and for this process alone.

    Clears what an earlier run has left and writes config.json; of a run that is resumed, clears
    what came after the last checkpoint.
    """
    import keras

    import keras_gen
    from keras_gen import files

    if not keras_gen.distribution.is_chief():
        return
    out = args.out
    _locks.append(files.Lock(out))
    if args.resume:
        epoch = checkpoint.last_epoch(model)
        if epoch:
            _truncate_history(out, epoch)
            return
        if (out / "config.json").exists():
            print(f"There is no checkpoint in {out}: the run starts from the beginning.")
    (out / "metrics.json").unlink(missing_ok=True)  # It says that the run is finished.
    _clear_folder(out, "checkpoint")
    backend = keras.config.backend()
    config = {
        "command": shlex.join(["python", "-m", f"train.{name}", *sys.argv[1:]]),
        "arguments": {
            name: _plain(value) for name, value in vars(args).items() if name not in OF_A_PROCESS
        },
        "backend": backend,
        "versions": {
            "python": platform.python_version(),
            "keras_gen": keras_gen.__version__,
            "keras": keras.__version__,
            backend: importlib.metadata.version(backend),
        },
    }
    # Before the rest is cleared: the folder is a run's, whenever the process may be killed.
    write_json(out / "config.json", config)
    for name in FILES:
        if name != "config.json":
            (out / name).unlink(missing_ok=True)
    for folder in FOLDERS:
        _clear_folder(out, folder)


def _clear_folder(out, folder):
    for pattern in FOLDERS[folder]:
        for path in (out / folder).glob(pattern):
            path.unlink()
    with contextlib.suppress(OSError):  # Not there, or with other files in it.
        (out / folder).rmdir()


def _truncate_history(out, epochs):
    """Leaves the rows of the epochs before the checkpoint; the others come again."""
    if not (out / "history.csv").exists():
        raise ValueError(
            f"There is a checkpoint in {out}, and no history.csv that could be continued. Put it "
            f"back, or start again with --overwrite."
        )
    lines = (out / "history.csv").read_bytes().splitlines(keepends=True)
    _write(out / "history.csv", b"".join(lines[: epochs + 1]))


def check_finite(out, model, guard):
    """Ends the script, with exit code 1, if training was stopped: the model is kept."""
    if guard.message:
        save(out, model)
        _clear_folder(out, "checkpoint")  # From there it would diverge again.
        sys.exit(f"Training diverged. The weights from before are in {out / 'model.keras'}.")


def finish(out, model, metrics, checkpoint):
    """Saves the model, then metrics.json: it says that the run is finished."""
    check_converged({key: metrics[key] for key in metrics if key.endswith("loss")})
    save(out, model)
    write_json(out / "metrics.json", finite(metrics))
    _clear_folder(out, "checkpoint")
    if checkpoint.size:  # A run that was resumed at its end wrote none.
        print(
            f"Checkpoints of {checkpoint.size / 1e6:.1f} MB took {checkpoint.seconds:.1f} s, "
            f"{checkpoint.share:.1%} of the training."
        )


def finite(metrics):
    """Numbers as JSON has them: no NaN, which is the KL of a GAN without one good sample."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}


def save(out, model):
    """Writes model.keras, whole or not at all."""
    from keras_gen import distribution, files

    if not distribution.is_chief():
        model.save(out / "model.keras")  # Takes part, and writes nothing.
        return
    with files.whole(out / "model.keras") as path:
        model.save(path)


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
    _write(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _write(path, content):
    from keras_gen import files

    with files.whole(path) as unfinished:
        unfinished.write_bytes(content)


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
    there = [name for name in sorted((*FILES, *FOLDERS)) if (out / name).exists()]
    parser.exit(
        130,
        f"\n{parser.prog}: stopped. {out} holds {', '.join(there) or 'nothing'}."
        f"{_how_to_resume(parser, out)}\n",
    )


def _how_to_resume(parser, out):
    if not _has_checkpoint(out):
        return ""
    return f"\nTo continue after the last checkpoint: {parser.prog} --resume --out {out}"


def quiet_tensorflow():
    """Less of TensorFlow's log at its start, unless the user set its level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _plain(value):
    return str(value) if isinstance(value, pathlib.Path) else value
