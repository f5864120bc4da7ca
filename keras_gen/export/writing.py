"""Write the files of an export, in this process or in one with another backend."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import warnings

import keras
from keras import ops

from keras_gen import seeds
from keras_gen.export.signature import named_function, signatures

FORMATS = ("tf_saved_model", "onnx")
# The backends that write a format, and the packages that each needs for it. JAX writes SavedModels
# through TensorFlow. Its own way to ONNX, jax2onnx, would bring thirty packages along.
_WRITERS = {
    "tf_saved_model": {"tensorflow": ("tensorflow",), "jax": ("jax", "tensorflow")},
    "onnx": {
        "torch": ("torch", "onnx", "onnxruntime"),
        "tensorflow": ("tensorflow", "tf2onnx", "onnxruntime"),
    },
}
_MISSING = {
    "tf_saved_model": "A SavedModel is written by TensorFlow, which is not installed: `pip install "
    'tensorflow`. Or export with format="onnx".',
    "onnx": "ONNX files are written by torch with onnx, or by TensorFlow with tf2onnx, and checked "
    "by onnxruntime: `pip install onnx onnxruntime` next to torch, `pip install tf2onnx "
    "onnxruntime` next to TensorFlow.",
}


def writer(format):
    """Return the backend that writes a format, this one if it can; ImportError if none can."""
    writers = _WRITERS[format]
    for backend in (keras.config.backend(), "torch", "tensorflow"):
        if backend in writers and all(map(importlib.util.find_spec, writers[backend])):
            return backend
    raise ImportError(_MISSING[format])


def write(model, folder, format):
    """Write the files of a model with this backend; they are not checked yet."""
    writers = {"tf_saved_model": _write_saved_model, "onnx": _write_onnx}
    # A failed export on JAX leaves tracers in the seeds.
    with seeds.unchanged(model), warnings.catch_warnings():
        # They say what may not have been converted; the comparison shows whether it was.
        warnings.simplefilter("ignore")
        try:
            writers[format](model, signatures(model, format), pathlib.Path(folder))
        except OSError:
            raise
        except Exception as error:  # Each framework has its own kinds.
            raise RuntimeError(
                f"{type(model).__name__} cannot be written as {format} by the "
                f"{keras.config.backend()} backend: {error}"
            ) from error


def write_file(path, folder, format):
    """Write the model of a `.keras` file; run in a process with another backend."""
    write(keras.saving.load_model(path, compile=False), folder, format)


def write_elsewhere(model, folder, format, backend):
    """Write the model through a `.keras` file, in a process with another backend."""
    file = folder.with_name("model.keras")
    model.save(file)
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from keras_gen.export import writing; writing.write_file(*sys.argv[1:])",
            *map(str, (file, folder, format)),
        ],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            # The modules with a user's own networks are found there.
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
    )
    file.unlink()
    if process.returncode:
        raise RuntimeError(
            f"The {keras.config.backend()} backend does not write {format}, so the model was saved "
            f"and loaded on {backend}, which failed: {last_line(process.stderr)}\nA network of "
            f"your own must be registered (`keras.saving.register_keras_serializable`) in a module "
            f"that can be imported, not in the script or notebook itself; or export it under "
            f"KERAS_BACKEND={backend}."
        )


def _write_saved_model(model, signatures, folder):
    archive = keras.export.ExportArchive()
    archive.track(model)  # On JAX the streams of a model that is not tracked would be frozen.
    options = {}
    if keras.config.backend() == "jax":
        # A model that was trained on a GPU is served on a CPU too.
        options["jax2tf_kwargs"] = {
            "native_serialization": True,
            "native_serialization_platforms": ("cpu", "cuda"),
            "with_gradient": False,
        }
    for name, signature in signatures.items():
        archive.add_endpoint(name, named_function(signature), list(signature.inputs), **options)
    archive.write_out(str(folder), verbose=False)


def _write_onnx(model, signatures, folder):
    import onnx

    folder.mkdir()
    for name, signature in signatures.items():
        path = folder / f"{name}.onnx"
        endpoint = _Endpoint(model, signature)
        # The call builds it: while torch traces, no new weights may appear.
        shapes = ([2 if n is None else n for n in spec.shape] for spec in signature.inputs)
        specs = zip(shapes, signature.inputs, strict=True)
        endpoint([ops.zeros(shape, dtype=spec.dtype) for shape, spec in specs])
        # Keras's own export, for a model whose inputs are one list.
        keras.Model.export(
            endpoint, str(path), format="onnx", verbose=False, input_signature=[signature.inputs]
        )
        onnx.save(_with_named_outputs(onnx.load(path), endpoint.output_names), path)


class _Endpoint(keras.Model):
    def __init__(self, model, signature):
        super().__init__(name="endpoint")
        self.model = model
        self.function = named_function(signature)

    def call(self, inputs):
        outputs = self.function(*inputs)
        self.output_names = list(outputs)
        return list(outputs.values())


def _with_named_outputs(graph_file, names):
    import onnx

    graph = graph_file.graph
    # Torch names values after variables of the code: one inside may have the name of an output.
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [f"{end}_inside" if end in names else end for end in ends]
    for kept in (*graph.output, *graph.initializer, *graph.value_info):
        kept.name = f"{kept.name}_inside" if kept.name in names else kept.name
    for output, name in zip(graph.output, names, strict=True):
        graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name
    return graph_file


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing."
