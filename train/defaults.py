"""The settings that a run has by default: a report compares the run's own with them."""

import importlib
import re

from train import by_data, config

SCRIPTS = ("vae", "gan")
# They change where a run is written and how fast it is, but not what is trained.
NO_SETTINGS = {
    *("out", "overwrite", "dataset", "data_dir", "manual_dir", "seed", "sample_every", "preview"),
    *("checkpoint_every", "tensorboard", "jit_compile", "distribute", "evaluate_every", "no_cache"),
}
# The defaults of other settings depend on them.
CHOICES = ("network", "augment", "penalty", "latent_dim", "free_bits", "dynamic_binarization")


def of_run(content, num_examples=None):
    """Return the default of each setting of a run, {} if no script is known to have written it.

    A default that depends on the data, and is not known here, is left out unless the option
    was typed.

    Args:
        content: what config.json holds.
        num_examples: of the training set; the number of epochs for a folder depends on it.
    """
    arguments, command = content.get("arguments"), str(content.get("command"))
    name = re.match(r"python -m train\.(\w+)\b", command)
    if not isinstance(arguments, dict) or name is None or name[1] not in SCRIPTS:
        return {}
    # By name: the scripts import what writes the report.
    script = importlib.import_module(f"train.{name[1]}")
    plain = _filled_in(script, arguments, ("dataset", "recipe"))
    chosen = [k for k in CHOICES if k in plain and plain[k] != arguments.get(k)]
    found = _filled_in(script, arguments, ("dataset", "recipe", *chosen))
    found |= {name: plain[name] for name in chosen} | (
        {"recipe": None} if "recipe" in found else {}
    )
    if found["epochs"] is None and not re.search(r"--epochs\b", command):
        found["epochs"] = arguments.get("epochs")
    if found["epochs"] is None and isinstance(num_examples, int) and num_examples > 0:
        steps = by_data.STEPS["few" if num_examples <= 2_000 else "more"]
        examples = 1  # Of a batch.
        for option in ("batch_size", "d_steps"):
            typed = arguments.get(option)
            is_known = isinstance(typed, int) and typed > 0
            examples *= typed if is_known else found.get(option, 1)
        # A GAN leaves a batch out that is not full.
        is_vae = name[1] == "vae"
        batches = -(-num_examples // examples) if is_vae else max(1, num_examples // examples)
        found["epochs"] = -(-steps // batches)
    return {
        name: value
        for name, value in found.items()
        if name not in NO_SETTINGS
        and (value is not None or re.search(rf"--{name.replace('_', '-')}\b", command))
    }


def _filled_in(script, arguments, names):
    """Return the settings of a script that is given some of the arguments, and no others."""
    args = script.make_parser().parse_args([])
    for name in names:
        if hasattr(args, name) and name in arguments:
            setattr(args, name, arguments[name])
    script.fill_in(args)
    return config.arguments(args)
