"""GANs on a ring of 8 and a grid of 25 Gaussians: modes, balance and quality over ten seeds.

Every run appends a row to docs/studies/gan_points.csv, and a run that has a row there is not run
again.
"""

import json
import pathlib
import tempfile
import time

from train import studies
from train.recipes import DEFAULTS
from train.reproduce.rows import AtLeast, AtMost, Row

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "gan_points.csv"
MODES = {"ring": 8, "grid": 25}
MEASURED = ("modes", "mode_kl", "high_quality", "mode_sd")
RECIPE = sorted({*DEFAULTS["ring"], "packing"})
# How a weight gets to its end: by an equal factor in each step in the first rows of the table.
FALL = " penalty_weight_fall=cosine"
COLUMNS = ("data", "recipe", "backend", "seed", "steps", "seconds", *MEASURED)


def points(seed, **data):
    """The defaults of train.gan on ring and grid, ten seeds: the worst of modes, KL, quality."""
    rows = []
    for dataset, modes in MODES.items():
        runs = [run(dataset, seed + i) for i in range(10)]
        kl = [float(row["mode_kl"]) for row in runs]
        rows += [
            Row(
                dataset,
                "modes found, least of ten seeds",
                min(int(row["modes"]) for row in runs),
                modes,
            ),
            AtMost(dataset, "KL over modes, nats, mean of ten seeds", sum(kl) / len(kl), 0.0075),
            AtMost(
                dataset,
                "KL over modes, nats, largest of ten seeds",
                max(kl),
                0.0075 if dataset == "ring" else 0.012,
            ),
            AtLeast(
                dataset,
                "share within 3 sigma of a centre, least of ten seeds",
                min(float(row["high_quality"]) for row in runs),
                0.97,
            ),
            # .974 is that of the mixture itself.
            Row(
                dataset,
                "sd within modes / sigma, mean of ten seeds",
                sum(float(row["mode_sd"]) for row in runs) / len(runs),
                0.974,
                0.05,
            ),
        ]
    return rows


def run(dataset, seed, *options):
    """Train by `python -m train.gan --dataset ... OPTIONS`; return the row of the file."""
    import keras

    from train import gan

    argv = ["--dataset", dataset, "--seed", str(seed), *options]
    args = gan.make_parser().parse_args(argv)
    gan.settle(args)
    key = {
        "data": dataset,
        "recipe": " ".join(f"{name}={getattr(args, name)}" for name in RECIPE) + FALL,
        "backend": keras.config.backend(),
        "seed": str(seed),
    }
    return studies.row_of(FILE, COLUMNS, key, lambda: train(argv, args))


def train(argv, args):
    """Return the steps, seconds and numbers of a run."""
    from train import gan

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        gan.main([*argv, "--out", f"{out}/run"])
        metrics = json.loads(pathlib.Path(out, "run", "metrics.json").read_text())
    return {
        "steps": args.epochs * (100_000 // (args.batch_size * args.d_steps)),
        "seconds": round(time.perf_counter() - start),
        **{name: f"{_number(metrics[name]):.5g}" for name in MEASURED},
    }


def _number(value):
    """Return a number of JSON, which has null for NaN: no sample was of high quality."""
    return float("nan") if value is None else value
