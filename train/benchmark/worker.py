"""One side of one case in a process of its own: makes a round whenever it is told to.

python -m train.benchmark.worker CASE SIDE [STEPS], with KERAS_BACKEND set. It speaks in lines of
JSON: what the first round, which compiles, took; then for every line that it reads, the seconds of
a round.
"""

import importlib
import json
import resource
import sys
import time

from train.benchmark import cases


def main(name, side, steps=None):
    case = cases.sized(name, steps and int(steps))
    x = cases.data(case)
    start = time.perf_counter()
    made, facts = build(name, side, case, x)
    made()
    say(first_s=time.perf_counter() - start, **facts)
    for _ in sys.stdin:
        start = time.perf_counter()
        made()
        say(seconds=time.perf_counter() - start, peak_mb=peak_mb())


def build(name, side, case, x):
    """A function that makes one round, and what is known of the case."""
    if side == "keras_gen":
        from train.benchmark import with_keras_gen

        made, flops = with_keras_gen.rounds(name, case, x)
        return made, {"flops": flops, "flops_per_s": matrix_product()}
    module = importlib.import_module(f"train.benchmark.with_{side.removesuffix('_xla')}")
    options = {"jit_compile": side.endswith("_xla")} if side.startswith("tensorflow") else {}
    return module.rounds(name, case, x, **options), {}


def matrix_product(n=2048, repeats=3):
    """Operations a second of the best of a few products of large matrices, on this backend."""
    import keras
    import numpy as np
    from keras import ops

    a = ops.convert_to_tensor(np.random.default_rng(0).random((n, n), "float32"))
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        keras.ops.convert_to_numpy(ops.matmul(a, a)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
