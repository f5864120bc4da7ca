import gc
import os

import pytest

# Two busy torch processes on a small machine slow each other down many times over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Tracing makes hundreds of thousands of objects: by default Python looks for garbage among them,
# and the frameworks' own million, for a tenth of the time.
gc.set_threshold(20_000, 5, 2)


# Keras is imported where it is used: the process that hands out the tests needs none.
@pytest.fixture(autouse=True)
def seeded():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def backend():
    import keras

    return keras.config.backend()


def pytest_collection_finish():
    # What the imports made stays.
    gc.collect()
    gc.freeze()


# The files that take half a minute or more, on one backend or another, the longest first: so
# processes that share the tests end together.
LONG = (
    *("models/test_contract.py", "models/test_mixed_precision.py", "faults/test_faults.py"),
    *("distribution/test_distribution.py", "tests/test_readme.py", "train/test_reproduce.py"),
    "tests/test_tutorials.py",
    *("models/test_fuzz.py", "models/test_compiled.py", "callbacks/test_checkpoint.py"),
    *("backend/test_jax_trainer.py", "train/test_vae_script.py", "tests/test_door.py"),
    *("accelerate/test_deletion.py", "tests/test_export.py", "models/test_golden_gan.py"),
    *("train/test_gan_script.py", "models/test_golden.py", "models/test_conditional.py"),
    *("tests/test_docstrings.py", "networks/test_gan_networks.py", "losses/test_penalties.py"),
    *("models/test_backends_exchange_files.py", "data/test_loading.py", "train/test_export.py"),
    *("tests/test_packaging.py", "train/test_without_tensorflow.py", "tests/test_saving.py"),
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next(i for i, end in enumerate((*LONG, "")) if _ends(item, end)))


def _ends(item, end):
    return item.path.as_posix().endswith(end)
