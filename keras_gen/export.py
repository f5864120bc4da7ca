"""Models as files that run without Keras: TensorFlow SavedModel and ONNX, by named signatures."""

import contextlib
import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gen.dtypes import in_float32

FORMATS = ("tf_saved_model", "onnx")
TOLERANCE = 1e-5

# The backends that write a format, and the packages that it takes there. JAX writes SavedModels
# through TensorFlow, and its own way to ONNX, jax2onnx, would bring thirty packages along.
_WRITERS = {
    "tf_saved_model": {"tensorflow": ("tensorflow",), "jax": ("jax", "tensorflow")},
    "onnx": {
        "torch": ("torch", "onnx", "onnxruntime"),
        "tensorflow": ("tensorflow", "tf2onnx", "onnxruntime"),
    },
}
_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
_MISSING = {
    "tf_saved_model": "A SavedModel is written by TensorFlow, which is not installed: `pip install "
    'tensorflow`. Or export with format="onnx".',
    "onnx": "ONNX files are written by torch with onnx, or by TensorFlow with tf2onnx, and checked "
    "by onnxruntime: `pip install onnx onnxruntime` beside torch, `pip install tf2onnx "
    "onnxruntime` beside TensorFlow.",
}
_IN_FLOAT32 = (
    'Build it anew under `keras.config.set_dtype_policy("float32")`, give it the weights by '
    "`new.set_weights(model.get_weights())`, and export that."
)


class Signature(NamedTuple):
    """One function of an exported model.

    Attributes:
        function: Tensors, in the order of `inputs`, -> a dictionary of tensors by name.
        inputs: `keras.InputSpec`s with names. None is the size of the batch; integers are labels,
            but for a `seed` of shape (2,).
        draws: True if it draws random numbers: from a stream of the model's, or, if there is a
            `seed`, the same ones for the same seed. ONNX has no such functions.
    """

    function: object
    inputs: list
    draws: bool = False


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
        For each signature its largest difference from the model, at most 1e-5 of a value's
        size, or of 1 where that is greater; None if it draws noise that cannot be compared.

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
            f"{model.dtype_policy.compute_dtype}. {_IN_FLOAT32}"
        )
    cases = _cases(model, signatures(model, format), backend == keras.config.backend())

    target.parent.mkdir(parents=True, exist_ok=True)
    # Absolute: the process that checks the files runs in another folder.
    parent = target.parent.absolute()
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{target.name}.") as folder:
        # A folder in it: the outer one can be read by its owner alone.
        unchecked = pathlib.Path(folder) / "export"
        if backend == keras.config.backend():
            write(model, unchecked, format)
        else:
            _write_elsewhere(model, unchecked, format, backend)
        differences = _checked(unchecked, format, cases)
        _put_in_place(unchecked, target, pathlib.Path(folder) / "replaced")
    if verbose:
        print(f"Exported to {target}: {', '.join(differences)}")
    return differences


def samplers(stream, size, examples, has_labels):
    """Return the signatures `sample` and `sample_seeded` of `examples(noise, y)`, tensors.

    Args:
        stream: The `Noise` layer to draw from.
        size: Number of normal draws that an example needs.
        examples: Called with (batch, size) of them, and with labels int32 (batch,) or None.
        has_labels: True if the input `like`, which gives the size of the batch, holds labels.
    """

    def noise(like):
        return stream.normal((ops.shape(like)[0], size))

    def sample(like):
        return {"x": examples(noise(like), like if has_labels else None)}

    def sample_seeded(like, seed):
        # Nothing but the noise is drawn in it: on JAX the weights would become constants.
        with keras.StatelessScope([(stream.seed_generator.state, seed)]):
            drawn = noise(like)
        return {"x": examples(drawn, like if has_labels else None)}

    like = keras.InputSpec(shape=(None,), dtype="int32", name="like")
    seed = keras.InputSpec(shape=(2,), dtype="int32", name="seed")
    return {
        "sample": Signature(sample, [like], draws=True),
        "sample_seeded": Signature(sample_seeded, [like, seed], draws=True),
    }


def signatures(model, format):
    """Return the functions of a model that a format can hold: a name -> `Signature`."""
    signatures = model.signatures()
    if model.num_classes is not None:
        signatures = {
            name: _with_unknown_labels(signature, model.num_classes)
            for name, signature in signatures.items()
        }
    if format == "onnx":
        # tf2onnx and torch write files of random numbers that no one can load.
        signatures = {name: s for name, s in signatures.items() if not s.draws}
    return signatures


def _with_unknown_labels(signature, num_classes):
    """Return it with outputs of NaN where a label is out of range: a served model raises nothing.

    The labels are its input `y`, or else `like`; a signature without both comes back as it is.
    """
    names = [spec.name for spec in signature.inputs]
    found = [names.index(name) for name in ("y", "like") if name in names]
    if not found:
        return signature
    place = found[0]

    def function(*inputs):
        y = inputs[place]
        inputs = list(inputs)
        inputs[place] = ops.clip(y, 0, num_classes - 1)
        known = ops.cast(ops.reshape(inputs[place] == y, (ops.shape(y)[0], -1)), "float32")
        # sqrt(0) is 0, and sqrt(-1) is NaN. Not `where`: tf2onnx makes a product of it, and
        # NaN times 0 is NaN.
        nothing = ops.sqrt(ops.min(known, axis=1) - 1)
        return {
            name: value + ops.reshape(nothing, (-1, *[1] * (len(value.shape) - 1)))
            for name, value in signature.function(*inputs).items()
        }

    return signature._replace(function=function)


def check_target(target, overwrite):
    """Raises ValueError where an export may not be put."""
    if not target.exists():
        return
    if not overwrite:
        raise ValueError(f"{target} exists. Name another folder, or pass overwrite=True.")
    names = {path.name for path in target.iterdir()} if target.is_dir() else None
    is_onnx = names is not None and all(name.endswith(".onnx") for name in names)
    if names is None or not (is_onnx or names <= _SAVED_MODEL):
        raise ValueError(
            f"{target} is not a folder that an export has left, and is not replaced. Name another."
        )


def writer(format):
    """The backend that writes a format, this one if it can; ImportError if none does."""
    writers = _WRITERS[format]
    for backend in (keras.config.backend(), "torch", "tensorflow"):
        if backend in writers and all(map(importlib.util.find_spec, writers[backend])):
            return backend
    raise ImportError(_MISSING[format])


def write(model, folder, format):
    """Writes the files of a model, unchecked, with what this backend has for it."""
    writers = {"tf_saved_model": _write_saved_model, "onnx": _write_onnx}
    # A failed export on JAX leaves tracers in the seeds.
    with _unmoved(model), warnings.catch_warnings():
        # Of what might not have been converted: the comparison shows whether it was.
        warnings.simplefilter("ignore")
        try:
            writers[format](model, signatures(model, format), pathlib.Path(folder))
        except OSError:
            raise
        except Exception as error:  # Of whatever kind the frameworks have.
            raise RuntimeError(
                f"{type(model).__name__} cannot be written as {format} by the "
                f"{keras.config.backend()} backend: {error}"
            ) from error


def write_file(path, folder, format):
    """`write` for the model in a `.keras` file; run in a process with another backend."""
    write(keras.saving.load_model(path, compile=False), folder, format)


def _write_saved_model(model, signatures, folder):
    archive = keras.export.ExportArchive()
    archive.track(model)  # On JAX the streams of an untracked model would be frozen.
    options = {}
    if keras.config.backend() == "jax":
        # What is trained on a GPU is served on a CPU too.
        options["jax2tf_kwargs"] = {
            "native_serialization": True,
            "native_serialization_platforms": ("cpu", "cuda"),
            "with_gradient": False,
        }
    for name, signature in signatures.items():
        archive.add_endpoint(name, _named(signature), list(signature.inputs), **options)
    archive.write_out(str(folder), verbose=False)


def _write_onnx(model, signatures, folder):
    import onnx

    folder.mkdir()
    for name, signature in signatures.items():
        path = folder / f"{name}.onnx"
        endpoint = _Endpoint(model, signature)
        # Built by a call: torch may find no weights that it has not seen before it traces.
        shapes = ([2 if n is None else n for n in spec.shape] for spec in signature.inputs)
        specs = zip(shapes, signature.inputs, strict=True)
        endpoint([ops.zeros(shape, dtype=spec.dtype) for shape, spec in specs])
        # Keras's own export of a model with one list of inputs.
        keras.Model.export(
            endpoint, str(path), format="onnx", verbose=False, input_signature=[signature.inputs]
        )
        onnx.save(_with_named_outputs(onnx.load(path), endpoint.output_names), path)


class _Endpoint(keras.Model):
    def __init__(self, model, signature):
        super().__init__(name="endpoint")
        self.model = model
        self.function = _named(signature)

    def call(self, inputs):
        outputs = self.function(*inputs)
        self.output_names = list(outputs)
        return list(outputs.values())


def _with_named_outputs(graph_file, names):
    """An ONNX model whose outputs have these names, in place of numbers."""
    import onnx

    graph = graph_file.graph
    for output, name in zip(graph.output, names, strict=True):
        graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name
    return graph_file


def _named(signature):
    """Its function with parameters named like its inputs, and outputs in float32."""

    def function(*inputs):
        outputs = signature.function(*inputs)
        return {
            name: in_float32(v) if keras.backend.is_float_dtype(v.dtype) else v
            for name, v in outputs.items()
        }

    function.__signature__ = inspect.Signature(
        inspect.Parameter(spec.name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for spec in signature.inputs
    )
    return function


def _write_elsewhere(model, folder, format, backend):
    """Writes the model through a `.keras` file, in a process with another backend."""
    file = folder.with_name("model.keras")
    model.save(file)
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from keras_gen import export; export.write_file(*sys.argv[1:])",
            *map(str, (file, folder, format)),
        ],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            # Where a user's own networks are found.
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
    )
    file.unlink()
    if process.returncode:
        raise RuntimeError(
            f"The {keras.config.backend()} backend does not write {format}, so the model was saved "
            f"and loaded on {backend}, which failed: {_last_line(process.stderr)}\nA network of "
            f"your own must be registered (`keras.saving.register_keras_serializable`) in a module "
            f"that can be imported, not in the script or notebook itself; or export it under "
            f"KERAS_BACKEND={backend}."
        )


def _cases(model, signatures, same_backend):
    """What the files are asked, in batches of 1 and 3, and what the model answers, NumPy."""
    random = np.random.default_rng(0)
    cases = []
    for name, signature in signatures.items():
        for n in (1, 3):
            inputs = {spec.name: _input(spec, n, model, random) for spec in signature.inputs}
            first, second = _answers(model, signature, inputs)
            if not all(np.all(np.isfinite(value)) for value in first.values()):
                raise ValueError(
                    f"`{name}` of this {type(model).__name__} gives values that are not finite: "
                    f"there is nothing to export. Its training has diverged."
                )
            seeded = "seed" in inputs
            cases.append(
                {
                    "signature": name,
                    "size": n,
                    "inputs": inputs,
                    "outputs": first,
                    "draws": signature.draws,
                    "seeded": seeded,
                    # Streams differ between backends, and a free one moves on.
                    "compared": not signature.draws or (seeded and same_backend),
                    # A collapsed model gives one image for every z.
                    "varies": any(not np.array_equal(first[key], second[key]) for key in first),
                }
            )
    return cases


def _input(spec, n, model, random):
    shape = [n if size is None else size for size in spec.shape]
    if spec.name == "seed":
        return random.integers(2**31, size=shape).astype("int32")
    if keras.backend.is_int_dtype(spec.dtype):
        labels = np.arange(np.prod(shape)) % (model.num_classes or 1)
        return labels.reshape(shape).astype(spec.dtype)
    return random.standard_normal(shape).astype(spec.dtype)


def _answers(model, signature, inputs):
    """The model's outputs twice, the second time with another seed."""
    function = _named(signature)
    with _unmoved(model):
        return [
            {
                name: np.array(ops.convert_to_numpy(value))
                for name, value in function(*map(ops.convert_to_tensor, values)).items()
            }
            for values in (inputs.values(), [v + (k == "seed") for k, v in inputs.items()])
        ]


@contextlib.contextmanager
def _unmoved(model):
    """Puts the model's streams of noise back where they were."""
    weights = {id(weight) for weight in model.weights}
    states = [
        (variable, np.array(ops.convert_to_numpy(variable)))
        for variable in model.variables
        if id(variable) not in weights
    ]
    try:
        yield
    finally:
        for state, value in states:
            state.assign(value)


def _checked(folder, format, cases):
    """The largest difference from the model for every signature; RuntimeError if one is large.

    The files are run by a fresh process in which keras_gen cannot be imported.
    """
    arrays = {}
    for i, case in enumerate(cases):
        for key in ("inputs", "outputs"):
            arrays |= {f"{i}/{key}/{name}": value for name, value in case[key].items()}
            case[key] = list(case[key])
    np.savez(folder.with_name("cases.npz"), **arrays)
    root = pathlib.Path(__file__).parents[1]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    process = subprocess.run(
        [
            sys.executable,
            "-P",
            pathlib.Path(__file__).with_name("export_check.py"),
            *(folder, format, json.dumps(cases)),
        ],
        cwd=folder.parent,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                p for p in paths if p and pathlib.Path(p).resolve() != root
            ),
            "KERAS_BACKEND": "tensorflow",  # TensorFlow imports Keras.
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(
            f"The {format} that was written cannot be used: {_last_line(process.stderr)}\nNothing "
            f"was exported."
        )
    differences = json.loads(process.stdout.splitlines()[-1])
    for name, difference in differences.items():
        if difference is not None and difference > TOLERANCE:
            raise RuntimeError(
                f"The {format} that was written disagrees with the model: {name} by "
                f"{difference:g}, and {TOLERANCE:g} is allowed. Nothing was exported. On an NVIDIA "
                f"GPU, which rounds to TF32, set NVIDIA_TF32_OVERRIDE=0 for the export. Half "
                f"precision is rounded otherwise by every compiler: a model in it may not agree. "
                f"{_IN_FLOAT32}"
            )
    return differences


def _put_in_place(folder, target, replaced):
    if target.exists():
        target.rename(replaced)
    try:
        folder.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise


def _last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing."
