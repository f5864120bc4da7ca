"""What to try: the setting of a run that is odd, in words, and a command that can be copied."""

import re
import shlex

from keras_gen.report.reading import is_number


def resume(run):
    """Return the command that continues a run."""
    options = ["--resume", "--out", str(run.path)]
    # A run that is resumed does not believe what config.json says of the place of the data.
    if run.arguments.get("data_dir"):
        options += ["--data-dir", str(run.arguments["data_dir"])]
    if ":" in str(run.arguments.get("dataset")):
        options += ["--dataset", str(run.arguments["dataset"])]
    return _command(run, run.kind, shlex.join(options))


def evaluate(run):
    """Return the command that measures the samples of a run."""
    return _command(run, "evaluate", shlex.quote(str(run.path)))


def repeat(run, **changes):
    """Return the command of a run with other settings, into a new folder next to it."""
    typed = re.sub(r"^python -m train\.\w+", "", str(run.config.get("command")))
    for name in ("overwrite", "resume", "out", *changes):
        option = rf" --(no-)?{name.replace('_', '-')}(?=[ =]|$)"
        typed = re.sub(rf"{option}([ =](?!--)('[^']*'|\S+))*", "", typed)
    words = [typed.strip(), *(_option(*item) for item in changes.items())]
    words.append(shlex.join(["--out", f"{run.path}-2"]))
    return _command(run, run.kind, " ".join(filter(None, words)))


def _command(run, script, options):
    backend = run.config.get("backend")
    start = f"KERAS_BACKEND={shlex.quote(str(backend))} " if backend else ""
    return f"{start}python -m train.{script} {options}"


def _option(name, value):
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    # Without the option no list, and nothing, is the default.
    values = value if isinstance(value, list) else [value]
    return shlex.join([f"--{option}", *map(_show, values)]) if value not in (None, []) else ""


def _show(value):
    if isinstance(value, list):
        return " ".join(map(_show, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def differing(run):
    """Return in words the settings of a run that are not the defaults."""
    return [in_words(run, name) for name in run.defaults if run.differs(name)]


def in_words(run, name):
    """Return a setting next to its default, such as "beta 30 (default 1)"."""
    value, default, label = run.arguments[name], run.defaults[name], name.replace("_", " ")
    if isinstance(value, bool):
        on, off = label, f"not {label}"
        return f"{on} (default: {off})" if value else f"{off} (default: {on})"
    words = f"{_show(value)} epochs" if name == "epochs" else f"{label} {_show(value)}"
    return f"{words} (default {_show(default)})"


def find_odd(run, suspects):
    """Return the first of the suspects whose value is not the default, or None.

    "+beta" is suspected where it is above its default, "-beta" below, and "beta" if it differs.
    """
    for suspect in suspects:
        name = suspect.lstrip("+-")
        if run.differs(name):
            value, default = run.arguments[name], run.defaults[name]
            is_above = is_number(value) and is_number(default) and value > default
            if suspect == name or is_above == (suspect[0] == "+"):
                return name
    return None


def put_back(run, *names):
    """Return (advice, command) to try the defaults of some settings."""
    odd = " and ".join(in_words(run, name) for name in names)
    command = repeat(run, **{name: run.defaults[name] for name in names})
    return f"Suspect setting: {odd}. Try the default:", command


def change(run, **changes):
    """Return (advice, command) to try other settings."""
    return f"Try {' '.join(_option(*item) for item in changes.items())}:", repeat(run, **changes)
