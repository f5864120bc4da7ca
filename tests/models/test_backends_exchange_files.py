"""A `.keras` file of one backend goes on, compiled, on every other."""

import importlib.util
import json
import shutil

import keras
import numpy as np
import pytest

from tests.faults import pairs

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the files that this backend writes."""
    folder = tmp_path_factory.mktemp("pairs")
    pairs.write(folder)
    return folder


@pytest.mark.parametrize("reader", pairs.BACKENDS)
def test_a_file_goes_on_where_it_stopped(folder, reader, backend):
    if importlib.util.find_spec(reader) is None:
        pytest.skip(f"{reader} is not installed")
    if reader == backend:
        pairs.read(folder)
    else:
        pairs.start("read", folder, reader)
    result = json.loads((folder / f"{reader}.json").read_text())
    assert result == {
        backend: {
            model: {build.__name__: [] for build in builds}
            for model, builds in pairs.MODELS.items()
        }
    }


@pytest.mark.parametrize(
    ("build", "number", "change", "found"),
    [
        # Adam's moments of the two players come after the counts and rates.
        (pairs.gan_of_adam, "variable_5", 1e-3, "variable_5 of the optimizer is not what was"),
        (pairs.gan_of_adam, "weight_0", 3e-5, "weight_0 is off by"),
        (pairs.vae_of_adamw, "log_loss", 1e-2, "log_loss is off by"),
        (pairs.vae_of_adamw, "variable_0", 1, "variable_0 of the optimizer is not what was"),
    ],
)
def test_a_difference_is_found(folder, tmp_path, backend, build, number, change, found):
    for suffix in ("keras", "npz"):
        name = f"{build.__name__}.{backend}.{suffix}"
        shutil.copy(folder / name, tmp_path / name)
    path = tmp_path / f"{build.__name__}.{backend}.keras"
    with np.load(path.with_suffix(".npz")) as file:
        wanted = dict(file)
    wanted[number] = wanted[number] + change
    np.savez(path.with_suffix(".npz"), **wanted)
    (fault,) = pairs.faults(path)
    assert fault.startswith(found)


def test_a_pair_with_a_fault_does_not_count(tmp_path):
    for name in pairs.BACKENDS:
        good = {model: {"one": [], "two": []} for model in pairs.MODELS}
        result = {writer: good for writer in pairs.BACKENDS}
        if name == "jax":
            result = {**result, "torch": {**good, "gan": {"one": [], "two": ["it differs"]}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    installed = sum(importlib.util.find_spec(name) is not None for name in pairs.BACKENDS)
    bad = importlib.util.find_spec("jax") is not None
    assert pairs.cross_backend("torch", "gan", tmp_path) == (installed - bad, installed)
    assert pairs.cross_backend("torch", "vae", tmp_path) == (installed, installed)


def test_a_model_whose_weights_became_averages_trains_on():
    vae = pairs.vae_of_adamw()
    x = pairs.examples(16)
    for _ in range(2):  # On JAX, Keras's own end of `fit` leaves what no step can take.
        history = vae.fit(x, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert int(keras.ops.convert_to_numpy(vae.optimizer.iterations)) == 4
