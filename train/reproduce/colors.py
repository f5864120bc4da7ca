"""Which likelihood of colours, and which prior, gives `train.vae` of a folder better samples?

Every finished run is a row of docs/studies/colors.csv, and is not repeated; 100 of its samples are
a picture next to that.
"""

import functools
import pathlib
import tempfile
import time

from train import by_data, environment, options, studies, study, vae
from train.benchmark import processes
from train.reproduce.rows import AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "colors.csv"
LIKELIHOODS = ("discretized_logistic", "gaussian")
# The script's --prior, with its --components, and what is fitted after the training.
PRIORS = {
    "N(0, I)": ("standard_normal", None),
    "mixture, fitted": ("standard_normal", "gaussian_mixture"),
    "mixture, learned": ("mixture --components 50", None),
    "flow, learned": ("flow", None),
}
OPTIONS, SEEDS = ("--size", "32"), 3
COLUMNS = (
    *("data", "likelihood", "prior", "settings", "backend", "seed", "machine", "seconds"),
    *study.SCORES,
)


def colors(seed, dataset=None, **data):
    """`train.vae --dataset FOLDER` under two likelihoods of colours: is the default the better?"""
    if not options.is_path(dataset or "digits"):
        raise ValueError("`colors` needs a folder of images in folders: pass --dataset FOLDER.")
    rows = []
    for i in range(seed, seed + SEEDS):
        for prior in PRIORS:
            ratio = {
                likelihood: float(run(likelihood, prior, i, dataset)["frechet_ratio"])
                for likelihood in LIKELIHOODS
            }
            best = min(ratio.values())
            rows.append(
                AtMost(f"seed {i}, {prior}", "Fréchet ratio", ratio[by_data.LIKELIHOODS[3]], best)
            )
    return rows


def run(likelihood, prior, seed, dataset):
    """Return the row of the file for one likelihood, prior and seed."""
    import keras

    key = {"data": pathlib.Path(dataset).resolve().name, "likelihood": likelihood, "prior": prior}
    key |= {"settings": settings(dataset), "backend": keras.config.backend(), "seed": str(seed)}

    def train_and_score():
        learned, fitted = PRIORS[prior]
        model, seconds = trained(likelihood, learned, seed, dataset)
        train, *_, labels = study.load(dataset)
        if fitted:
            model.fit_prior(train.x, kind=fitted, seed=seed)
        samples = model.sample(len(labels), seed=seed).clip(0, 1)
        FILE.with_suffix("").mkdir(exist_ok=True)
        name = f"{key['data']}_{likelihood}_{fitted or learned.split()[0]}_{seed}.png"
        study.draw(FILE.with_suffix("") / name, samples)
        row = {"machine": processes.machine(), "seconds": round(seconds)}
        return row | study.score(dataset, samples)

    return studies.row_of(FILE, COLUMNS, key, train_and_score)


def settings(dataset):
    """Return what the script chooses, in one line."""
    args = vae.make_parser().parse_args(["--dataset", dataset, *OPTIONS])
    vae.settle(args)
    chosen = ("network", "latent_dim", "batch_size", "learning_rate")
    values = [f"{name}={getattr(args, name)}" for name in chosen]
    return " ".join(["train.vae", *OPTIONS, *values, f"steps={by_data.STEPS['more']}"])


@functools.lru_cache(maxsize=2)
def trained(likelihood, prior, seed, dataset):
    """Return the model of a run of the script, and the seconds that the script took."""
    environment.quiet_tensorflow()
    import keras

    words = ["--dataset", dataset, *OPTIONS, "--likelihood", likelihood]
    words += ["--prior", *prior.split()]
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        vae.main([*words, "--seed", str(seed), "--out", f"{out}/run"])
        seconds = time.perf_counter() - begin
        return keras.saving.load_model(f"{out}/run/model.keras"), seconds
