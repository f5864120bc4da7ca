"""Train one of the peers for some seconds, in a process of its own, and write samples.

python -m train.reproduce.peers.worker MODULE.FUNCTION DATA.npz OUT.npz --seconds S. Our own recipe
has no seconds: it takes those that its epochs need. The last line that is printed is JSON: the
steps, the seconds without those of the first step, which compiles, those, and seconds of the CPU.
"""

import argparse
import importlib
import json
import time

import numpy as np

from train import environment


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.reproduce.peers.worker")
    add = parser.add_argument
    add("peer")
    add("data", help="x (n, 28, 28, 1) in [0, 1], y (n,), and the labels of the samples")
    add("out")
    add("--seconds", type=float)
    add("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    environment.quiet_tensorflow()
    environment.keep_memory()
    with np.load(args.data) as data:
        x, y, labels = (data[name] for name in ("x", "y", "labels"))
    module, name = args.peer.split(".")
    peer = getattr(importlib.import_module(f"train.reproduce.peers.{module}"), name)
    if args.seconds is None:
        facts, draw = peer(args.seed, x, y)
    else:
        batch_size, step, draw = peer(args.seed)
        facts = train(step, batches(x, y, batch_size, args.seed), args.seconds)
    samples = draw(labels)
    np.savez(args.out, **(samples if isinstance(samples, dict) else {"": samples}))
    print(json.dumps(facts))


def train(step, batches, seconds):
    """Make the first step, which compiles, and then steps until the time is over."""
    begin = time.perf_counter()
    step(*next(batches))
    first, cpu, steps = time.perf_counter(), time.process_time(), 1
    while time.perf_counter() - first < seconds:
        step(*next(batches))
        steps += 1
    return facts(steps, begin, first, time.perf_counter(), time.process_time() - cpu)


def facts(steps, begin, first, end, cpu):
    return {
        "steps": steps,
        "seconds": round(end - first, 1),
        "first_step": round(first - begin, 1),
        "cpu_seconds": round(cpu, 1),
    }


def batches(x, y, size, seed):
    """Yield full batches without end, in a new order in each epoch."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            rows = order[start : start + size]
            yield x[rows], y[rows]


if __name__ == "__main__":
    main()
