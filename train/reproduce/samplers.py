"""How good samples are under each prior, next to those from N(0, I), and with a discriminator.

Every finished run is a row of docs/studies/samplers.csv, and is not repeated; 100 of its samples
are a picture next to that.
"""

import functools
import pathlib
import time

from train import options, studies, study
from train.benchmark import processes
from train.reproduce import quality, table
from train.reproduce.rows import AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "samplers.csv"
PICTURES = FILE.with_suffix("")
BEGIN = "<!-- written by `python -m train.reproduce samplers` -->"
SEEDS = 3
LATENT_DIM, BATCH_SIZE, RATE = 16, 128, 1e-3
FILTERS, CODES, CODE_DIM = (32, 64), 64, 8
PRIOR_EPOCHS, PRIOR_IMAGES = {"mnist": 3, "folder": 60}, 10_000
SECOND_EXAMPLES = 1_000_000  # Of the two-stage VAE, over all its epochs.
D_RATE, D_FILTERS = 2e-4, (16, 32)
EPOCHS = {"mnist": 5, "folder": 60}
# The model of each row, and what draws from it: rows of one model are made of one training.
RECIPES = {
    "N(0, I)": ("vae", "as trained"),
    "mixture of 50, fitted": ("vae", "gaussian_mixture"),
    "flow, fitted": ("vae", "flow"),
    "two-stage": ("vae", "two_stage"),
    "two-stage, means of z": ("vae", "two_stage_means"),
    "VampPrior of 100": ("vamp", "as trained"),
    "flow, learned with it": ("flow", "as trained"),
    "VQ-VAE and its prior": ("vqvae", "codes"),
    "VAE-GAN": ("vaegan", "as trained"),
    "VAE-GAN, mixture of 50, fitted": ("vaegan", "gaussian_mixture"),
    "VQ-GAN and its prior": ("vqgan", "codes"),
}
COLUMNS = (
    *("data", "recipe", "settings", "backend", "seed", "machine", "seconds"),
    *study.SCORES,
)


def samplers(seed, dataset="mnist", **data):
    """The Fréchet ratio of samples under each prior; the best is at most half of N(0, I)'s."""
    rows = []
    for i in range(seed, seed + SEEDS):
        ratios = {name: float(run(name, i, dataset, data)["frechet_ratio"]) for name in RECIPES}
        best = min(ratios, key=ratios.get)
        half = ratios["N(0, I)"] / 2
        rows.append(AtMost(f"seed {i}, {best}", "Fréchet ratio", ratios[best], half))
    table.replace(BEGIN, markdown(studies.rows(FILE)))
    return rows


def run(name, seed, dataset, data):
    """Return the row of the file for one recipe and seed."""
    import keras

    kind, draws = RECIPES[name]
    title = pathlib.Path(dataset).name
    key = {"data": title, "recipe": name, "settings": settings(kind, family(dataset))}
    key |= {"backend": keras.config.backend(), "seed": str(seed)}

    def train_and_score():
        model, seconds = trained(kind, seed, dataset, **data)
        begin = time.perf_counter()
        samples = sample(model, draws, seed, dataset, **data)
        seconds += time.perf_counter() - begin
        file = f"{title}_{name}_{seed}".lower().translate(str.maketrans(" -", "__", ",()"))
        study.draw(PICTURES / f"{file}.png", samples)
        row = {"machine": processes.machine(), "seconds": round(seconds)}
        return row | study.score(dataset, samples, **data)

    print(f"{title}, {name}, seed {seed}", flush=True)
    return studies.row_of(FILE, COLUMNS, key, train_and_score)


def family(dataset):
    return "folder" if options.is_path(dataset) else dataset


def settings(kind, of):
    """Return the settings of a kind of model, for "mnist" or a "folder", in one line."""
    epochs, prior_epochs = EPOCHS[of], PRIOR_EPOCHS[of]
    shared = f"filters={FILTERS} {'' if kind == 'vqvae' else 'sigmoid, '}gaussian, sigma learned, "
    shared += f"epochs={epochs} batch={BATCH_SIZE} Adam {RATE}"
    if kind.startswith("vq"):
        shared += f" codes={CODES} d={CODE_DIM} prior epochs={prior_epochs} of {PRIOR_IMAGES}"
    else:
        shared += f" z={LATENT_DIM}"
    return shared + (f" patches {D_FILTERS} D {D_RATE}" if kind.endswith("gan") else "")


def markdown(rows):
    """Return the table: the mean over the seeds of each recipe, data set by data set."""
    names = ("frechet_ratio", "precision", "recall", "confident")
    head = ("data", "samples from", "seeds", "seconds", "Fréchet ratio", *names[1:])
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for data, recipe in dict.fromkeys((row["data"], row["recipe"]) for row in rows):
        wanted = settings(RECIPES[recipe][0], data if data in EPOCHS else "folder")
        found = [row for row in rows if (row["data"], row["recipe"]) == (data, recipe)]
        same = [row for row in found if row["settings"] == wanted]
        if not same:  # Of other settings than today's.
            continue
        means = [quality.over_seeds(same, name, 2 if name != names[0] else 1) for name in names]
        seconds = quality.over_seeds(same, "seconds", 0)
        lines.append(f"| {' | '.join([data, recipe, str(len(same)), seconds, *means])} |")
    return "\n".join(lines)


@functools.lru_cache(maxsize=1)
def trained(kind, seed, dataset, **data):
    """Return a trained model, and the seconds that its training took."""
    import keras

    import keras_gen as kg

    train, *_ = study.load(dataset, **data)
    x = kg.data.ArrayDataset(train.x, batch_size=BATCH_SIZE, seed=seed)
    keras.utils.set_random_seed(seed)
    model = build(kind, train.x.shape[1:], seed)
    optimizers = [keras.optimizers.Adam(RATE)]
    if hasattr(model, "discriminator"):
        optimizers.append(keras.optimizers.Adam(D_RATE, beta_1=0.5))
    model.compile(*optimizers, jit_compile=True)
    begin = time.perf_counter()
    model.fit(x, epochs=EPOCHS[family(dataset)], verbose=2)
    return model, time.perf_counter() - begin


def build(kind, shape, seed):
    import keras_gen as kg

    likelihood = kg.likelihoods.Gaussian(0.2, learn_sigma=True, seed=seed)
    shared = {"likelihood": likelihood, "seed": seed}
    patches = kg.networks.patch_discriminator
    if kind.startswith("vq"):
        networks = kg.networks.vqvae(shape, CODE_DIM, filters=FILTERS)
        networks = [*networks, kg.layers.VectorQuantizer(CODES, seed=seed)]
    else:
        networks = [*kg.networks.conv_vae(shape, LATENT_DIM, filters=FILTERS)]
    if kind != "vqvae":  # Which stays at black images behind a sigmoid: a row of the file.
        networks[1] = in_unit_interval(networks[1])
    if kind.endswith("gan"):
        networks.append(patches(shape, filters=D_FILTERS))
    priors = {"vamp": kg.priors.VampPrior(100, seed=seed), "flow": kg.priors.Flow(seed=seed)}
    if kind in priors:
        shared["prior"] = priors[kind]
    classes = {"vqvae": kg.VQVAE, "vaegan": kg.VAEGAN, "vqgan": kg.VQGAN}
    return classes.get(kind, kg.VAE)(*networks, **shared)


def in_unit_interval(decoder):
    """Return the decoder with a sigmoid at its end: a Gaussian's mean may be bounded."""
    import keras

    outputs = keras.layers.Activation("sigmoid", name="mean")(decoder.output)
    return keras.Model(decoder.input, outputs, name="decoder")


def sample(model, draws, seed, dataset, **data):
    """Return a sample for each real image that samples are compared with."""
    train, *_, labels = study.load(dataset, **data)
    if draws == "codes":
        epochs = PRIOR_EPOCHS[family(dataset)]
        model.fit_prior(train.x[:PRIOR_IMAGES], epochs=epochs, seed=seed, verbose=2)
    elif draws.startswith("two_stage"):
        second, is_drawn = second_stage(model, train.x, seed), draws == "two_stage"
        return model.decode(second.sample(len(labels), draw_pixels=is_drawn, seed=seed))
    elif draws != "as trained":
        model.fit_prior(train.x, kind=draws, seed=seed)
    return model.sample(len(labels), seed=seed)


def second_stage(vae, x, seed):
    """Return a second VAE, of the first one's z, drawn: Dai and Wipf (2019), section 4."""
    import keras

    import keras_gen as kg

    z = vae.draw_of(vae.encode(x))
    networks = kg.networks.mlp_vae(z.shape[1:], z.shape[1], hidden=(512, 512))
    sigma = kg.likelihoods.Gaussian(1.0, learn_sigma=True, seed=seed)
    second = kg.VAE(*networks, likelihood=sigma, seed=seed)
    second.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    second.fit(z, epochs=max(1, SECOND_EXAMPLES // len(z)), batch_size=BATCH_SIZE, verbose=2)
    return second
