"""The GANs of TensorFlow's and of Keras's pages, in loops by hand in TensorFlow."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

CLASSES = 10


def dcgan(seed):
    """Train as in TensorFlow's tutorial "Deep Convolutional Generative Adversarial Network"."""
    keras.utils.set_random_seed(seed)
    G, D = dcgan_players()
    g_adam, d_adam = adam(G, 1e-4), adam(D, 1e-4)

    @tf.function
    def step(x, y):
        z = tf.random.normal((x.shape[0], 100))
        with tf.GradientTape(persistent=True) as tape:  # One fake for both players.
            fake = G(z, training=True)
            real_logits, fake_logits = D(2 * x - 1, training=True), D(fake, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits) + tf.nn.softplus(fake_logits))
            g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
        descend(g_adam, tape, g_loss, G)
        descend(d_adam, tape, d_loss, D)
        return d_loss, g_loss

    return 256, step, lambda labels: (in_batches(G, normal(seed, len(labels), 100)) + 1) / 2


def dcgan_players():
    generator = keras.Sequential(
        [
            keras.Input((100,)),
            *(layers.Dense(7 * 7 * 256, use_bias=False), layers.BatchNormalization()),
            *(layers.LeakyReLU(0.3), layers.Reshape((7, 7, 256))),
            layers.Conv2DTranspose(128, 5, 1, "same", use_bias=False),
            *(layers.BatchNormalization(), layers.LeakyReLU(0.3)),
            layers.Conv2DTranspose(64, 5, 2, "same", use_bias=False),
            *(layers.BatchNormalization(), layers.LeakyReLU(0.3)),
            layers.Conv2DTranspose(1, 5, 2, "same", use_bias=False, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(layers.Conv2D(64, 5, 2, "same"), layers.LeakyReLU(0.3), layers.Dropout(0.3)),
            *(layers.Conv2D(128, 5, 2, "same"), layers.LeakyReLU(0.3), layers.Dropout(0.3)),
            *(layers.Flatten(), layers.Dense(1)),
        ]
    )
    return generator, discriminator


def conditional(seed):
    """Train as in Keras's example "Conditional GAN"; there also on the test images."""
    keras.utils.set_random_seed(seed)
    G, D = conditional_players()
    g_adam, d_adam = adam(G, 3e-4), adam(D, 3e-4)

    def judge(x, labels):
        planes = tf.tile(labels[:, None, None], (1, 28, 28, 1))
        return D(tf.concat([x, planes], axis=-1))

    @tf.function
    def step(x, y):
        labels = tf.one_hot(y, CLASSES)
        fake = G(tf.concat([tf.random.normal((x.shape[0], 128)), labels], axis=1))
        both, both_labels = tf.concat([fake, x], axis=0), tf.concat([labels, labels], axis=0)
        with tf.GradientTape() as tape:
            # The logit of a fake is positive here, and the mean is over both halves.
            fake_logits, real_logits = tf.split(judge(both, both_labels), 2)
            d_loss = tf.reduce_mean(tf.nn.softplus(real_logits) + tf.nn.softplus(-fake_logits)) / 2
        descend(d_adam, tape, d_loss, D)
        z = tf.random.normal((x.shape[0], 128))
        with tf.GradientTape() as tape:
            g_loss = tf.reduce_mean(tf.nn.softplus(judge(G(tf.concat([z, labels], 1)), labels)))
        descend(g_adam, tape, g_loss, G)
        return d_loss, g_loss

    def draw(labels):
        z = normal(seed, len(labels), 128)
        return in_batches(G, np.concatenate([z, np.eye(CLASSES, dtype="float32")[labels]], axis=1))

    return 64, step, draw


def conditional_players():
    channels = 128 + CLASSES
    generator = keras.Sequential(
        [
            keras.Input((channels,)),
            *(layers.Dense(7 * 7 * channels), layers.LeakyReLU(0.2)),
            layers.Reshape((7, 7, channels)),
            *(layers.Conv2DTranspose(128, 4, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.Conv2DTranspose(128, 4, 2, "same"), layers.LeakyReLU(0.2)),
            layers.Conv2D(1, 7, padding="same", activation="sigmoid"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1 + CLASSES)),
            *(layers.Conv2D(64, 3, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.Conv2D(128, 3, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.GlobalMaxPooling2D(), layers.Dense(1)),
        ]
    )
    return generator, discriminator


def wgan_gp(seed):
    """Train as in Keras's example "WGAN-GP", which is of Fashion-MNIST."""
    keras.utils.set_random_seed(seed)
    G, D = wgan_gp_players()
    g_adam, d_adam = (adam(player, 2e-4, beta_1=0.5, beta_2=0.9) for player in (G, D))

    @tf.function
    def step(x, y):
        real = 2 * x - 1
        for _ in range(3):  # All three on one batch.
            fake = G(tf.random.normal((x.shape[0], 128)), training=True)
            with tf.GradientTape() as tape:
                d_loss = tf.reduce_mean(D(fake, training=True) - D(real, training=True))
                d_loss += 10 * gradient_penalty(D, real, fake)
            descend(d_adam, tape, d_loss, D)
        z = tf.random.normal((x.shape[0], 128))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(D(G(z, training=True), training=True))
        descend(g_adam, tape, g_loss, G)
        return d_loss, g_loss

    return 512, step, lambda labels: (in_batches(G, normal(seed, len(labels), 128)) + 1) / 2


def gradient_penalty(D, real, fake):
    """Return the mean of (|dD/dx| - 1)^2 at points between real and fake, u ~ U[0, 1]."""
    u = tf.random.uniform((real.shape[0], 1, 1, 1))
    points = real + u * (fake - real)
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = D(points, training=True)
    slope = tape.gradient(value, points)
    norm = tf.sqrt(tf.reduce_sum(slope**2, axis=(1, 2, 3)))
    return tf.reduce_mean((norm - 1) ** 2)


def wgan_gp_players():
    def up(filters):
        return layers.UpSampling2D(), layers.Conv2D(filters, 3, padding="same", use_bias=False)

    generator = keras.Sequential(
        [
            keras.Input((128,)),
            *(layers.Dense(4 * 4 * 256, use_bias=False), layers.BatchNormalization()),
            *(layers.LeakyReLU(0.2), layers.Reshape((4, 4, 256))),
            *(*up(128), layers.BatchNormalization(), layers.LeakyReLU(0.2)),
            *(*up(64), layers.BatchNormalization(), layers.LeakyReLU(0.2)),
            *(*up(1), layers.BatchNormalization(), layers.Activation("tanh")),
            layers.Cropping2D(2),
        ]
    )
    discriminator = keras.Sequential(
        [
            *(keras.Input((28, 28, 1)), layers.ZeroPadding2D(2)),
            *(layers.Conv2D(64, 5, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.Conv2D(128, 5, 2, "same"), layers.LeakyReLU(0.2), layers.Dropout(0.3)),
            *(layers.Conv2D(256, 5, 2, "same"), layers.LeakyReLU(0.2), layers.Dropout(0.3)),
            *(layers.Conv2D(512, 5, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.Flatten(), layers.Dropout(0.2), layers.Dense(1)),
        ]
    )
    return generator, discriminator


def adam(player, rate, **betas):
    optimizer = keras.optimizers.Adam(rate, **betas)
    optimizer.build(player.trainable_variables)
    return optimizer


def descend(optimizer, tape, loss, player):
    variables = player.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def normal(seed, n, size):
    return np.random.default_rng(seed).standard_normal((n, size)).astype("float32")


def in_batches(network, rows):
    """Return what a network gives in inference mode, as NumPy."""
    return network.predict(rows, batch_size=500, verbose=0)
