import os

# Two busy torch processes on a small machine slow each other down many times over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def backend():
    return keras.config.backend()


# The files that take a minute or more, on one backend or another: they come first, so that
# processes that share the tests end together.
LONG = (
    *("models/test_contract.py", "train/test_faults.py", "distribution/test_distribution.py"),
    *("test_readme.py", "train/test_vae_script.py", "callbacks/test_checkpoint.py"),
    *("train/test_reproduce.py", "data/test_loading.py", "networks/test_gan_networks.py"),
    *("test_export.py", "models/test_backends_exchange_files.py", "models/test_mixed_precision.py"),
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))
