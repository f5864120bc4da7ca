"""Checksum of a model's configuration, without the names that Keras numbers."""

import hashlib
import json


def identity(model):
    """Return the sha256 of a model's class, configuration, optimizers and shapes of weights."""
    content = {
        "class": type(model).__name__,
        "config": model.get_config(),
        "compile": model.get_compile_config(),
        "weights": [[list(weight.shape), str(weight.dtype)] for weight in model.weights],
    }
    # JSON makes lists of tuples, and `str` makes text of the values that JSON cannot hold.
    content = json.loads(json.dumps(content, default=str))
    names = {name: f"name {i}" for i, name in enumerate(dict.fromkeys(_names(content)))}
    text = json.dumps(_renamed(content, names), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _names(content):
    if isinstance(content, dict):
        if isinstance(content.get("name"), str):
            yield content["name"]
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from _names(value)


def _renamed(content, names):
    if isinstance(content, dict):
        # A "shared_object_id" is an address in memory, which differs in every process.
        return {
            key: _renamed(value, names)
            for key, value in content.items()
            if key != "shared_object_id"
        }
    if isinstance(content, list):
        return [_renamed(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content
