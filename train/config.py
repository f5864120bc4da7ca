"""config.json: the arguments of a run. Someone else may have written it, so each is checked.

Nothing that it names is read as a prepared data set: TFDS imports the Python modules that such a
folder names.
"""

import argparse
import importlib.metadata
import json
import pathlib
import platform
import re
import shlex
import sys

from train import options, results

POINTS = ("ring", "grid")
DRAWN = (*POINTS, "stacked_mnist")  # Data sets that are drawn, not read as they are.
# What a process finds out for itself.
OF_A_PROCESS = ("resume", "devices", "checkpoints")


def write(path, name, args, class_names=None):
    """Write the arguments of a run of train.`name`, its classes, and the versions it runs with."""
    import keras

    import keras_gen

    backend = keras.config.backend()
    result = {
        **content(name, args),
        **({} if class_names is None else {"class_names": list(class_names)}),
        "backend": backend,
        "versions": {
            "python": platform.python_version(),
            "keras_gen": keras_gen.__version__,
            "keras": keras.__version__,
            backend: importlib.metadata.version(backend),
        },
    }
    results.write_json(path, result)


def content(name, args):
    """Return a run of train.`name` as it was started: its command and its arguments."""
    command = shlex.join(["python", "-m", f"train.{name}", *sys.argv[1:]])
    path = args.out / "config.json"
    if args.resume and path.exists():  # It was checked when its arguments were read.
        command = json.loads(path.read_text())["command"]
    return {"command": command, "arguments": arguments(args)}


def arguments(args):
    """Return a run's arguments as JSON has them."""
    return {name: plain(value) for name, value in vars(args).items() if name not in OF_A_PROCESS}


def plain(value):
    """Return one argument as JSON has it."""
    if isinstance(value, pathlib.Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def is_of_a_run(path):
    """Return whether a training script has written this file, so that it may be replaced."""
    try:
        return script(results.read_json(path), path) is not None
    except (OSError, ValueError):
        return False


def read(path, parsers, dataset=None):
    """Return (script, settings, backend) as they were given, each value checked.

    A missing argument, as in an older run, has its default.

    Args:
        path: a config.json.
        parsers: the parser of each script whose runs are accepted, by name.
        dataset: images that stand for the data set of the run, whose own may have moved.

    Raises:
        ValueError: If it holds anything that no such script has written.
    """
    content = results.read_json(path)
    name = script(content, path)
    if name not in parsers:
        raise ValueError(
            f"{path} was written by train.{name}; a run of train.{' or train.'.join(parsers)} is "
            f"expected."
        )
    parser = parsers[name]
    settings = argparse.Namespace(**parser.defaults())
    parser.raises = True
    try:
        moved = {} if dataset is None else {"dataset": dataset}
        for key, value in {**content["arguments"], **moved}.items():
            setattr(settings, key, _checked(parser, key, value, path))
    finally:
        parser.raises = False
    return name, settings, str(content.get("backend"))


def script(content, path):
    """Return the name of the script that has written the content of a config.json."""
    command = re.match(r"python -m train\.(\w+)\b", str(content.get("command")))
    if command is None or not isinstance(content.get("arguments"), dict):
        raise ValueError(
            f"{path} was not written by a training script: its `command` and `arguments` are "
            f"expected."
        )
    return command[1]


def trust(path, settings, dataset=None, data_dir=None, manual_dir=None):
    """Replace the places of data that a config names by those that the user typed.

    Raises:
        ValueError: If the config names a version or a folder that the user did not repeat, or the
            user named another data set.
    """
    if dataset not in (None, settings.dataset):
        raise ValueError(f"{path} is of a run on {settings.dataset}, and --dataset is {dataset}.")
    named = {}
    if ":" in settings.dataset and dataset is None and not options.is_path(settings.dataset):
        named["dataset"] = settings.dataset
    if settings.data_dir is not None and data_dir is None and settings.dataset not in POINTS:
        named["data-dir"] = settings.data_dir
    if named:
        repeated = shlex.join(f"--{name}={value}" for name, value in named.items())
        raise ValueError(
            f"{path} names the {' and the '.join(f'{k} {v}' for k, v in named.items())}. TFDS runs "
            f"code that a prepared data set names, so this is used only if you repeat it:\n"
            f"add {repeated} if you know where it comes from."
        )
    settings.data_dir, settings.manual_dir = data_dir, manual_dir


def _checked(parser, name, value, path):
    """Return the value that the command line would give this argument."""
    default = parser.defaults().get(name, parser)
    try:
        if default is parser:  # There is no such argument.
            raise ValueError
        if isinstance(default, bool):
            parsed = value if isinstance(value, bool) else None
        elif value is None and default is None:
            return None
        else:
            parsed = getattr(parser.parse_args(_typed(name, value)), name)
        if plain(parsed) != value:
            raise ValueError
    except ValueError as error:
        reason = f" ({error})" if str(error) else ""
        moved = (
            "" if name != "dataset" else " Images that have moved: train.evaluate --dataset PATH."
        )
        raise ValueError(
            f"{path} has the argument {name}={str(value)[:100]!r}, which train.{parser.name} does "
            f"not accept{reason}. Pass a folder that a training script has left.{moved}"
        ) from error
    return parsed


def _typed(name, value):
    """Return an argument as it is typed."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):  # Of a flag that may be left open.
        return [option if value else option.replace("--", "--no-", 1)]
    if not isinstance(value, list):
        return [f"{option}={value}"]
    if any(str(item).startswith("-") for item in value):
        raise ValueError
    return [option, *map(str, value)]
