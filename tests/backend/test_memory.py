import os
import resource
import sys

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.backend import memory

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="The allocator is that of Linux."),
]
BYTES = 2**26


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in [*os.environ]:
        if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES":
            monkeypatch.delenv(name)
    memory._glibc.cache_clear()
    yield
    memory._glibc.cache_clear()


def pages_asked_for():
    """How many pages of memory a large array takes from the system."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(BYTES, "uint8")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_memory_that_was_freed_serves_the_next_array_and_goes_back_at_the_end():
    before = resident()
    with memory.kept():
        first = pages_asked_for()
        again = pages_asked_for()
        held = resident()
    assert first > 8 and again <= first / 100
    assert held - before > 0.9 * BYTES
    assert resident() - before < 0.1 * BYTES
    assert pages_asked_for() > 8


def test_the_outermost_gives_back():
    before = resident()
    with memory.kept():
        with pytest.raises(ZeroDivisionError), memory.kept():
            1 / 0  # noqa: B018
        pages_asked_for()
        assert pages_asked_for() <= 8
    assert resident() - before < 0.1 * BYTES


@pytest.mark.parametrize(
    "name, value",
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_an_environment_that_says_how_to_allocate_is_obeyed(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with memory.kept():
        pages_asked_for()
        assert pages_asked_for() > 8


def test_fit_and_a_likelihood_keep_memory():
    model = kg.VAE(*kg.networks.mlp_vae((4,), 2, (8,)))
    model.compile("adam")
    open_in = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: open_in.append(memory._open)
    )
    x = np.zeros((8, 4), "float32")
    model.fit(x, callbacks=[note], verbose=0)
    draw = model._posterior_weights
    model._posterior_weights = lambda *args: [open_in.append(memory._open), draw(*args)][1]
    model.log_likelihood(x[:1], 2, verbose=0)
    assert open_in[0] == 1 and set(open_in) == {1} and len(open_in) > 1
    assert memory._open == 0
