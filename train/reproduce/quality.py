"""Samples of MNIST from our recipe and from what others publish, after the same seconds.

Every finished run is a row of docs/studies/quality.csv, and is not run again; 100 of its samples
are a picture next to that.
"""

import functools
import importlib.util
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from train import studies, study
from train.reproduce import table
from train.reproduce.rows import AtLeast, AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "quality.csv"
PICTURES = FILE.with_suffix("")
BEGIN = "<!-- written by `python -m train.reproduce quality` -->"
OURS = "`train.gan --dataset mnist`"
# Who: the framework, the function of train/reproduce/peers, and the name of its samples.
PEERS = {
    "TensorFlow's DCGAN tutorial": ("tensorflow", "with_tensorflow.dcgan", ""),
    "PyTorch's examples/dcgan": ("torch", "with_torch.dcgan", ""),
    "keras.io's conditional GAN": ("tensorflow", "with_tensorflow.conditional", ""),
    "keras.io's WGAN-GP": ("tensorflow", "with_tensorflow.wgan_gp", ""),
    "pythae's VAE, N(0, I)": ("pythae", "with_pythae.vae", "N(0, I)"),
    "pythae's VAE, mixture of 10": ("pythae", "with_pythae.vae", "mixture of 10"),
}
COLUMNS = (
    *("who", "settings", "backend", "seed", "budget", "steps", "seconds", "first_step"),
    *("cpu_seconds", *study.SCORES),
)
COMPARED = {"frechet_ratio": AtMost, "precision": AtLeast, "recall": AtLeast}


def quality(seed, **data):
    """MNIST samples of our recipe next to what other projects publish, after the same seconds."""
    import keras

    from train.reproduce.peers import ours

    settings = study.describe(ours.settings())
    backend = keras.config.backend()
    our = run(OURS, settings, backend, "ours.recipe", "", seed, None, data)
    results = []
    for who, (framework, function, name) in PEERS.items():
        if importlib.util.find_spec(framework) is None:
            print(f"{who} is left out: {framework} is not installed.", flush=True)
            continue
        backend = "tensorflow" if framework == "tensorflow" else "torch"
        row = run(who, "", backend, function, name, seed, our["seconds"], data)
        for figure, kind in COMPARED.items():
            results.append(kind(f"ours, {who}", figure, float(our[figure]), float(row[figure])))
    table.replace(BEGIN, markdown(studies.rows(FILE), our))
    return results


def run(who, settings, backend, function, name, seed, budget, data):
    """Train in a process of its own, and score; return the row of the file."""
    key = {"who": who, "settings": settings, "backend": backend, "seed": str(seed)}
    if budget is not None:
        key["budget"] = budget

    def train_and_score():
        facts, samples = train(function, backend, seed, budget, **data)
        file = re.sub("[^a-z0-9]+", "_", f"{who} {backend} {seed}".lower()).strip("_")
        study.draw(PICTURES / f"{file}.png", samples[name])
        scores = study.score("mnist", samples[name], **data)
        return {"budget": budget or facts["seconds"], **facts, **scores}

    print(f"{who}, {backend}, seed {seed}", flush=True)
    return studies.row_of(FILE, COLUMNS, key, train_and_score)


@functools.cache
def train(function, backend, seed, budget, **data):
    """Return the facts of a run of the worker, and its samples by name."""
    import numpy as np

    images, *_, labels = study.load("mnist", **data)
    command = [sys.executable, "-m", "train.reproduce.peers.worker", function]
    with tempfile.TemporaryDirectory() as folder:
        given, made = f"{folder}/data.npz", f"{folder}/samples.npz"
        np.savez(given, x=images.x, y=images.y, labels=labels)
        command += [given, made, "--seed", str(seed)]
        command += [] if budget is None else ["--seconds", budget]
        process = subprocess.run(
            command,
            # The loops of the peers place nothing on a GPU, so none has one.
            env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        if process.returncode:
            raise ValueError(
                f"{function} ended with an error, printed above. Finished runs are kept."
            )
        with np.load(made) as arrays:
            samples = {name: arrays[name] for name in arrays}
    return json.loads(process.stdout.splitlines()[-1]), samples


def markdown(rows, our):
    """Return the table: means over the seeds that were run with the settings of `our` row."""
    same = ("who", "settings", "backend")
    ours = [row for row in rows if all(row[name] == our[name] for name in same)]
    budgets = {(row["seed"], row["budget"]) for row in ours}
    theirs = [row for row in rows if (row["seed"], row["budget"]) in budgets]
    lines = [
        "| | seeds | seconds | steps | confident | share of the rarest and of the most frequent "
        "class | Fréchet ratio | precision | recall |\n|---|---|---|---|---|---|---|---|---|"
    ]
    for who in (OURS, *PEERS):
        found = ours if who == OURS else [row for row in theirs if row["who"] == who]
        if found:
            lines.append(line(who, found))
    floors = [over_seeds(ours, f"real_{name}", 3) for name in ("precision", "recall")]
    lines.append(f"| real images | | | | 90% | | 1 | {' | '.join(floors)} |")
    return "\n".join(lines)


def line(who, rows):
    classes = f"{over_seeds(rows, 'least_class', 3)}, {over_seeds(rows, 'most_class', 3)}"
    cells = [who, str(len(rows)), over_seeds(rows, "seconds", 0), over_seeds(rows, "steps", 0)]
    cells += [over_seeds(rows, "confident", 3), classes, over_seeds(rows, "frechet_ratio", 1)]
    cells += [over_seeds(rows, "precision", 3), over_seeds(rows, "recall", 3)]
    return f"| {' | '.join(cells)} |"


def over_seeds(rows, name, digits):
    """Return the mean over seeds, with the standard deviation if there are several."""
    values = [float(row[name]) for row in rows]
    mean = f"{statistics.mean(values):,.{digits}f}"
    if len(set(values)) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"
