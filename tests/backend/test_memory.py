import json
import os
import subprocess
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

# In a process of its own, whose memory has no holes that other tests have left.
SCRIPT = f"""
import contextlib, json, resource, runpy, sys

memory = runpy.run_path(sys.argv[1])

def pages_asked_for():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes(bytearray(b"1") * {BYTES})[:1]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

start = resident()
with memory["kept"]():
    first = pages_asked_for()
    with contextlib.suppress(ZeroDivisionError), memory["kept"]():
        1 / 0
    again, held = pages_asked_for(), resident() - start
print(json.dumps(dict(first=first, again=again, held=held, left=resident() - start)))
"""


def facts(**environment):
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    command = [sys.executable, "-c", SCRIPT, memory.__file__]
    output = subprocess.check_output(command, env={**inherited, **environment})
    return json.loads(output)


def test_memory_that_was_freed_serves_the_next_and_goes_back_at_the_end():
    found = facts()
    assert found["first"] > 8 and found["again"] <= found["first"] / 100
    assert found["held"] > 0.9 * BYTES
    assert found["left"] < 0.1 * BYTES


@pytest.mark.parametrize(
    "name, value",
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_an_environment_that_says_how_to_allocate_is_obeyed(name, value):
    found = facts(**{name: value})
    assert found["again"] > 8 and found["held"] < 0.1 * BYTES


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
