"""The first import of keras_gen: Keras, or an error that says which framework is missing."""

import importlib.util

FRAMEWORKS = ("tensorflow", "jax", "torch")

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    # Keras imports its framework first, and says no more than that there is no such module.
    if error.name not in FRAMEWORKS:
        raise
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    found = f"{' and '.join(installed)} can be imported" if installed else "none is installed"
    raise ImportError(
        f"keras_gen runs on TensorFlow, JAX or PyTorch. Keras looks for {error.name!r}, which is "
        f"not installed; of the three, {found}.\n"
        "Install one, as the extra `keras_gen[tensorflow]`, `keras_gen[jax]` or `keras_gen[torch]` "
        "of this library or by itself, and name it before Python starts: "
        f"KERAS_BACKEND={installed[0] if installed else 'jax'}. Without KERAS_BACKEND Keras reads "
        "~/.keras/keras.json, and else runs on tensorflow."
    ) from error
