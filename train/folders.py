"""What the later commands read of a finished run's folder, which someone else may have written."""

import argparse
import json
import math
import pathlib
import re

from train import gan, vae

SCRIPTS = {"vae": vae, "gan": gan}
BYTES = 2**20
# Of TFDS's own sets: a name with a namespace, "user:name", is code from the network.
DATA_SET = re.compile(r"[a-z0-9_]+(/\w[\w.+-]*)?(:[0-9*]+\.[0-9*]+\.[0-9*]+)?")


def read_run(folder, data_dir=None):
    """(script, settings) of a finished run: "vae" or "gan" and every argument, as a Namespace.

    Arguments that are not in config.json, as of an older run, have their defaults. `data_dir`
    goes before the run's own, which is taken only where the data set is there already.

    Raises:
        ValueError: There is no finished run, or config.json holds what no script has written.
    """
    path = check_finished(folder)
    name, settings = read_config(path)
    if data_dir is not None:
        settings.data_dir = data_dir
    elif settings.data_dir is not None and settings.dataset not in gan.POINTS:
        _check_data_dir(path, settings)
    if name == "gan":
        gan.fill_in(settings)
    settings.manual_dir = None  # Nothing is prepared from what a folder names.
    return name, settings


def check_finished(folder):
    """The path of config.json; ValueError where a folder holds no finished run."""
    folder = pathlib.Path(folder)
    missing = [name for name in ("config.json", "model.keras") if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} holds no finished run: {' and '.join(missing)} is missing. Pass the folder "
            f"that a training script has left, such as runs/vae."
        )
    return folder / "config.json"


def read_config(path):
    """(script, settings) as they were given: what config.json holds, each value checked."""
    config = read_json(path)
    command = re.match(r"python -m train\.(vae|gan)\b", str(config.get("command")))
    arguments = config.get("arguments")
    if command is None or not isinstance(arguments, dict):
        raise ValueError(
            f"{path} is none that train.vae or train.gan has written: a `command` of theirs and "
            f"its `arguments` are wanted."
        )
    name = command[1]
    parser = SCRIPTS[name].make_parser()
    actions = {action.dest: action for action in parser._actions if action.dest != "help"}
    settings = parser.parse_args([])
    for dest, value in arguments.items():
        if dest not in actions or not _fits(actions[dest], value):
            raise ValueError(
                f"{path} has the argument {dest}={str(value)[:100]!r}, which train.{name} does not "
                f"take. Pass a folder that a training script has left."
            )
        setattr(settings, dest, value)
    if not DATA_SET.fullmatch(settings.dataset):
        raise ValueError(
            f"{path} names the data set {settings.dataset!r}. A data set of TFDS itself is wanted, "
            f"such as mnist or emnist/letters."
        )
    return name, settings


def read_json(path):
    """The object in a JSON file; ValueError if it is none, or larger than a run's are."""
    if path.stat().st_size > BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; at most {BYTES:,} are wanted.")
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; an object is wanted.")
    return content


def _fits(action, value):
    """True for a value that the command line would have given that option."""
    if value is None:
        return action.default is None
    if action.nargs == 0:
        return isinstance(value, bool)
    if action.nargs in ("+", "*"):
        return isinstance(value, list) and all(_fits_one(action, item) for item in value)
    return _fits_one(action, value)


def _fits_one(action, value):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if action.type in (None, pathlib.Path):
        return isinstance(value, str) and (action.choices is None or value in action.choices)
    try:
        return not isinstance(value, str) and action.type(str(value)) == value
    except (ValueError, argparse.ArgumentTypeError):
        return False


def _check_data_dir(path, settings):
    """Refuses a data_dir in which something would be written, or that came with the run."""
    data_dir = pathlib.Path(settings.data_dir)
    data_set = re.split("[/:]", settings.dataset)[0].removeprefix("stacked_")
    inside = path.parent.resolve() in data_dir.resolve().parents
    if inside or not (data_dir / data_set).is_dir():
        raise ValueError(
            f"{path} names the data_dir {settings.data_dir}, and "
            + ("that is in the run itself" if inside else f"{data_set} is not prepared there")
            + ". Pass --data-dir."
        )
