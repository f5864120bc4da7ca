"""Imported first, it makes Python look for TensorFlow in vain, as where it is not installed.

Not `sys.modules["tensorflow"] = None`: packages look there to see whether it has been imported.
"""

import importlib.machinery

_find_spec = importlib.machinery.PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name == "tensorflow" else _find_spec(name, path, target)


importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
