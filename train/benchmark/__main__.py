"""Times the library's `fit` beside the same network in a plain loop of each framework.

Where pythae is installed, its trainer and its `get_nll` have a column. Every side runs in a process
of its own. Rounds of the sides alternate, and the median of each is printed; the first round, which
compiles, is apart.
"""

import argparse
import contextlib
import json
import os
import statistics

from train.benchmark.cases import CASES, sized
from train.benchmark.processes import BACKENDS, Worker, heed_sigterm, installed, machine
from train.options import DTYPES

# By hand: with and without XLA where there is the choice.
SIDES = {
    "tensorflow": ["tensorflow", "tensorflow_xla"],
    "jax": ["jax"],
    "torch": ["torch"],
}

# Where pythae is installed it has a column in these.
PYTHAE = ("pythae_vae", "nll")


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m train.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name}: {case.about}" for name, case in CASES.items()),
    )
    parser.add_argument("name", nargs="*", help="default: all")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="default: all installed"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each side (default: 5)")
    parser.add_argument("--steps", type=int, help="batches of a round, for a quick look")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of the library's side alone"
    )
    parser.add_argument(
        "--steps-per-execution",
        type=int,
        default=1,
        metavar="N",
        help="of the library's side, on TensorFlow and JAX (default: 1)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    args = parser.parse_args(argv)
    unknown = set(args.name) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}: there are {', '.join(CASES)}")
    if min(args.rounds, args.steps_per_execution, 1 if args.steps is None else args.steps) < 1:
        parser.error("--rounds, --steps and --steps-per-execution are at least 1")
    if args.json and not os.path.isdir(os.path.dirname(os.path.abspath(args.json))):
        parser.error(f"there is no folder for --json {args.json}")
    if args.json and os.path.isdir(args.json):
        parser.error(f"--json {args.json} is a folder, and a file is wanted")
    backends = args.backend or [name for name in BACKENDS if installed(name)]
    if "torch" in backends and args.steps_per_execution > 1:
        parser.error("Keras has no --steps-per-execution on torch: name another --backend")

    options = {"dtype": args.dtype, "steps_per_execution": args.steps_per_execution}
    print(
        f"{machine()}; medians of {args.rounds} rounds; keras_gen in {args.dtype}, "
        f"steps_per_execution {args.steps_per_execution}\n"
    )
    print(HEADER, flush=True)
    rows = []
    for name in args.name or CASES:
        for backend in backends:
            rows.append(measure(name, backend, args.rounds, args.steps, options))
            print(line(rows[-1]), flush=True)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=2)


HEADER = (
    "| case | backend | ms | images/s | by hand, ms | ratio | pythae, ms | first round, s | "
    "peak, MB | share of limit |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def line(row):
    hand = ", ".join(f"{side} {ms:.2f}" for side, ms in row["by_hand_ms"].items())
    pythae = "" if row["pythae_ms"] is None else f"{row['pythae_ms']:.2f}"
    return (
        f"| {row['name']} | {row['backend']} | {row['ours_ms']:.2f} | {row['images_per_s']:,.0f} | "
        f"{hand} | {row['ratio']:.2f} | {pythae} | {row['first_s']:.1f} | {row['peak_mb']:.0f} | "
        f"{row['limit_share']:.2f} |"
    )


def measure(name, backend, rounds, steps, options):
    """One row: the sides of a case on one backend, in alternating rounds."""
    case = sized(name, steps)
    sides = ["keras_gen", *SIDES[backend]]
    if name in PYTHAE and installed("pythae"):
        sides.append("pythae")
    with contextlib.ExitStack() as stack:
        workers, first = {}, {}
        for side in sides:  # One after the other: beside another one the first round takes longer.
            arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
            arguments += [f"--steps={steps}"] if steps else []
            workers[side] = stack.enter_context(Worker("worker", backend, name, side, *arguments))
            first[side] = workers[side].answer()
        made = [{side: worker.round() for side, worker in workers.items()} for _ in range(rounds)]
    # Of the likelihood a step is an image.
    count = case.examples if name == "nll" else case.steps
    ms = {
        side: 1000 * statistics.median(one[side]["seconds"] for one in made) / count
        for side in sides
    }
    facts = first["keras_gen"]
    ours, pythae = ms.pop("keras_gen"), ms.pop("pythae", None)
    return {
        "name": name,
        "backend": backend,
        **options,
        "ours_ms": ours,
        "images_per_s": 1000 * case.examples / (ours * count),
        "hand_ms": min(ms.values()),
        "by_hand_ms": ms,
        "ratio": min(ms.values()) / ours,  # Above 1: faster than by hand.
        "pythae_ms": pythae,
        "first_s": facts["first_s"],
        "peak_mb": made[-1]["keras_gen"]["peak_mb"],
        "limit_share": 1000 * facts["flops"] / facts["flops_per_s"] / ours,
    }


if __name__ == "__main__":
    heed_sigterm()
    main()
