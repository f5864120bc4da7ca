"""Run exported files and compare them with the model: a program, run in a process of its own.

`python -P check.py FOLDER FORMAT CASES` prints, as JSON, the largest difference of each signature
from the outputs that the model gave, |a - b| / max(1, |b|), or null if it draws noise that cannot
be compared. The arrays are in cases.npz, next to FOLDER. The program exits with a message if the
files do not load, or if samples repeat.
"""

import json
import pathlib
import sys

import numpy as np

# An exported file must not need it.
sys.modules["keras_gen"] = None


def main():
    folder, format, cases = sys.argv[1:]
    arrays = np.load(pathlib.Path(folder).with_name("cases.npz"))
    call = {"tf_saved_model": load_saved_model, "onnx": load_onnx}[format](folder)
    differences = {}
    for i, case in enumerate(json.loads(cases)):
        name = case["signature"]
        inputs = {key: arrays[f"{i}/inputs/{key}"] for key in case["inputs"]}
        outputs = call(name, inputs)
        if sorted(outputs) != sorted(case["outputs"]):
            sys.exit(f"{name} gives {sorted(outputs)}, and the model {sorted(case['outputs'])}.")
        if case["draws"]:
            check_draws(case, call, inputs, outputs)
        for key, value in outputs.items():
            difference = largest_difference(name, value, arrays[f"{i}/outputs/{key}"])
            if not np.isfinite(difference):  # `max` may pass over a NaN.
                sys.exit(f"{name} gives values that are not finite, unlike the model.")
            differences.setdefault(name, [])
            if case["compared"]:
                differences[name].append(difference)
    print(json.dumps({name: max(found, default=None) for name, found in differences.items()}))


def load_saved_model(folder):
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)

    def call(name, inputs):
        # Both ways to run it: calling the loaded object, and the signature that a server runs.
        outputs = getattr(loaded, name)(*map(tf.constant, inputs.values()))
        named = {key: tf.constant(value) for key, value in inputs.items()}
        served = loaded.signatures[name](**named)
        if sorted(outputs) != sorted(served):
            sys.exit(f"{name} gives {sorted(outputs)} called and {sorted(served)} served.")
        return {key: value.numpy() for key, value in served.items()}

    return call


def load_onnx(folder):
    import onnxruntime

    def call(name, inputs):
        session = onnxruntime.InferenceSession(
            str(pathlib.Path(folder) / f"{name}.onnx"), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))

    return call


def check_draws(case, call, inputs, outputs):
    name = case["signature"]
    again = call(name, inputs)
    if case["seeded"]:
        if not are_equal(outputs, again):
            sys.exit(f"{name} does not repeat what it drew from the same seed.")
        again = call(name, {**inputs, "seed": inputs["seed"] + 1})
    if case["varies"] and are_equal(outputs, again):
        sys.exit(f"{name} draws the same again.")


def are_equal(a, b):
    return all(np.array_equal(a[key], b[key]) for key in a)


def largest_difference(name, value, expected):
    if value.shape != expected.shape:
        sys.exit(f"{name} gives shape {value.shape}, and the model {expected.shape}.")
    return float(np.max(np.abs(value - expected) / np.maximum(1, np.abs(expected))))


if __name__ == "__main__":
    main()
