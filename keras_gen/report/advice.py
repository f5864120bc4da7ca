"""What to try: the setting of a run that is odd, in words, and a command that can be copied."""

import re
import shlex

from keras_gen.report.reading import is_number

# Why a setting may be the cause; "+" where it is above its default, "-" where it is below.
REASONS = {
    "beta": "it trades the rate against the distortion",
    "+beta": "a large beta empties z",
    "learning_rate": "with steps of the wrong size training ends in a poor place",
    "+learning_rate": "steps that are too large end in a poor place",
    "-learning_rate": "small steps need more epochs",
    "-epochs": "more epochs may be all that it needs",
    "likelihood": "it scales the distortion, against which the rate counts",
    "latent_dim": "it limits what z can hold",
    "network": "it decides what the model can draw",
    "generator_learning_rate": "G and D must keep pace",
    "+generator_learning_rate": "a G that is faster than its D learns from outdated answers",
    "-generator_learning_rate": "a slow G falls behind D",
    "+discriminator_learning_rate": "a D that learns too fast leaves G little to learn from",
    "-discriminator_learning_rate": "a slow D cannot tell samples from data",
    "+d_steps": "more steps make D stronger",
    "conditional": "labels make the task easier for G, and its samples fewer for each class",
    "loss": "it decides what G learns from D",
    "penalty": "it keeps the answers of D smooth",
}


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
    """Return the command of a run, with other settings if any, into a new folder next to it."""
    typed = re.sub(r"^python -m train\.\w+", "", str(run.config.get("command")))
    for name in ("overwrite", "resume", "out", *changes):
        option = rf" --(no-)?{name.replace('_', '-')}(?=[ =]|$)"
        typed = re.sub(rf"{option}([ =](?!--)('[^']*'|\S+))*", "", typed)
    for name, value in run.arguments.items():
        if isinstance(value, float):  # As it is written elsewhere: 0.005 for 5e-3.
            before = f"(?<= --{re.escape(name.replace('_', '-'))}[ =])"
            typed = re.sub(rf"{before}[\d.e+-]+(?= |$)", _show(value), typed)
    words = [typed.strip(), _options(changes)]
    words.append(shlex.join(["--out", f"{run.path}-{'try' if changes else 'again'}"]))
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
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "none" if value is None else str(value)


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
    """Return the suspects whose value is not the default, {name: suspect}, the likeliest first.

    "+beta" is suspected where it is above its default, "-beta" below, and "beta" if it differs.
    """
    found = {}
    for suspect in suspects:
        name = suspect.lstrip("+-")
        if run.differs(name):
            value, default = run.arguments[name], run.defaults[name]
            is_above = is_number(value) and is_number(default) and value > default
            if suspect == name or is_above == (suspect[0] == "+"):
                found.setdefault(name, suspect)
    return found


def explain(run, odd):
    """Return why the first of the odd settings is suspected, and which others may be the cause."""
    (_, suspect), *others = odd.items()
    if not others:
        return f"Why: {REASONS[suspect]}."
    others = ", ".join(in_words(run, name) for name, _ in others)
    return (
        f"Why this one first: {REASONS[suspect]}. The other settings that differ may be the cause, "
        f"too: {others}. Change one at a time."
    )


def put_back(run, *names):
    """Return (advice, command, the part of it that is changed) to try defaults of settings."""
    odd = " and ".join(in_words(run, name) for name in names)
    defaults = {name: run.defaults[name] for name in names}
    return f"Suspect setting: {odd}. Try the default:", repeat(run, **defaults), _options(defaults)


def change(run, **changes):
    """Return (advice, command, the part of it that is changed) to try other settings."""
    return f"Try {_options(changes)}:", repeat(run, **changes), _options(changes)


def _options(changes):
    return " ".join(filter(None, (_option(*item) for item in changes.items())))
