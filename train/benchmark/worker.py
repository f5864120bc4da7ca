"""One side of one case in a process of its own: makes a round whenever it is told to.

python -m train.benchmark.worker CASE SIDE [options], with KERAS_BACKEND set. It speaks in lines of
JSON: what the first round, which compiles, took; then for every line that it reads, the seconds of
a round. The options but `--steps` are of the side `keras_gen`.
"""

import argparse
import importlib
import json
import resource
import sys
import time

from train.benchmark import cases


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.benchmark.worker")
    parser.add_argument("name")
    parser.add_argument("side")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps-per-execution", type=int, default=1)
    args = parser.parse_args(argv)
    case = cases.sized(args.name, args.steps)
    x = cases.data(case)
    start = time.perf_counter()
    made, facts = build(args.name, args.side, case, x, args.dtype, args.steps_per_execution)
    made()
    say(first_s=time.perf_counter() - start, **facts)
    for _ in sys.stdin:
        start = time.perf_counter()
        made()
        say(seconds=time.perf_counter() - start, peak_mb=peak_mb())


def build(name, side, case, x, dtype, steps_per_execution):
    """A function that makes one round, and what is known of the case."""
    if side == "keras_gen":
        from train.benchmark import with_keras_gen

        made, flops = with_keras_gen.rounds(name, case, x, dtype, steps_per_execution)
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
    main()
