"""The folder that a training script leaves behind: what may be written to it, and what is."""

import contextlib
import sys
import tempfile

from train import config, interrupts, looks, progress, reporting, results

# Written while a run with --keep-best is trained.
BEST = ("best.keras", "best.keras.json")
# What a run writes: files, and files in folders. Nothing else in its folder is ever touched.
FILES = (
    *("metrics.json", "config.json", "history.csv", "curves.png", "model.keras", "samples.gif"),
    "grid.png",  # Written by `train.sample`, and by `train.film`:
    "walk.gif",
    "preview.png",
    *("report.html", "report.json"),
    *BEST,
)
FOLDERS = {
    "samples": (
        "epoch_*.png",
        "reconstruction_*.png",
        "interpolation_*.png",
        "manifold_*.png",
        "scatter_*.png",
        "traversals_*.png",
        "directions_*.png",  # At the end, for the report; and:
        "nearest_*.png",
    ),
    "tensorboard": ("events.out.*",),
    # Written by `train.export`; a folder stands behind those that are in it.
    "saved_model/variables": ("variables.*",),
    "saved_model/assets": (),
    "saved_model": ("saved_model.pb", "fingerprint.pb"),
    "onnx": ("*.onnx",),
    "checkpoint": ("epoch_*.json", "epoch_*.keras", "epoch_*.npz", ".epoch_*.tmp.*", ".lock"),
}

_locks = []  # Held by this process until it has ended its run.


def check_out(args, default):
    """Make the folder --out; ValueError if a run may not, or cannot, be written to it.

    Returns the folders that were made, --out first.
    """
    out, made = args.out, []
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file. Name a folder.")
    check_links(out)
    _check_other_runs(args, default)
    try:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        leave(made)
        raise ValueError(
            f"--out {out} cannot be written to: {error.strerror}. Name another folder."
        ) from error
    return made


def _check_other_runs(args, default):
    out, overwrite = args.out, args.overwrite
    is_finished = (out / "metrics.json").exists()
    if is_finished and not overwrite and out != default:
        raise ValueError(f"--out {out} holds a finished run. Name another, or add --overwrite.")
    if not (overwrite or args.resume or is_finished):
        if has_checkpoint(out):
            raise ValueError(
                f"--out {out} holds a run that was stopped. Add --resume to continue it, or "
                f"--overwrite to replace it."
            )
        if _has_history(out) and not (out / "model.keras").exists():
            raise ValueError(
                f"--out {out} holds a run that was stopped before its first checkpoint. Add "
                f"--overwrite to replace it, or name another folder."
            )
    there = content(out)
    if there and not overwrite and not config.is_of_a_run(out / "config.json"):
        raise ValueError(
            f"--out {out} holds {', '.join(there)} that no run of these scripts has left there. "
            f"Name another folder, or add --overwrite to replace them."
        )


def check_links(out):
    """Raise ValueError if a file or folder that a run writes is a symbolic link."""
    folders = [out / folder for folder in FOLDERS]
    inside = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    for path in (*(out / name for name in (*FILES, ".lock")), *folders, *inside):
        if path.is_symlink():
            raise ValueError(
                f"{path} is a symbolic link. Nothing is written through a link, which may lead to "
                f"any file: remove it, or name another folder."
            )


def content(out):
    """Return the names of what a run has left."""
    return [name for name in sorted((*FILES, *FOLDERS)) if (out / name).exists()]


def has_checkpoint(out):
    """Return whether a run can be resumed."""
    try:
        return any((out / "checkpoint").glob("epoch_*.json"))
    except OSError:  # A folder that cannot be read, or that cannot be.
        return False


def _has_history(out):
    """Return whether a run has finished an epoch: history.csv has more than its first line."""
    try:
        return (out / "history.csv").read_bytes().count(b"\n") > 1
    except OSError:
        return False


class Run:
    """A model's run: its folder, the callbacks that write to it, its beginning and its end."""

    def __init__(self, args, name, model, data, test):
        import keras_gen as kg

        self.args, self.name, self.model, self.out = args, name, model, args.out
        self.num_steps = len(data)
        # Of a stream only the number of batches is known.
        self.num_examples = getattr(data, "num_read", args.batch_size * len(data))
        self.class_names = getattr(data, "class_names", None)
        self.sets = (data, test)
        facts = reporting.facts(args, name, model, data, test)
        self.report = reporting.Report(args.out, args.sample_every, facts)
        self.guard = kg.callbacks.StopAtNonFinite()
        folder = args.checkpoints or args.out / "checkpoint"
        self.checkpoint = kg.callbacks.Checkpoint(folder, args.checkpoint_every)

    def callbacks(self):
        """Return the callbacks that every script has, to be given last."""
        import keras

        numbers, epochs = self.out / "tensorboard", self.args.epochs
        settings = config.arguments(self.args)
        is_preview = self.args.preview
        return [
            *([progress.to_tensorboard(numbers, settings)] if self.args.tensorboard else []),
            progress.stop_after_preview(epochs, self.num_steps, self.num_examples)
            if is_preview
            else progress.say_how_long(epochs, self.num_examples),
            keras.callbacks.CSVLogger(self.out / "history.csv", append=self.args.resume),
            self.guard,
            *([] if is_preview else [self.checkpoint]),
            self.report.callback(),
            interrupts.stop_when_interrupted(),
        ]

    def begin(self):
        """Make the folder ready for `fit`, and for this process alone.

        Clear what an earlier run has left and write config.json; in a run that is resumed, clear
        what came after the last checkpoint.
        """
        from keras_gen import distribution, files

        if not distribution.is_chief():
            return
        _locks.append(files.Lock(self.out))
        path = self.out / "config.json"
        if self.args.resume:
            epoch = self.checkpoint.last_epoch(self.model)
            if epoch:
                _truncate_history(self.out, epoch)
                return
            if path.exists():
                print(f"There is no checkpoint in {self.out}: the run starts from the beginning.")
        (self.out / "metrics.json").unlink(missing_ok=True)  # It says that the run is finished.
        _clear(self.out, "checkpoint")
        # Before the rest is cleared: the folder is a run's, whenever the process may be killed.
        config.write(path, self.name, self.args, self.class_names)
        for name in FILES:
            if name != "config.json":
                (self.out / name).unlink(missing_ok=True)
        for folder in FOLDERS:
            _clear(self.out, folder)

    def preview(self, data):
        """Write preview.png, the first batch of images."""
        import keras_gen as kg

        if kg.distribution.is_chief():
            kg.data.preview(data, self.out / "preview.png")
            print(f"The first batch is in {self.out / 'preview.png'}: look at it.", flush=True)

    def finish(self, metrics):
        """Save the model, then metrics.json, which says that the run is finished.

        If training has diverged, keep the last good model and end with exit code 1.
        """
        if self.guard.message:
            save(self.out, self.model)
            self._clear_unfinished()  # From there it would diverge again.
            self.report.write("diverged", message=self.guard.message)
            sys.exit(
                f"Training diverged. The weights from before are in {self.out / 'model.keras'}."
            )
        results.check_converged({key: metrics[key] for key in metrics if key.endswith("loss")})
        save(self.out, self.model)
        results.write_json(self.out / "metrics.json", results.finite(metrics))
        self._clear_unfinished()
        self.report.finish(lambda: looks.take(self.args, self.model, *self.sets))
        if self.checkpoint.size:  # A run that was resumed at its end wrote none.
            print(
                f"Checkpoints of {self.checkpoint.size / 1e6:.1f} MB took "
                f"{self.checkpoint.seconds:.1f} s, {self.checkpoint.share:.1%} of the training."
            )

    def _clear_unfinished(self):
        """Remove what a run needs to go on."""
        _clear(self.out, "checkpoint")
        for name in BEST:
            (self.out / name).unlink(missing_ok=True)


def save(out, model):
    """Write model.keras, whole or not at all."""
    from keras_gen import distribution, files

    if not distribution.is_chief():
        model.save(out / "model.keras")  # Takes part, and writes nothing.
        return
    with files.whole(out / "model.keras") as path:
        model.save(path)


def leave(made):
    """Let other processes write to the folder, and remove the empty ones among those made."""
    while _locks:
        _locks.pop().release()
    for folder in made:
        with contextlib.suppress(OSError):  # Not empty: a run is in it.
            folder.rmdir()


def _clear(out, folder):
    for pattern in FOLDERS[folder]:
        for path in (out / folder).glob(pattern):
            path.unlink()
    with contextlib.suppress(OSError):  # Not there, or with other files in it.
        (out / folder).rmdir()


def _truncate_history(out, epochs):
    """Keep the rows of the epochs before the checkpoint; the others are written again."""
    if not (out / "history.csv").exists():
        raise ValueError(
            f"There is a checkpoint in {out}, and no history.csv that could be continued. Put it "
            f"back, or start again with --overwrite."
        )
    lines = (out / "history.csv").read_bytes().splitlines(keepends=True)
    results.write(out / "history.csv", b"".join(lines[: epochs + 1]))
