"""Models as files that run without Keras: TensorFlow SavedModel and ONNX, with named functions."""

import pathlib
import tempfile

import keras

from keras_gen.export.comparison import IN_FLOAT32, compare, make_cases
from keras_gen.export.signature import Signature, samplers, signatures
from keras_gen.export.writing import FORMATS, write, write_elsewhere, writer

__all__ = ["Signature", "check_target", "export", "samplers", "signatures", "writer"]

_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}


def export(model, filepath, format="tf_saved_model", verbose=True, overwrite=False):
    """Write a model's functions, its `signatures`, to a folder of files that need no Keras.

    They are written next to `filepath`, loaded by a fresh process that has neither Keras nor
    this library, and compared with the model in batches of 1 and 3; then they are put in
    place. The size of the batch is free. A format that this backend does not write is written by
    another that is installed.

    Args:
        model: Model of this library.
        filepath: Folder, which must not exist.
        format: "tf_saved_model", or "onnx": a file for each signature that draws no noise.
        verbose: False prints nothing.
        overwrite: True replaces a folder that an export has left.

    Returns:
        For each signature its largest difference from the model, relative to a value's size, or
        to 1 where that is greater; None if it draws noise that cannot be compared. Allowed are
        1e-5, or in float32 16 times what moving the inputs in their last bit changes.

    Raises:
        ImportError: If no backend with the packages for the format is installed.
        RuntimeError: If the files cannot be loaded, or disagree; they are deleted.
        ValueError: If `filepath` exists, or the format is neither of the two.
    """
    if format not in FORMATS:
        raise ValueError(
            f'`format` is {format!r}. Pass "tf_saved_model" or "onnx"; Keras exports single '
            f'networks to others, such as `vae.decoder.export("decoder.tflite", format="litert")`.'
        )
    target = pathlib.Path(filepath)
    check_target(target, overwrite)
    backend = writer(format)
    if model.example_shape is None:
        raise ValueError(
            f"This {type(model).__name__} does not know its sizes yet: its networks are not "
            f"functional models. Call it on a batch, or `fit` it, before the export."
        )
    if format == "onnx" and model.dtype_policy.compute_dtype != "float32":
        raise ValueError(
            f"ONNX files are float32, and this {type(model).__name__} computes in "
            f"{model.dtype_policy.compute_dtype}. {IN_FLOAT32}"
        )
    cases = make_cases(model, signatures(model, format), backend == keras.config.backend())
    target.parent.mkdir(parents=True, exist_ok=True)
    # Absolute, because the process that checks the files runs in another folder.
    parent = target.parent.absolute()
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{target.name}.") as folder:
        # A folder inside it, because only its owner can read the outer one.
        unchecked = pathlib.Path(folder) / "export"
        if backend == keras.config.backend():
            write(model, unchecked, format)
        else:
            write_elsewhere(model, unchecked, format, backend)
        differences = compare(model, unchecked, format, cases)
        _put_in_place(unchecked, target, pathlib.Path(folder) / "replaced")
    if verbose:
        print(f"Exported to {target}: {', '.join(differences)}")
    return differences


def check_target(target, overwrite):
    """Raise ValueError unless an export may be put at `target`."""
    if target.suffix == ".onnx":
        raise ValueError(f'{target} would be a folder: pass "{target.stem}" and format="onnx".')
    if not target.exists():
        return
    if not overwrite:
        raise ValueError(f"{target} exists. Name another, or pass overwrite=True (--overwrite).")
    names = {path.name for path in target.iterdir()} if target.is_dir() else {""}
    if not (names <= _SAVED_MODEL or all(name.endswith(".onnx") for name in names)):
        raise ValueError(
            f"{target} is not a folder that an export has left, so it is kept. Name another."
        )


def _put_in_place(folder, target, replaced):
    if target.exists():
        target.rename(replaced)
    try:
        folder.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
