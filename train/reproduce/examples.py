"""Small models that others have published, and the labels of the digits."""

from train.reproduce.rows import AtLeast, Row


def pytorch_vae(seed, **data):
    """The VAE of PyTorch's examples on grey MNIST: 784-400-20, batch 128, 10 epochs."""
    import keras

    import keras_gen as kg

    train, test = kg.data.load("mnist", batch_size=128, seed=seed, **data)
    # A set that is prepared now, by TFDS, draws random numbers.
    keras.utils.set_random_seed(seed)
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=20, hidden=(400,))
    vae = kg.VAE(*networks, seed=seed)
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vae.fit(train, epochs=10, shuffle=False, verbose=2)
    logs = vae.evaluate(test, return_dict=True, verbose=0)
    # Three public logs end at 105.56 to 105.61, with z sampled in evaluation too.
    return [Row("pytorch-vae", "test -ELBO, nats", -logs["elbo"], 105.6, 0.4)]


def keras_vae(seed, **data):
    """The convolutional VAE of Keras's examples, z 2: all 70,000 grey images, 30 epochs."""
    import keras
    import numpy as np
    from keras import layers

    import keras_gen as kg

    train, test = kg.data.load("mnist", seed=seed, **data)
    everything = kg.data.ArrayDataset(np.concatenate([train.x, test.x]), batch_size=128, seed=seed)
    keras.utils.set_random_seed(seed)
    x = keras.Input((28, 28, 1))
    h = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    h = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(h)
    h = layers.Dense(16, activation="relu")(layers.Flatten()(h))
    encoder = keras.Model(x, [layers.Dense(2)(h), layers.Dense(2)(h)])
    z = keras.Input((2,))
    h = layers.Dense(7 * 7 * 64, activation="relu")(z)
    h = layers.Reshape((7, 7, 64))(h)
    h = kg.layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu")(h)
    h = kg.layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(h)
    # The example ends in a sigmoid; a likelihood here needs the logits.
    decoder = keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(h))

    vae = kg.VAE(encoder, decoder, seed=seed)
    vae.compile(keras.optimizers.Adam())
    history = vae.fit(everything, epochs=30, shuffle=False, verbose=2).history
    loss, reconstruction, kl = (history[name][-1] for name in ("loss", "reconstruction", "kl"))
    # The example prints its last epoch's means, of one seed. With two latents runs differ by nats.
    return [
        Row("keras-vae", "loss, last epoch, nats", loss, 146.95, 3.0),
        Row("keras-vae", "reconstruction, nats", reconstruction, 140.15, 3.0),
        Row("keras-vae", "KL, nats", kl, 6.80, 0.5),
    ]


def conditional(seed, **data):
    """Conditional GAN and VAE of the digits: is a sample of the class that was asked for?"""
    import tempfile

    import keras
    import numpy as np
    from sklearn.svm import SVC

    import keras_gen as kg
    from train import gan, vae

    train, test = kg.data.load("digits", labels=True, **data)
    classifier = SVC(C=10).fit(train.x.reshape(len(train.x), -1), train.y)
    score = classifier.score(test.x.reshape(len(test.x), -1), test.y)
    rows = [Row("classifier", "share of test digits it classifies correctly", score, 1.0, 0.02)]
    for name, script in (("conditional GAN", gan), ("conditional VAE", vae)):
        with tempfile.TemporaryDirectory() as out:
            folder = ["--data-dir", data["data_dir"]] if data.get("data_dir") else []
            script.main(["--conditional", "--seed", str(seed), "--out", out, *folder])
            model = keras.saving.load_model(f"{out}/model.keras")
        asked = np.arange(2000) % 10
        images = model.sample(2000, y=asked)
        seen = classifier.predict(images.reshape(2000, -1))
        share = (seen == asked).mean()
        rows.append(AtLeast(name, "share of samples of the requested class", share, 0.95))
    return rows
