"""A VQ-VAE of colour images of 64 pixels: are all codes used, and what does its prior draw?

Every finished run is a row of docs/studies/codes.csv, and is not repeated; 81 of its samples, and
reconstructions, are pictures next to that.
"""

import pathlib
import time

from train import options, studies
from train.benchmark import processes
from train.reproduce.rows import AtLeast, AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "codes.csv"
SIZE, FILTERS, CODES, CODE_DIM = 64, (32, 64, 64), 128, 16
EPOCHS, BATCH_SIZE, RATE, PRIOR_EPOCHS, TEMPERATURE = 60, 64, 1e-3, 60, 0.9
MEASURED = ("perplexity", "unused", "bits_of_codes", "bits_under_the_prior", "bits_held_out")
COLUMNS = ("data", "settings", "backend", "seed", "machine", "seconds", "prior_seconds", *MEASURED)


def codes(seed, dataset=None, **data):
    """A VQ-VAE of a folder of images in folders, --dataset: the use of its codes, and samples."""
    import keras

    if not options.is_path(dataset or "digits"):
        raise ValueError("`codes` needs a folder of images in folders: pass --dataset FOLDER.")
    settings = f"{SIZE} pixels, filters={FILTERS} codes={CODES} d={CODE_DIM} epochs={EPOCHS} "
    settings += f"batch={BATCH_SIZE} Adam {RATE} prior epochs={PRIOR_EPOCHS}"
    key = {"data": pathlib.Path(dataset).resolve().name, "settings": settings}
    key |= {"backend": keras.config.backend(), "seed": str(seed)}
    row = studies.row_of(FILE, COLUMNS, key, lambda: train_and_measure(key["data"], dataset, seed))
    return [
        AtLeast(key["data"], "perplexity of the codes", float(row["perplexity"]), CODES / 2),
        AtMost(key["data"], "codes that no training image has", float(row["unused"]), 0),
    ]


def train_and_measure(title, dataset, seed):
    """Train the networks, the codebook and then the prior; return times and numbers."""
    import keras
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.folder(dataset, size=SIZE, batch_size=BATCH_SIZE, seed=seed)
    classes = train.num_classes
    if classes is None:
        raise ValueError(f"{dataset} has no folders of images in it, which are the classes.")
    keras.utils.set_random_seed(seed)
    shape = (SIZE, SIZE, 3)
    networks = kg.networks.vqvae(shape, CODE_DIM, FILTERS, num_classes=classes)
    likelihood = kg.likelihoods.Gaussian(0.2, learn_sigma=True, seed=seed)
    quantizer = kg.layers.VectorQuantizer(CODES, seed=seed)
    model = kg.VQVAE(*networks, quantizer, likelihood, num_classes=classes, seed=seed)
    steps = EPOCHS * len(train)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps, alpha=0.05)
    model.compile(keras.optimizers.Adam(rate), jit_compile=True)
    begin = time.perf_counter()
    model.fit(train, epochs=EPOCHS, verbose=2)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    prior = model.fit_prior(train.x, y=train.y, epochs=PRIOR_EPOCHS, seed=seed, verbose=2)
    prior_seconds = time.perf_counter() - begin
    counts = np.bincount(model.encode(train.x, y=train.y).ravel(), minlength=CODES)
    frequencies = counts[counts > 0] / counts.sum()
    draw(title, seed, model, test)
    to_bits = {"bits_of_codes": "uniform", "bits_under_the_prior": "train"}
    to_bits["bits_held_out"] = "held_out"
    return {
        "machine": processes.machine(),
        "seconds": round(seconds),
        "prior_seconds": round(prior_seconds),
        "perplexity": round(float(np.exp(-np.sum(frequencies * np.log(frequencies)))), 1),
        "unused": int(np.sum(counts == 0)),
        **{name: round(prior[of] / np.log(2), 1) for name, of in to_bits.items()},
    }


def draw(title, seed, model, test):
    """Write nine samples of each class, a class in each column, and test images above their own."""
    import numpy as np

    import keras_gen as kg

    folder = FILE.with_suffix("")
    folder.mkdir(exist_ok=True)
    classes = model.num_classes
    y = np.tile(np.arange(classes), 9)
    samples = model.sample(len(y), y=y, temperature=TEMPERATURE, seed=seed)
    grid = kg.callbacks.image_grid(samples.clip(0, 1), columns=classes)
    kg.callbacks.save_png(folder / f"{title}_{seed}.png", grid)
    some = np.linspace(0, test.num_examples - 1, 9).astype(int)
    x, labels = test.examples(some)
    rows = np.concatenate([x, model.reconstruct(x, y=labels).clip(0, 1)])
    grid = kg.callbacks.image_grid(rows, columns=len(some))
    kg.callbacks.save_png(folder / f"{title}_{seed}_reconstructions.png", grid)
