"""What has to be installed, and for what."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FRAMEWORKS = ("tensorflow", "jax", "torch")
# Packages of the extras and packages that those install, by the names they are imported by.
OTHERS = (
    *("tensorflow_datasets", "array_record", "importlib_resources", "requests", "sklearn"),
    *("matplotlib", "tensorboard", "onnx", "onnxruntime", "tf2onnx", "optax", "pytest", "pandas"),
    *("jinja2", "plotly", "selenium", "gradio", "imageio_ffmpeg"),
)

# Python looks for these packages in vain, as where they are not installed. Not
# `sys.modules[name] = None`: packages look there to see what has been imported.
MISSING = """
import importlib.machinery

find = importlib.machinery.PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in {missing!r} else find(name, path, target)

importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
"""

TRAIN = """
import os
import sys
import numpy as np
import keras
import keras_gen as kg

x = np.random.default_rng(0).random((64, 8, 8, 1), "float32")
vae = kg.VAE(*kg.networks.mlp_vae((8, 8, 1), 2, hidden=(8,)))
vae.compile("adam")
vae.fit(x, epochs=1, verbose=0, callbacks=[kg.callbacks.SampleGrid("samples", num_samples=4)])
gan = kg.GAN(
    *kg.networks.mlp_gan((8, 8, 1), 2, generator_hidden=(8,), discriminator_hidden=(8,)),
    latent_dim=2,
)
gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
gan.fit(kg.data.ArrayDataset(x), epochs=1, verbose=0)
os.mkdir("photos")
for i in range(10):
    kg.callbacks.save_png(f"photos/{i}.png", np.full((8, 8, 3), i, "uint8"))
train, test = kg.data.folder("photos", channels=1)
vae.fit(train, validation_data=test, epochs=1, verbose=0)
kg.data.preview(train)
vae.save("vae.keras")
assert kg.saving.load_model("vae.keras").sample(3).shape == (3, 8, 8, 1)
assert not {name.split(".")[0] for name in sys.modules} & set(%r)
"""


def run(program, folder, missing, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-c", MISSING.format(missing=missing) + program],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
    )


def test_models_train_on_arrays_with_one_framework_and_no_extra(tmp_path, backend):
    # By the framework.
    brought = {"tensorflow": {"requests"}, "torch": {"jinja2"}}.get(backend, set())
    missing = sorted({*OTHERS, *FRAMEWORKS} - {backend} - brought)
    process = run(TRAIN % (missing,), tmp_path, missing)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "samples/epoch_0001.png").exists()


@pytest.mark.once
def test_without_a_framework_the_import_names_the_three_extras(tmp_path):
    process = run("import keras_gen", tmp_path, FRAMEWORKS, KERAS_BACKEND=None)
    assert process.returncode == 1
    last = process.stderr.split("\nImportError: ")[-1]
    assert "none is installed" in last and "KERAS_BACKEND" in last
    assert set(re.findall(r"keras_gen\[(\w+)\]", last)) == set(FRAMEWORKS) <= set(EXTRAS)


@pytest.mark.parametrize("named", FRAMEWORKS)
def test_with_another_framework_than_the_one_that_keras_looks_for_it_is_named(
    tmp_path, backend, named
):
    if named == backend:
        pytest.skip("That one is installed: it is the framework of this run.")
    missing = [name for name in FRAMEWORKS if name != backend]
    process = run("import keras_gen", tmp_path, missing, KERAS_BACKEND=named)
    last = process.stderr.split("\nImportError: ")[-1]
    assert f"Keras looks for '{named}'" in last
    assert f"{backend} can be imported" in last and f"KERAS_BACKEND={backend}" in last


@pytest.mark.once
def test_a_backend_without_training_is_refused(tmp_path):
    process = run("import keras_gen", tmp_path, (), KERAS_BACKEND="numpy")
    assert "ImportError: keras_gen trains on the tensorflow, jax and torch" in process.stderr


def requirements(path):
    lines = (ROOT / path).read_text().splitlines()
    return {line for line in lines if line and line[0] not in "#-"}


@pytest.mark.once
def test_the_files_of_requirements_and_the_extras_say_the_same():
    default = {*PROJECT["dependencies"], *EXTRAS["tensorflow"], *EXTRAS["data"], *EXTRAS["plots"]}
    assert requirements("requirements.txt") == default | {"pytest"}
    tests = set().union(*EXTRAS.values()) - requirements("requirements.txt")
    # The tests name one PyTorch, so that a build for CPUs that is at hand will do.
    assert requirements("tests/requirements.txt") == tests - {*EXTRAS["torch"]} | {"torch==2.13.0"}
    assert EXTRAS["torch"] == ["torch>=2.13,<2.14"]


@pytest.mark.once
def test_the_readme_says_how_the_library_is_installed_with_each_framework():
    found = re.findall(r"'\.\[([\w,]+)\]'", (ROOT / "README.md").read_text())
    named = set(",".join(found).split(","))
    assert set(FRAMEWORKS) <= named <= set(EXTRAS)


@pytest.mark.once
def test_one_line_of_each_file_holds_the_version_of_keras():
    for path in ("pyproject.toml", "requirements.txt"):
        lines = [line.strip(' ",') for line in (ROOT / path).read_text().splitlines()]
        assert [line for line in lines if re.match(r"keras\b\W*\d", line)] == ["keras>=3.15,<3.16"]


@pytest.mark.once
def test_the_versions_agree():
    import keras_gen

    assert keras_gen.__version__ == PROJECT["version"]
    assert keras.version() >= "3.15"
