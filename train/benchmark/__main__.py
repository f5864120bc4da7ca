"""Time the library's `fit` next to the same network in a loop by hand, on each framework.

Both are timed by default and compiled. The loop by default is eager on PyTorch, a `tf.function`
on TensorFlow and `jax.jit` on JAX. Compiled it is `torch.compile`, XLA on TensorFlow, and the same
on JAX, where `fit` compiles by default as well. pythae has a column where it is installed. All
processes keep the memory that a step frees, as the scripts of `train` do.

Each side runs in a process of its own. The first round of each, which compiles, is left out. Then
rounds of the sides alternate, and medians are printed, in milliseconds a step. A ratio is the
loop's time by ours: above 1, `fit` is faster. Next to it is the least that the project promises,
and a ratio below that is in bold. "Best" divides the better of the loops by the better of ours. A
side that fails has its error in its cell, and does not count.
"""

import argparse
import contextlib
import json
import statistics

from train import options
from train.benchmark.cases import CASES, sized
from train.benchmark.processes import BACKENDS, Worker, exit_on_sigterm, installed, machine

PYTHAE_CASES = ("pythae_vae", "nll")
PYTHAE_BAR = 2

HEADER = (
    "| case | backend | by hand | fit | ratio | by hand, compiled | fit, jit_compile=True | ratio "
    "| best | pythae |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main(argv=None):
    args = parse(argv)
    print(f"{machine()}; milliseconds a step, medians of {args.rounds} rounds\n\n{HEADER}")
    rows = []
    for name in args.case or CASES:
        for backend in args.backend or [name for name in BACKENDS if installed(name)]:
            rows.append(measure(name, backend, args.rounds, args.quick))
            print(line(rows[-1]), flush=True)
    pythae = pythae_line(rows)
    if pythae:
        print(f"\n{pythae}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=2)


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m train.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name}: {case.about}" for name, case in CASES.items()),
    )
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="default: all installed"
    )
    add, file = parser.add_argument, {"type": options.output_file, "metavar": "FILE"}
    add("--rounds", type=options.positive, default=5, help="rounds of each side (default: 5)")
    add("--quick", action="store_true", help="rounds of two steps: does it run?")
    add("--json", **file, help="write the seconds of each round there")
    return parser.parse_args(argv)


def measure(name, backend, rounds, quick):
    """Return one row: the seconds of each round of each side, and medians in ms a step."""
    sides = ["hand", "fit", *(["hand_jit"] if backend != "jax" else []), "fit_jit"]
    if name in PYTHAE_CASES and installed("pythae"):
        sides.append("pythae")
    case = sized(name, quick)
    steps = case.batch if name == "nll" else case.steps
    row = {"case": name, "backend": backend, "first_s": {}, "errors": {}}
    with contextlib.ExitStack() as stack:
        workers = {}
        for side in sides:  # One after the other: two compilations at once take longer.
            options = ["--quick"] if quick else []
            worker = stack.enter_context(Worker("worker", backend, name, side, *options))
            answer = worker.answer()
            if "error" in answer:
                row["errors"][side] = answer["error"]
            else:
                row["first_s"][side] = answer["seconds"]
                workers[side] = worker
        made = [
            {side: worker.round()["seconds"] for side, worker in workers.items()}
            for _ in range(rounds)
        ]
    row["seconds"] = {side: [seconds[side] for seconds in made] for side in workers}
    row["ms"] = {
        side: 1000 * statistics.median(seconds) / steps for side, seconds in row["seconds"].items()
    }
    return row


def line(row):
    """Return a row of the table."""
    case, ms = CASES[row["case"]], row["ms"]
    default_bar = None if row["case"] == "nll" else case.default_bar(row["backend"])
    loop = "hand" if row["backend"] == "jax" else "hand_jit"  # JAX's is compiled.
    compiled = [cell(row, loop), cell(row, "fit_jit"), ratio(ms, loop, "fit_jit")]
    best = {
        kind: min(ms[side] for side in (kind, f"{kind}_jit") if side in ms)
        for kind in ("hand", "fit")
        if {kind, f"{kind}_jit"} & set(ms)
    }
    cells = [
        *(row["case"], row["backend"]),
        *(cell(row, "hand"), cell(row, "fit"), ratio(ms, "hand", "fit", default_bar)),
        *compiled,
        ratio(best, "hand", "fit", case.best_bar),
        cell(row, "pythae"),
    ]
    return f"| {' | '.join(cells)} |"


def cell(row, side):
    """Return a side's milliseconds, or the first line of its error."""
    if side in row["errors"]:
        first = row["errors"][side].strip().splitlines()[0]
        return f"cannot: {first[:150]}".replace("|", "\\|")
    return f"{row['ms'][side]:.2f}" if side in row["ms"] else ""


def ratio(ms, theirs, ours, bar=None):
    """Return how many times our milliseconds theirs are, in bold where that is below the bar."""
    if theirs not in ms or ours not in ms:
        return ""
    value = ms[theirs] / ms[ours]
    if bar is None:
        return f"{value:.2f}"
    return f"{value:.2f} (bar {bar:.2f})" if value >= bar else f"**{value:.2f}** (bar {bar:.2f})"


def pythae_line(rows):
    """Return how pythae's VAE compares with our best backend, or None if it was not timed."""
    rows = [row["ms"] for row in rows if row["case"] == "pythae_vae"]
    theirs = [ms["pythae"] for ms in rows if "pythae" in ms]
    ours = [ms[side] for ms in rows for side in ("fit", "fit_jit") if side in ms]
    if not theirs or not ours:
        return None
    ms = {"pythae": min(theirs), "ours": min(ours)}
    return (
        f"pythae's VAE: {ms['pythae']:.2f} ms, our best backend: {ms['ours']:.2f} ms, ratio "
        f"{ratio(ms, 'pythae', 'ours', PYTHAE_BAR)}."
    )


if __name__ == "__main__":
    exit_on_sigterm()
    main()
