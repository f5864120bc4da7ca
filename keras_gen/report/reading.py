"""A run's folder, read without its model: arguments, history, numbers and the names of pictures."""

import csv
import dataclasses
import json
import math
import pathlib
import re

from keras_gen import files

# Someone else may have written the files.
BYTES = {".json": 2**20, ".csv": 2**25}
FACTS = "report.json"  # What only the process that trains knows.
PICTURE = re.compile(r"([a-z]+)_(\d{4,})\.png")


@dataclasses.dataclass
class RunFolder:
    """What the files of a run say."""

    path: pathlib.Path
    config: dict  # config.json.
    history: dict  # The columns of history.csv, floats; NaN where there is no number.
    metrics: dict  # metrics.json, {} before the end.
    facts: dict  # report.json, {} in a folder that was written without a report.
    state: str  # "training", "stopped", "diverged" or "finished".
    defaults: dict = dataclasses.field(default_factory=dict)  # Of arguments, as far as known.

    @property
    def name(self):
        return self.path.name or self.path.resolve().name

    @property
    def kind(self):
        """Return "vae" or "gan"."""
        command = re.match(r"python -m train\.(\w+)", str(self.config.get("command")))
        return command[1] if command else "run"

    @property
    def arguments(self):
        return self.config.get("arguments", {})

    @property
    def epochs(self):
        """Return the number of epochs that were trained."""
        return len(self.history.get("epoch", ()))

    def argument(self, name, default=None):
        """Return a number among the arguments, else `default`."""
        value = self.arguments.get(name)
        return value if is_number(value) else default

    def differs(self, name):
        """Return whether an argument is known not to be the default."""
        known = name in self.defaults and name in self.arguments
        return known and self.arguments[name] != self.defaults[name]

    def column(self, name):
        """Return the values of a column of history.csv, [] if none of them is finite."""
        values = self.history.get(name, [])
        return values if any(map(math.isfinite, values)) else []

    def last(self, name):
        """Return the newest number of this name: of the end, else of the last epoch, or None.

        The end and a validation count more than the training set.
        """
        if is_number(self.metrics.get(name)):
            return float(self.metrics[name])
        for values in (self.column(f"val_{name}"), self.column(name)):
            if values and math.isfinite(values[-1]):
                return values[-1]
        return None

    def figure(self, name):
        """Return (value, floor) of a figure of samples, each None if it is not known.

        `train.evaluate` adds figures to metrics.json; those of report.json are quicker, on pixels.
        """
        known = self.metrics if is_number(self.metrics.get(name)) else self.facts.get("samples", {})
        values = (known.get(name), known.get(f"{name}_floor"))
        return tuple(float(value) if is_number(value) else None for value in values)

    def pictures(self, kind):
        """Return the pictures of one kind in samples/, [(epoch, path)] in order."""
        found = []
        for path in (self.path / "samples").glob(f"{kind}_*.png"):
            name = PICTURE.fullmatch(path.name)
            if name and name[1] == kind and path.is_file() and not path.is_symlink():
                found.append((int(name[2]), path))
        return sorted(found)


def read(folder, state=None, defaults=None):
    """Return the `RunFolder` of a folder; ValueError if it holds no run that can be read.

    `defaults` are those of the script's arguments, for a report.json that does not hold them.
    """
    folder = pathlib.Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no run: config.json is missing. Pass the folder that a training "
            f"script writes to, such as runs/vae."
        )
    config, metrics, facts = (
        _read_json(folder / name) for name in ("config.json", "metrics.json", FACTS)
    )
    known = {"arguments": dict, "backend": str, "versions": dict}
    if not all(isinstance(config.get(name, kind()), kind) for name, kind in known.items()):
        raise ValueError(f"{folder / 'config.json'} was not written by a training script.")
    if not all(
        isinstance(facts.get(name, {}), dict) for name in ("samples", "data", "rows", "defaults")
    ):
        raise ValueError(f"{folder / FACTS} was not written by a report.")
    history = _read_history(folder / "history.csv")
    state, defaults = state or _state(folder, facts), facts.get("defaults") or defaults or {}
    return RunFolder(folder, config, history, metrics, facts, state, defaults)


def is_number(value):
    # Comparing also tells of NaN, and of integers that are no float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _state(folder, facts):
    if (folder / "metrics.json").exists():
        return "finished"
    if files.is_locked(folder):
        return "training"
    has_checkpoint = any((folder / "checkpoint").glob("epoch_*.json"))
    # A run that diverged keeps its last good model, and no checkpoint to go on from.
    if facts.get("message") or ((folder / "model.keras").exists() and not has_checkpoint):
        return "diverged"
    return "stopped"


def _read_json(path):
    try:
        content = json.loads(_text(path) or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; an object is expected.")
    return content


def _read_history(path):
    """Return the columns of a CSV file; its last line may be half written."""
    try:
        header, *rows = [*csv.reader((_text(path) or "").splitlines())] or [[]]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    at = header.index("epoch") if "epoch" in header else None
    rows = [row for row in rows if len(row) == len(header)]
    if at is not None:
        rows = [row for row in rows if math.isfinite(_number(row[at]))]
    columns = {name: [_number(row[i]) for row in rows] for i, name in enumerate(header)}
    return columns if rows and "epoch" in columns else {}


def _text(path):
    """Return the text of a file, None if it is not there."""
    if not path.is_file():
        return None
    if path.stat().st_size > BYTES[path.suffix]:
        raise ValueError(f"{path} has more than {BYTES[path.suffix]:,} bytes.")
    return path.read_text(encoding="utf-8", errors="replace")


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan  # "NA", where a callback has measured nothing.
