"""One side of one case, in a process of its own.

python -m train.benchmark.worker CASE SIDE [--quick], with KERAS_BACKEND set. It prints one line of
JSON with the seconds of the first round, which compiles, or with the error that ended it. Then it
makes one round for each line that it reads, and prints its seconds.
"""

import argparse
import importlib
import json
import os
import sys
import time

from train import environment
from train.benchmark import cases


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.benchmark.worker")
    parser.add_argument("name", choices=cases.CASES)
    parser.add_argument("side", choices=["hand", "fit", "hand_jit", "fit_jit", "pythae"])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(argv)
    environment.keep_memory()
    case = cases.sized(args.name, args.quick)
    x = cases.data(case)
    kind, _, jit = args.side.partition("_")
    module = {"fit": "keras_gen", "hand": os.environ["KERAS_BACKEND"]}.get(kind, kind)
    start = time.perf_counter()
    try:
        module = importlib.import_module(f"train.benchmark.with_{module}")
        make_round = module.rounds(args.name, case, x, bool(jit))
        make_round()
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        return
    say(seconds=time.perf_counter() - start)
    for _ in sys.stdin:
        start = time.perf_counter()
        make_round()
        say(seconds=time.perf_counter() - start)


def say(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
