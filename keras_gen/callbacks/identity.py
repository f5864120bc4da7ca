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
    names = {}
    _collect_names(content, names)
    text = json.dumps(_renamed(content, names), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _collect_names(content, names):
    if isinstance(content, dict):
        name = content.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"name {len(names)}")
        for value in content.values():
            _collect_names(value, names)
    elif isinstance(content, list):
        for value in content:
            _collect_names(value, names)


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
