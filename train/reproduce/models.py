"""Every model of the README's table, trained on the digits: a picture, a time and a score of each.

Every finished run is a row of docs/studies/models.csv, and is not repeated; its picture is next to
that.
"""

import functools
import pathlib
import time

from train import environment, studies, study
from train.benchmark import processes
from train.reproduce import quality, table
from train.reproduce.rows import AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "models.csv"
PAGE = FILE.parents[1] / "gallery.md"
BEGIN = "<!-- written by `python -m train.reproduce models` -->"
SHAPE, HIDDEN, LATENT_DIM, BATCH_SIZE, RATE = (28, 28, 1), (200, 200), 10, 64, 1e-3
CODES, CODE_DIM, NUM_SAMPLES, STDDEV = 64, 8, 5, 0.5
GAN_LATENT_DIM, GAN_RATE, D_RATE, EMA = 32, 5e-4, 2e-4, 0.995
PRIOR_EPOCHS = 60
MODELS = {
    "Autoencoder": "decoded from z of N(0, I), though its codes are not from there",
    "VAE": "",
    "IWAE": f"{NUM_SAMPLES} draws of z",
    "DReGIWAE": f"{NUM_SAMPLES} draws of z",
    "TwoLayerIWAE": f"{NUM_SAMPLES} draws of z",
    "DenoisingAutoencoder": "held-out digits, the same with noise, and what the model makes of it",
    "DenoisingVAE": "",
    "PPCA": "the optimum of a linear VAE; samples have noise",
    "VQVAE": f"{CODES} codes and their prior",
    "VAEGAN": "",
    "VQGAN": f"{CODES} codes and their prior",
    "GAN": "relativistic loss, spectral norm in D",
    "WGAN": "clipped weights",
}
EPOCHS = {**dict.fromkeys(MODELS, 100), "WGAN": 400}
COLUMNS = ("model", "settings", "backend", "seed", "machine", "seconds", *study.SCORES)


def models(seed, **data):
    """Every model on the digits: samples of each are nearer to them than an autoencoder's."""
    scored = {name: run(name, seed) for name in MODELS}
    ratios = {name: float(row["frechet_ratio"]) for name, row in scored.items() if is_scored(name)}
    without_prior = ratios.pop("Autoencoder")
    table.replace(BEGIN, markdown(studies.rows(FILE)), PAGE)
    return [AtMost(name, "Fréchet ratio", ratio, without_prior) for name, ratio in ratios.items()]


def is_scored(name):
    return name != "DenoisingAutoencoder"  # Whose picture shows no samples.


def run(name, seed):
    """Return the row of the file for one model and seed."""
    environment.quiet_tensorflow()
    import keras

    import keras_gen as kg

    key = {"model": name, "settings": settings(name), "backend": keras.config.backend()}
    key |= {"seed": str(seed)}

    def train_and_score():
        train, test, _, labels = study.load("digits")
        begin = time.perf_counter()
        model = trained(name, train.x, seed)
        samples = sample(name, model, test.x, len(labels), seed).clip(0, 1)
        seconds = time.perf_counter() - begin
        FILE.with_suffix("").mkdir(exist_ok=True)
        grid = kg.callbacks.image_grid(samples[:30], columns=10)
        kg.callbacks.save_png(picture(name, seed), grid)
        row = {"machine": processes.machine(), "seconds": round(seconds)}
        empty = dict.fromkeys(study.SCORES, "")
        return row | (study.score("digits", samples) if is_scored(name) else empty)

    print(f"{name}, seed {seed}", flush=True)
    return studies.row_of(FILE, COLUMNS, key, train_and_score)


def picture(name, seed):
    return FILE.with_suffix("") / f"{name.lower()}_{seed}.png"


def settings(name):
    """Return what a row is made with, in one line."""
    if name == "PPCA":
        return f"z={LATENT_DIM}"
    shared = f"epochs={EPOCHS[name]} batch={BATCH_SIZE}"
    if name in ("GAN", "WGAN"):
        of_gan = f"relativistic spectral Adam {GAN_RATE} beta_1=0 EMA {EMA}"
        return f"dcgan z={GAN_LATENT_DIM} {shared} " + (of_gan if name == "GAN" else "RMSprop 5e-5")
    shared += f" bernoulli Adam {RATE}" + (f" D {D_RATE}" if name.endswith("GAN") else "")
    if name.startswith("VQ"):
        return f"codes={CODES} d={CODE_DIM} {shared} prior epochs={PRIOR_EPOCHS}"
    if name == "TwoLayerIWAE":
        return f"burda_two_layer_vae k={NUM_SAMPLES} {shared}"
    shared = f"mlp {HIDDEN} z={LATENT_DIM} {shared}"
    shared += f" stddev={STDDEV}" if name.startswith("Denoising") else ""
    return shared + (f" k={NUM_SAMPLES}" if "IWAE" in name else "")


def trained(name, x, seed):
    """Return the model after its training on x, and that of its prior."""
    import keras

    import keras_gen as kg

    if name == "PPCA":
        return kg.PPCA.fit(x, LATENT_DIM)
    keras.utils.set_random_seed(seed)
    model, batch_size = build(name, seed), BATCH_SIZE
    adam = keras.optimizers.Adam
    if name == "WGAN":
        model.compile()  # The paper's RMSprop.
        batch_size *= model.d_steps
    elif name == "GAN":
        optimizers = {"learning_rate": GAN_RATE, "beta_1": 0.0}
        averaged = adam(**optimizers, use_ema=True, ema_momentum=EMA)
        model.compile(averaged, adam(**optimizers))
    else:
        model.compile(adam(RATE), *[adam(D_RATE, beta_1=0.5)] * name.endswith("GAN"))
    train = kg.data.ArrayDataset(x, batch_size=batch_size, seed=seed)
    model.fit(train, epochs=EPOCHS[name], shuffle=False, verbose=0)
    if name.startswith("VQ"):
        model.fit_prior(x, epochs=PRIOR_EPOCHS, seed=seed, verbose=0)
    return model


def build(name, seed):
    """Return an untrained model."""
    import keras_gen as kg

    networks = kg.networks
    quantizer = functools.partial(kg.layers.VectorQuantizer, CODES, seed=seed)
    autoencoder = functools.partial(networks.mlp_autoencoder, SHAPE, LATENT_DIM, HIDDEN)
    vae = functools.partial(networks.mlp_vae, SHAPE, LATENT_DIM, HIDDEN)
    maps = functools.partial(networks.vqvae, SHAPE, CODE_DIM)
    patches = functools.partial(networks.patch_discriminator, SHAPE)
    noise, draws = {"stddev": STDDEV, "seed": seed}, {"num_samples": NUM_SAMPLES, "seed": seed}
    two_layers, spectral = networks.burda_two_layer_vae, {"discriminator_norm": "spectral"}
    dcgan = functools.partial(networks.dcgan, SHAPE, GAN_LATENT_DIM)
    z = {"latent_dim": GAN_LATENT_DIM, "seed": seed}
    return {
        "Autoencoder": lambda: kg.Autoencoder(*autoencoder()),
        "VAE": lambda: kg.VAE(*vae(), seed=seed),
        "IWAE": lambda: kg.IWAE(*vae(), **draws),
        "DReGIWAE": lambda: kg.DReGIWAE(*vae(), **draws),
        "TwoLayerIWAE": lambda: kg.TwoLayerIWAE(*two_layers(SHAPE), **draws),
        "DenoisingAutoencoder": lambda: kg.DenoisingAutoencoder(*autoencoder(), **noise),
        "DenoisingVAE": lambda: kg.DenoisingVAE(*vae(), **noise),
        "VQVAE": lambda: kg.VQVAE(*maps(), quantizer(), seed=seed),
        "VAEGAN": lambda: kg.VAEGAN(*vae(), patches(), seed=seed),
        "VQGAN": lambda: kg.VQGAN(*maps(), quantizer(), patches(), seed=seed),
        "GAN": lambda: kg.GAN(*dcgan(**spectral), loss="relativistic", **z),
        "WGAN": lambda: kg.WGAN(*dcgan(), **z),
    }[name]()


def sample(name, model, x, n, seed):
    """Return n samples; of a denoiser ten of x, the same with noise, and what it makes of that."""
    import numpy as np

    random = np.random.default_rng(seed)
    if name == "Autoencoder":
        return model.decode(random.normal(size=(n, LATENT_DIM)).astype("float32"))
    if name == "DenoisingAutoencoder":
        noisy = x[:10] + random.normal(scale=STDDEV, size=x[:10].shape).astype("float32")
        return np.concatenate([x[:10], noisy, model.denoise(noisy)])
    return model.sample(n, seed=seed, **({"ema": True} if name == "GAN" else {}))


def markdown(rows):
    """Return a table of the mean scores of each model, and under it the first seeds' pictures."""
    names = ("frechet_ratio", "precision", "recall", "confident")
    head = ("model", "seeds", "seconds", "Fréchet ratio", *names[1:])
    lines, pictures = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)], []
    for name, note in MODELS.items():
        found = [r for r in rows if (r["model"], r["settings"]) == (name, settings(name))]
        if not found:
            continue
        means = [""] * len(names)
        if is_scored(name):
            means = [quality.over_seeds(found, key, 1 + (key != names[0])) for key in names]
        seconds = quality.over_seeds(found, "seconds", 0)
        lines.append(f"| {' | '.join([f'`{name}`', str(len(found)), seconds, *means])} |")
        path = picture(name, found[0]["seed"]).relative_to(FILE.parents[1]).as_posix()
        pictures += ["", f"`{name}`{note and ': '}{note}", "", f"![Digits of {name}]({path})"]
    return "\n".join(lines + pictures)
