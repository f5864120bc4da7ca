"""A `.keras` file of one backend goes on, compiled, on every other."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

# Loads a file, says what it makes, and takes one step with fixed noise.
LOAD = """
import json, sys
import keras
import keras_gen
from tests.models import tiny
from tests.models.test_backends_exchange_files import step

model = keras.saving.load_model(sys.argv[1], safe_mode=True)
result = {
    "drawn": tiny.drawn(model).tolist(),
    "steps": tiny.steps(model),
    "jit_compile": bool(model.jit_compile),
    "weights": step(model),
}
model.fit(tiny.examples(model, 24), batch_size=8, epochs=1, verbose=0)
print("RESULT" + json.dumps(result))
"""


def step(model):
    """The weights after one more step, with noise that is the same everywhere."""
    if isinstance(model, kg.GAN):
        model.noise.normal = lambda shape: ops.ones(shape)
    else:
        model.sampling.noise = lambda shape: ops.ones(shape)
    model.train_on_batch(tiny.examples(model, 8))
    return [ops.convert_to_numpy(w).tolist() for w in model.trainable_weights]


@pytest.mark.parametrize("build", [tiny.vae, tiny.r3gan], ids=lambda build: build.__name__)
@pytest.mark.parametrize("other", ["tensorflow", "jax", "torch"])
def test_a_file_goes_on_where_it_stopped(tmp_path, other, build, backend):
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 100)
    tiny.compile_model(model, lambda: keras.optimizers.Adam(schedule))
    model.fit(tiny.examples(model, 24), batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    process = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "model.keras")],
        env={**os.environ, "KERAS_BACKEND": other},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    loaded = json.loads(process.stdout.split("RESULT")[1])
    assert loaded["steps"] == tiny.steps(model)
    assert loaded["jit_compile"] == (other == "jax")  # "auto", not what it meant here.
    np.testing.assert_allclose(*(loaded["drawn"], tiny.drawn(model)), rtol=1e-5, atol=1e-6)
    for a, b in zip(loaded["weights"], step(model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
