"""Compare exported files, run by a fresh process, with the model that they came from."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
from keras import ops

from keras_gen import seeds
from keras_gen.export.signature import named_function
from keras_gen.export.writing import last_line

# Relative to a value, or to 1 where that is greater. A network with long sums may round more than
# that. Moving its inputs in their last bit shows how much: two frameworks differ by one to three
# times what this changes (64x64x3 networks), and by this factor they may.
TOLERANCE, FACTOR = 1e-5, 16
IN_FLOAT32 = (
    'Build it again under `keras.config.set_dtype_policy("float32")`, give it the weights by '
    "`new.set_weights(model.get_weights())`, and export that."
)


def make_cases(model, signatures, same_backend):
    """Return inputs for the files, in batches of 1 and 3, with the model's outputs, as NumPy."""
    random = np.random.default_rng(0)
    cases = []
    for name, signature in signatures.items():
        for n in (1, 3):
            inputs = {spec.name: _input(spec, n, model, random) for spec in signature.inputs}
            first, second, moved = _outputs(model, signature, inputs, random)
            if not all(np.all(np.isfinite(value)) for value in first.values()):
                raise ValueError(
                    f"`{name}` of this {type(model).__name__} gives values that are not finite, so "
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
                    "rounding": 0.0 if signature.draws else _largest_difference(first, moved),
                    "seeded": seeded,
                    # Streams differ between backends, and one without a seed moves on.
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
        if spec.name == "codes":
            return random.integers(model.quantizer.num_codes, size=shape).astype(spec.dtype)
        labels = np.arange(np.prod(shape)) % (model.num_classes or 1)
        return labels.reshape(shape).astype(spec.dtype)
    return random.standard_normal(shape).astype(spec.dtype)


def _outputs(model, signature, inputs, random):
    """Return what the model gives, also with another seed, and with inputs moved by rounding."""
    function = named_function(signature)
    reseeded = {k: v + (k == "seed") for k, v in inputs.items()}
    moved = {
        k: v * (1 + np.finfo(v.dtype).eps * random.choice((-1, 1), v.shape)).astype(v.dtype)
        if v.dtype == "float32"
        else v
        for k, v in inputs.items()
    }
    with seeds.unchanged(model):
        return [
            {
                name: np.array(ops.convert_to_numpy(value))
                for name, value in function(*map(ops.convert_to_tensor, values.values())).items()
            }
            for values in (inputs, reseeded, moved)
        ]


def _largest_difference(outputs, others):
    return max(
        float(np.max(np.abs(outputs[k] - others[k]) / np.maximum(1, np.abs(outputs[k]))))
        for k in outputs
    )


def _tolerance(model, cases):
    """Return what the model and its files may differ by: what float32 rounds, or `TOLERANCE`."""
    rounding = max(case["rounding"] for case in cases)
    in_float32 = model.dtype_policy.compute_dtype == "float32"
    return max(TOLERANCE, FACTOR * rounding) if in_float32 else TOLERANCE


def _advice(model):
    advice = []
    if re.search("cuda|gpu", str(ops.ones(()).device).lower()):
        advice.append("An NVIDIA GPU rounds to TF32: set NVIDIA_TF32_OVERRIDE=0 for the export.")
    if model.dtype_policy.compute_dtype != "float32":
        advice.append(f"Every compiler rounds half precision differently. {IN_FLOAT32}")
    return " ".join(advice) or (
        "Rounding explains less: a layer of the model does something else in that format."
    )


def compare(model, folder, format, cases):
    """Return each signature's largest difference from the model; RuntimeError if one is large.

    A fresh process, in which keras_gen cannot be imported, runs the files.
    """
    arrays = {}
    for i, case in enumerate(cases):
        for key in ("inputs", "outputs"):
            arrays |= {f"{i}/{key}/{name}": value for name, value in case[key].items()}
            case[key] = list(case[key])
    np.savez(folder.with_name("cases.npz"), **arrays)
    root = pathlib.Path(__file__).parents[2]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    process = subprocess.run(
        [
            sys.executable,
            "-P",
            pathlib.Path(__file__).with_name("check.py"),
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
            f"The {format} that was written cannot be used: {last_line(process.stderr)}\nNothing "
            f"was exported."
        )
    differences = json.loads(process.stdout.splitlines()[-1])
    tolerance = _tolerance(model, cases)
    for name, difference in differences.items():
        if difference is not None and difference > tolerance:
            raise RuntimeError(
                f"The {format} that was written disagrees with the model: {name} by "
                f"{difference:.2g}, and {tolerance:.2g} is allowed. Nothing was exported. "
                f"{_advice(model)}"
            )
    return differences
