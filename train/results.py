"""Numbers that a script ends with, as JSON, and whether they are numbers at all."""

import json
import math
import sys

BYTES = 2**20


def finite(metrics):
    """Return numbers as JSON has them: None for NaN, the KL of a GAN without one good sample."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}


def check_converged(numbers):
    """End the script, with exit code 1, if one of the final numbers is not finite."""
    for name, value in numbers.items():
        if not math.isfinite(value):
            sys.exit(
                f"Training diverged: the final {name} is {value}, so no model is saved. Try a "
                f"smaller learning rate."
            )


def write_json(path, content):
    """Write a file whole or not at all."""
    write(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write(path, content):
    """Write bytes whole or not at all."""
    from keras_gen import files

    with files.whole(path) as unfinished:
        unfinished.write_bytes(content)


def read_json(path):
    """Return the object in a JSON file; ValueError if there is none, or a larger one than ours."""
    if path.stat().st_size > BYTES:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes; at most {BYTES:,} are allowed."
        )
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; an object is expected.")
    return content
