"""The loop by hand in TensorFlow: Keras layers, a tape in a tf.function, Keras's Adam."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from train.benchmark.cases import batches


def rounds(name, case, x, jit):
    """Return a function that makes one round; `jit` compiles by XLA."""
    if name == "nll":
        return likelihoods(case, x, jit)
    step = {"dcgan": dcgan, "wgan_gp": wgan_gp}.get(name, vae)(case)
    step = tf.function(step, jit_compile=jit)

    def epoch():
        total = tf.zeros(())
        for batch in batches(x, case.batch * case.d_steps):
            total += step(tf.convert_to_tensor(batch))
        return float(total)

    return epoch


def networks(case):
    """Return an encoder, to mean and log_var in one tensor, and a decoder, to (..., 784) logits."""
    if case.filters:
        encoder = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(32, 3, 2, "same", activation="relu"),
                layers.Conv2D(64, 3, 2, "same", activation="relu"),
                layers.Flatten(),
                layers.Dense(2 * case.latent_dim),
            ]
        )
        decoder = keras.Sequential(
            [
                keras.Input((case.latent_dim,)),
                layers.Dense(7 * 7 * 64, activation="relu"),
                layers.Reshape((7, 7, 64)),
                layers.Conv2DTranspose(32, 3, 2, "same", activation="relu"),
                layers.Conv2DTranspose(1, 3, 2, "same"),
                layers.Flatten(),
            ]
        )
        return encoder, decoder
    activation = "tanh" if case.num_samples > 1 else "relu"
    hidden = [layers.Dense(width, activation) for width in case.hidden]
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            *hidden,
            layers.Dense(2 * case.latent_dim),
        ]
    )
    hidden = [layers.Dense(width, activation) for width in reversed(case.hidden)]
    decoder = keras.Sequential([keras.Input((case.latent_dim,)), *hidden, layers.Dense(784)])
    return encoder, decoder


def cross_entropy(x, logits):
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), axis=-1)


def log_weights(encoder, decoder, x, k):
    """log p(x, z) - log q(z|x) at k draws, (k, batch)."""
    mean, log_var = tf.split(encoder(x, training=True), 2, axis=-1)
    n, d = tf.shape(mean)[0], mean.shape[-1]
    eps = tf.random.normal((k, n, d))
    z = mean + tf.exp(0.5 * log_var) * eps
    logits = tf.reshape(decoder(tf.reshape(z, (-1, d)), training=True), (k, n, 784))
    x = tf.broadcast_to(tf.reshape(x, (1, n, 784)), (k, n, 784))
    return 0.5 * tf.reduce_sum(eps**2 + log_var - z**2, axis=-1) - cross_entropy(x, logits)


def vae(case):
    """The VAE, or the IWAE where there is more than one draw."""
    encoder, decoder = networks(case)
    variables = encoder.trainable_variables + decoder.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    def loss_fn(x):
        if case.num_samples > 1:
            log_w = log_weights(encoder, decoder, x, case.num_samples)
            return math.log(case.num_samples) - tf.reduce_mean(tf.reduce_logsumexp(log_w, axis=0))
        mean, log_var = tf.split(encoder(x, training=True), 2, axis=1)
        z = mean + tf.exp(0.5 * log_var) * tf.random.normal(tf.shape(mean))
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_var) - 1 - log_var, axis=1)
        reconstruction = cross_entropy(tf.reshape(x, (-1, 784)), decoder(z, training=True))
        return tf.reduce_mean(reconstruction + kl)

    def step(x):
        with tf.GradientTape() as tape:
            loss = loss_fn(x)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    return step


def likelihoods(case, x, jit):
    encoder, decoder = networks(case)

    @tf.function(jit_compile=jit)
    def log_p(example):
        log_w = log_weights(encoder, decoder, example[None], case.num_samples)
        return tf.reduce_logsumexp(log_w, axis=0) - math.log(case.num_samples)

    return lambda: np.array([log_p(example) for example in tf.convert_to_tensor(x)])


def players(case, norm):
    a, b = case.filters
    generator = keras.Sequential(
        [
            keras.Input((case.latent_dim,)),
            layers.Dense(7 * 7 * b, use_bias=False),
            layers.Reshape((7, 7, b)),
            *(layers.BatchNormalization(), layers.ReLU()),
            layers.Conv2DTranspose(a, 5, 2, "same", use_bias=False),
            *(layers.BatchNormalization(), layers.ReLU()),
            layers.Conv2DTranspose(1, 5, 2, "same", activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(layers.Conv2D(a, 5, 2, "same"), layers.LeakyReLU(0.2)),
            *(layers.Conv2D(b, 5, 2, "same"), norm(), layers.LeakyReLU(0.2)),
            *(layers.Flatten(), layers.Dense(1)),
        ]
    )
    optimizers = []
    for player in (generator, discriminator):
        optimizers.append(keras.optimizers.Adam(2e-4, beta_1=0.5))
        optimizers[-1].build(player.trainable_variables)
    return generator, discriminator, *optimizers


def update(optimizer, tape, loss, player):
    gradients = tape.gradient(loss, player.trainable_variables)
    optimizer.apply_gradients(zip(gradients, player.trainable_variables, strict=True))


def dcgan(case):
    G, D, g_optimizer, d_optimizer = players(case, layers.BatchNormalization)

    def step(x):
        real = 2 * x - 1
        fake = G(tf.random.normal((case.batch, case.latent_dim)), training=True)
        with tf.GradientTape() as tape:
            real_logits, fake_logits = D(real, training=True), D(fake, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits) + tf.nn.softplus(fake_logits))
        update(d_optimizer, tape, d_loss, D)
        with tf.GradientTape() as tape:
            fake = G(tf.random.normal((case.batch, case.latent_dim)), training=True)
            g_loss = tf.reduce_mean(tf.nn.softplus(-D(fake, training=True)))
        update(g_optimizer, tape, g_loss, G)
        return d_loss + g_loss

    return step


def wgan_gp(case):
    # The second derivative of Keras's own normalisations is wrong on TensorFlow.
    G, D, g_optimizer, d_optimizer = players(case, ImageNorm)

    def step(x):
        for real in tf.split(2 * x - 1, case.d_steps):
            fake = G(tf.random.normal((case.batch, case.latent_dim)), training=True)
            u = tf.random.uniform((case.batch, 1, 1, 1))
            points = u * real + (1 - u) * fake
            with tf.GradientTape() as tape:
                with tf.GradientTape() as inner:
                    inner.watch(points)
                    value = tf.reduce_sum(D(points, training=True))
                slope = inner.gradient(value, points)
                norm = tf.sqrt(tf.reduce_sum(slope**2, axis=(1, 2, 3)) + 1e-12)
                penalty = 10 * tf.reduce_mean((norm - 1) ** 2)
                d_loss = tf.reduce_mean(D(fake, training=True) - D(real, training=True)) + penalty
            update(d_optimizer, tape, d_loss, D)
        with tf.GradientTape() as tape:
            fake = G(tf.random.normal((case.batch, case.latent_dim)), training=True)
            g_loss = -tf.reduce_mean(D(fake, training=True))
        update(g_optimizer, tape, g_loss, G)
        return d_loss + g_loss

    return step


class ImageNorm(layers.Layer):
    """Layer norm over a whole image, with a gain and an offset for each channel."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer="ones")
        self.offset = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, h):
        mean = tf.reduce_mean(h, axis=(1, 2, 3), keepdims=True)
        var = tf.reduce_mean((h - mean) ** 2, axis=(1, 2, 3), keepdims=True)
        return (h - mean) * tf.math.rsqrt(var + 1e-5) * self.gain + self.offset
