"""Uses of a trained model on MNIST, each compared with a linear method in the same run."""

import math

from train.reproduce.rows import AtLeast, AtMost, Row


def one_class_mnist(seed, dataset="mnist", **data):
    """A VAE of each digit (or class of --dataset) scores all test images: mean AUROC, and PCA's."""
    import keras
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score

    import keras_gen as kg

    train, test = kg.data.load(dataset, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    x_test = test.x.reshape(len(test.x), -1)
    epochs, auroc, baseline = 20, [], []
    for digit in range(int(train.y.max()) + 1):
        x, is_other = train.x[train.y == digit], test.y != digit
        pca = PCA(20, svd_solver="covariance_eigh").fit(x.reshape(len(x), -1))
        residual = x_test - pca.inverse_transform(pca.transform(x_test))
        baseline.append(roc_auc_score(is_other, np.sum(residual**2, axis=1)))

        digits = kg.data.ArrayDataset(x, batch_size=128, seed=seed)
        networks = kg.networks.mlp_vae(x.shape[1:], latent_dim=20, hidden=(400,))
        vae = kg.DenoisingVAE(
            *networks, stddev=0.6, likelihood=kg.likelihoods.Gaussian(0.3), seed=seed
        )
        decay = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(digits))
        vae.compile(keras.optimizers.Adam(decay))
        vae.fit(digits, epochs=epochs, shuffle=False, verbose=0)
        auroc.append(roc_auc_score(is_other, vae.anomaly_score(test.x, kind="distortion")))
        print(f"digit {digit}: AUROC {auroc[-1]:.4f}, of PCA {baseline[-1]:.4f}", flush=True)
    mean, pca = float(np.mean(auroc)), float(np.mean(baseline))
    if dataset != "mnist":  # Nothing is published for the same split: PCA is what to beat.
        quantity = "mean AUROC of the VAEs (expected: that of PCA)"
        return [AtLeast(f"one class of {dataset}", quantity, mean, pca)]
    return [
        Row("one-class-mnist", "mean AUROC of PCA's residual", pca, 0.9547, 5e-4),
        AtLeast("one-class-mnist", "mean AUROC of the VAEs", mean, 0.965),
    ]


def denoise(seed, **data):
    """A U-Net autoencoder that does not know sigma, and the linear optimum: PSNR in dB."""
    import keras
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.load("mnist", batch_size=64, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    epochs = 4
    networks = kg.networks.unet_autoencoder((28, 28, 1))
    model = kg.DenoisingAutoencoder(*networks, stddev=(0.05, 1.1), seed=seed)
    decay = keras.optimizers.schedules.CosineDecay(5e-3, epochs * len(train))
    model.compile(keras.optimizers.Adam(decay))
    model.fit(train, epochs=epochs, shuffle=False, verbose=2)

    mean, covariance = moments(train.x)
    random = np.random.default_rng(seed)
    rows = []
    wiener_psnr = {0.1: 26.04, 0.25: 20.82, 0.5: 17.51, 1.0: 14.84}
    for sigma, published in wiener_psnr.items():
        noisy = (test.x + sigma * random.standard_normal(test.x.shape)).astype("float32")
        # E[x|x'] of a normal x: mean + C (C + sigma^2 I)^-1 (x' - mean), to the range of pixels.
        gain = np.linalg.solve(covariance + sigma**2 * np.eye(len(mean)), covariance)
        linear = mean + (noisy.reshape(len(noisy), -1) - mean) @ gain
        wiener = psnr(np.clip(linear, 0, 1).reshape(test.x.shape), test.x)
        rows += [
            Row(
                "denoise", f"PSNR of the Wiener filter, dB, sigma {sigma}", wiener, published, 0.03
            ),
            AtLeast(
                "denoise",
                f"PSNR of the model, dB, sigma {sigma}",
                psnr(model.denoise(noisy), test.x),
                wiener,
            ),
        ]
    return rows


def inpaint(seed, **data):
    """One convolutional VAE fills in hidden pixels, and so does the best linear estimate: MSE."""
    import keras
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.load("mnist", batch_size=250, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    epochs = 10
    vae = kg.VAE(*kg.networks.conv_vae((28, 28, 1), latent_dim=50), beta=0.5, seed=seed)
    decay = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(train))
    vae.compile(keras.optimizers.Adam(decay))
    vae.fit(train, epochs=epochs, shuffle=False, verbose=2)

    x = test.x[:1000]
    random = np.random.default_rng(seed)
    lower, centre = np.zeros((2, *x.shape), bool)
    lower[:, 14:] = True
    centre[:, 7:21, 7:21] = True
    masks = {
        "lower half": (lower, 0.0457),
        "centre 14x14": (centre, 0.1037),
        "random 50%": (random.random(x.shape) < 0.5, 0.0100),
        "random 80%": (random.random(x.shape) < 0.8, 0.0195),
    }
    mean, covariance = moments(train.x)
    rows = []
    for name, (hidden, published) in masks.items():
        linear = linear_inpaint(x, hidden, mean, covariance)
        error = squared(vae.inpaint(x, hidden, batch_size=500) - x, hidden)
        baseline = squared(linear - x, hidden)
        rows += [
            # Published for all of the test set, and other random masks.
            Row("inpaint", f"MSE of the linear estimate, {name}", baseline, published, 0.002),
            AtMost("inpaint", f"MSE of the VAE, {name}", error, min(published, baseline)),
        ]
    return rows


def invert(seed, **data):
    """A GAN is searched for held-out digits: MSE, and AUROC of wrong labels, next to a VAE's."""
    import keras
    import numpy as np
    from sklearn.metrics import roc_auc_score

    import keras_gen as kg

    train, test = kg.data.load("mnist", batch_size=64, labels=True, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    sizes = {"latent_dim": 64, "num_classes": 10}
    # Networks and first rates of `train.gan --dataset mnist`.
    networks = kg.networks.dcgan((28, 28, 1), filters=(32, 64, 128), kernel_size=4, **sizes)
    gan = kg.GAN(*networks, **sizes, seed=seed)
    averages = {"use_ema": True, "ema_momentum": 0.999}
    gan.compile(
        keras.optimizers.Adam(5e-4, beta_1=0.5, **averages),
        keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    gan.fit(train, epochs=5, shuffle=False, verbose=2)
    vae = kg.VAE(*kg.networks.conv_vae((28, 28, 1), **sizes), num_classes=10, seed=seed)
    vae.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, 5 * len(train))))
    vae.fit(train, epochs=5, shuffle=False, verbose=2)

    n = 300
    x, y = test.x[:n], test.y[:n]
    errors = [
        np.square(model.reconstruct(x, y=y, **options) - x).mean()
        for model, options in ((vae, {}), (gan, {"ema": True}))
    ]
    # Each image twice: with its label, and with another.
    twice, others = (
        np.concatenate([x, x]),
        (y + np.random.default_rng(seed).integers(1, 10, n)) % 10,
    )
    claimed, is_wrong = np.concatenate([y, others]), np.repeat([0, 1], n)
    scores = (
        vae.anomaly_score(twice, y=claimed, kind="reconstruction"),
        gan.anomaly_score(twice, y=claimed, ema=True),
    )
    of_vae, of_gan = (float(roc_auc_score(is_wrong, score)) for score in scores)
    expected = "(expected: that of the VAE)"
    return [
        AtMost("invert", f"MSE of the GAN {expected}", float(errors[1]), float(errors[0])),
        AtLeast("invert", f"AUROC of the GAN at finding wrong labels {expected}", of_gan, of_vae),
    ]


def moments(x):
    """Return mean (d,) and covariance (d, d) of flat examples, float64."""
    import numpy as np

    x = x.reshape(len(x), -1).astype("float64")
    return x.mean(axis=0), np.cov(x.T)


def linear_inpaint(x, hidden, mean, covariance, ridge=1e-3):
    """Return E[x_h|x_v] = m_h + C_hv C_vv^-1 (x_v - m_v) as if x were normal, cut to [0, 1]."""
    import numpy as np

    C = covariance + ridge * np.eye(len(mean))
    result = x.reshape(len(x), -1).astype("float64")
    for row, h in zip(result, hidden.reshape(len(x), -1), strict=True):
        v = ~h
        row[h] = mean[h] + C[np.ix_(h, v)] @ np.linalg.solve(C[np.ix_(v, v)], row[v] - mean[v])
    return np.clip(result, 0, 1).reshape(x.shape)


def squared(error, hidden):
    """Return the mean square of the hidden errors."""
    return float((error[hidden] ** 2).mean())


def psnr(estimate, x):
    """Return 10 log10(1 / MSE), in dB, for images in [0, 1]."""
    return -10 * math.log10(((estimate - x) ** 2).mean())
