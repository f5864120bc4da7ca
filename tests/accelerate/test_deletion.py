"""Without `keras_gen/accelerate/` the numbers are the same."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
OF_NUMBERS = ("models/test_golden.py", "backend/test_backend.py")


@pytest.fixture
def without_acceleration(tmp_path):
    """A copy of the checkout without the package and the import in `models/base.py`."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "accelerate")
    for name in ("keras_gen", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    base = copy / "keras_gen" / "models" / "base.py"
    text = base.read_text()
    assert text.count("accelerate") == 1
    base.write_text(text.replace("import accelerate, ", "import "))
    return copy


PROGRAM = """
import sys
import pytest
import keras_gen

print(keras_gen.__file__)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_numbers_hold_without_acceleration(without_acceleration):
    # One of four models, under Adam: what is faster knows the optimizer and a convolution alone.
    others = "not vae_mlp and not iwae and not sgd"
    tests = [*(f"tests/{name}" for name in OF_NUMBERS), "-k", others]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *tests],
        cwd=without_acceleration,
        env={**os.environ, "PYTHONPATH": str(without_acceleration)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert " passed" in finished.stdout
    imported = pathlib.Path(finished.stdout.splitlines()[0])
    assert imported.is_relative_to(without_acceleration)
    assert not (without_acceleration / "keras_gen" / "accelerate").exists()
    assert importlib.util.find_spec("keras_gen.accelerate") is not None
