"""The loop by hand in JAX: pure functions of parameters, jit, and optax's Adam."""

import functools
import math

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

from train.benchmark.cases import batches


def rounds(name, case, x, jit):
    """Return a function that makes one round, compiled whatever `jit` is, as JAX's users do."""
    if name == "nll":
        return likelihoods(case, x)
    state, step = {"dcgan": dcgan, "wgan_gp": wgan_gp}.get(name, vae)(case)
    step = jax.jit(step, donate_argnums=0)

    def epoch():
        nonlocal state
        for batch in batches(x, case.batch * case.d_steps):
            state = step(state, batch)
        return float(state[-1])  # The sum of the losses.

    return epoch


def dense(key, fan_in, fan_out):
    limit = math.sqrt(6 / (fan_in + fan_out))
    w = jax.random.uniform(key, (fan_in, fan_out), minval=-limit, maxval=limit)
    return w, jnp.zeros(fan_out)


def kernel(key, *shape, stddev=0.02):
    return stddev * jax.random.normal(key, shape)


def mlp(parameters, h, activation):
    for w, b in parameters[:-1]:
        h = activation(h @ w + b)
    w, b = parameters[-1]
    return h @ w + b


conv = functools.partial(
    lax.conv_general_dilated,
    window_strides=(2, 2),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
)
conv_transpose = functools.partial(lax.conv_transpose, strides=(2, 2), padding="SAME")


def vae_networks(case):
    """Return (parameters, encode, decode): to mean and log_var, and to logits (..., 784)."""
    keys = iter(jax.random.split(jax.random.key(0), 16))
    if case.filters:
        encoder = [kernel(next(keys), 3, 3, 1, 32, stddev=0.1), jnp.zeros(32)]
        encoder += [kernel(next(keys), 3, 3, 32, 64, stddev=0.05), jnp.zeros(64)]
        encoder += [dense(next(keys), 7 * 7 * 64, 2 * case.latent_dim)]
        decoder = [dense(next(keys), case.latent_dim, 7 * 7 * 64)]
        decoder += [kernel(next(keys), 3, 3, 64, 32, stddev=0.05), jnp.zeros(32)]
        decoder += [kernel(next(keys), 3, 3, 32, 1, stddev=0.1), jnp.zeros(1)]

        def encode(p, x):
            k1, b1, k2, b2, (w, b) = p
            h = jax.nn.relu(conv(x, k1) + b1)
            h = jax.nn.relu(conv(h, k2) + b2)
            return h.reshape(len(x), -1) @ w + b

        def decode(p, z):
            (w, b), k1, b1, k2, b2 = p
            h = jax.nn.relu(z @ w + b).reshape(-1, 7, 7, 64)
            h = jax.nn.relu(conv_transpose(h, k1) + b1)
            return (conv_transpose(h, k2) + b2).reshape(-1, 784)

        return (encoder, decoder), encode, decode

    activation = jnp.tanh if case.num_samples > 1 else jax.nn.relu
    down = [784, *case.hidden, 2 * case.latent_dim]
    up = [case.latent_dim, *reversed(case.hidden), 784]
    encoder, decoder = (
        [dense(next(keys), *pair) for pair in zip(sizes, sizes[1:], strict=False)]
        for sizes in (down, up)
    )
    return (
        (encoder, decoder),
        lambda p, x: mlp(p, x.reshape(len(x), -1), activation),
        lambda p, z: mlp(p, z, activation),
    )


def log_weights(parameters, encode, decode, x, key, k):
    """log p(x, z) - log q(z|x) at k draws, (k, batch)."""
    encoder, decoder = parameters
    mean, log_var = jnp.split(encode(encoder, x), 2, axis=-1)
    eps = jax.random.normal(key, (k, *mean.shape))
    z = mean + jnp.exp(0.5 * log_var) * eps
    logits = decode(decoder, z)
    log_p_x = -optax.sigmoid_binary_cross_entropy(logits, x.reshape(len(x), -1)).sum(-1)
    return log_p_x + 0.5 * (eps**2 + log_var - z**2).sum(-1)


def vae(case):
    """The VAE, or the IWAE where there is more than one draw."""
    parameters, encode, decode = vae_networks(case)
    optimizer = optax.adam(1e-3)

    def loss_fn(parameters, x, key):
        if case.num_samples > 1:
            log_w = log_weights(parameters, encode, decode, x, key, case.num_samples)
            return -(jax.nn.logsumexp(log_w, axis=0) - math.log(case.num_samples)).mean()
        mean, log_var = jnp.split(encode(parameters[0], x), 2, axis=1)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
        logits = decode(parameters[1], z)
        bce = optax.sigmoid_binary_cross_entropy(logits, x.reshape(len(x), -1)).sum(1)
        kl = 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var).sum(1)
        return (bce + kl).mean()

    def step(state, x):
        parameters, optimizer_state, key, total = state
        key, now = jax.random.split(key)
        loss, gradient = jax.value_and_grad(loss_fn)(parameters, x, now)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return optax.apply_updates(parameters, updates), optimizer_state, key, total + loss

    state = (parameters, optimizer.init(parameters), jax.random.key(1), jnp.zeros(()))

    return state, step


def likelihoods(case, x):
    parameters, encode, decode = vae_networks(case)

    @jax.jit
    def log_p(example, key):
        log_w = log_weights(parameters, encode, decode, example[None], key, case.num_samples)
        return jax.nn.logsumexp(log_w, axis=0) - math.log(case.num_samples)

    def estimate():
        keys = jax.random.split(jax.random.key(0), len(x))
        return np.array([log_p(example, key) for example, key in zip(x, keys, strict=True)])

    return estimate


def batch_norm(h, gain, offset, statistics):
    axes = tuple(range(h.ndim - 1))
    mean, var = h.mean(axes), h.var(axes)
    moved = tuple(0.9 * old + 0.1 * new for old, new in zip(statistics, (mean, var), strict=True))
    return (h - mean) * lax.rsqrt(var + 1e-5) * gain + offset, moved


def image_norm(h, gain, offset, statistics):
    """Layer norm over a whole image."""
    mean = h.mean((1, 2, 3), keepdims=True)
    var = h.var((1, 2, 3), keepdims=True)
    return (h - mean) * lax.rsqrt(var + 1e-5) * gain + offset, statistics


class Players:
    """Generator and discriminator with their parameters, moving statistics and optimizers."""

    def __init__(self, case, norm):
        a, b = case.filters
        keys = iter(jax.random.split(jax.random.key(0), 8))
        self.norm, self.latent_dim = norm, case.latent_dim

        def gains(channels):
            return jnp.ones(channels), jnp.zeros(channels)

        g = [
            (kernel(next(keys), case.latent_dim, 7 * 7 * b), *gains(b)),
            (kernel(next(keys), 5, 5, b, a), *gains(a)),
            (kernel(next(keys), 5, 5, a, 1), jnp.zeros(1)),
        ]
        d = [
            (kernel(next(keys), 5, 5, 1, a), jnp.zeros(a)),
            (kernel(next(keys), 5, 5, a, b), jnp.zeros(b), *gains(b)),
            (kernel(next(keys), 7 * 7 * b, 1), jnp.zeros(1)),
        ]
        self.optimizer = optax.adam(2e-4, b1=0.5)
        statistics = [gains(b), gains(a), gains(b)]
        states = self.optimizer.init(g), self.optimizer.init(d)
        self.state = ((g, d), states, statistics, jax.random.key(1), jnp.zeros(()))

    def generate(self, g, z, statistics):
        (w, *norm1), (k1, *norm2), (k2, b2) = g
        h = (z @ w).reshape(len(z), 7, 7, -1)
        h, first = batch_norm(h, *norm1, statistics[0])
        h = conv_transpose(jax.nn.relu(h), k1)
        h, second = batch_norm(h, *norm2, statistics[1])
        image = jnp.tanh(conv_transpose(jax.nn.relu(h), k2) + b2)
        return image, [first, second, statistics[2]]

    def judge(self, d, x, statistics):
        (k1, b1), (k2, b2, *norm), (w, b) = d
        h = jax.nn.leaky_relu(conv(x, k1) + b1, 0.2)
        h, third = self.norm(conv(h, k2) + b2, *norm, statistics[2])
        h = jax.nn.leaky_relu(h, 0.2)
        return h.reshape(len(x), -1) @ w + b, [*statistics[:2], third]

    def draw(self, key, x):
        return jax.random.normal(key, (len(x), self.latent_dim))

    def update(self, loss_fn, parameters, state, *inputs):
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, statistics), gradient = value_and_grad(parameters, *inputs)
        updates, state = self.optimizer.update(gradient, state)
        return loss, statistics, optax.apply_updates(parameters, updates), state


def dcgan(case):
    players = Players(case, batch_norm)

    def d_loss_fn(d, g, real, z, statistics):
        fake, statistics = players.generate(g, z, statistics)
        real_logits, statistics = players.judge(d, real, statistics)
        fake_logits, statistics = players.judge(d, lax.stop_gradient(fake), statistics)
        loss = jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()
        return loss, statistics

    def g_loss_fn(g, d, z, statistics):
        fake, statistics = players.generate(g, z, statistics)
        logits, statistics = players.judge(d, fake, statistics)
        return jax.nn.softplus(-logits).mean(), statistics

    def step(state, x):
        real = 2 * x - 1
        (g, d), (g_state, d_state), statistics, key, total = state
        key, first, second = jax.random.split(key, 3)
        z = players.draw(first, real)
        d_loss, statistics, d, d_state = players.update(
            d_loss_fn, d, d_state, g, real, z, statistics
        )
        z = players.draw(second, real)
        g_loss, statistics, g, g_state = players.update(g_loss_fn, g, g_state, d, z, statistics)
        return (g, d), (g_state, d_state), statistics, key, total + d_loss + g_loss

    return players.state, step


def wgan_gp(case):
    players = Players(case, image_norm)

    def judge(d, x, statistics):
        return players.judge(d, x, statistics)[0]

    def d_loss_fn(d, g, real, z, u, statistics):
        fake, statistics = players.generate(g, z, statistics)
        fake = lax.stop_gradient(fake)
        points = u * real + (1 - u) * fake
        slope = jax.grad(lambda x: judge(d, x, statistics).sum())(points)
        norm = jnp.sqrt((slope.reshape(len(slope), -1) ** 2).sum(1) + 1e-12)
        penalty = 10 * ((norm - 1) ** 2).mean()
        loss = judge(d, fake, statistics).mean() - judge(d, real, statistics).mean()
        return loss + penalty, statistics

    def g_loss_fn(g, d, z, statistics):
        fake, statistics = players.generate(g, z, statistics)
        return -judge(d, fake, statistics).mean(), statistics

    def step(state, x):
        (g, d), (g_state, d_state), statistics, key, total = state
        for real in jnp.split(2 * x - 1, case.d_steps):
            key, first, second = jax.random.split(key, 3)
            z = players.draw(first, real)
            u = jax.random.uniform(second, (len(real), 1, 1, 1))
            d_loss, statistics, d, d_state = players.update(
                d_loss_fn, d, d_state, g, real, z, u, statistics
            )
        key, now = jax.random.split(key)
        z = players.draw(now, real)
        g_loss, statistics, g, g_state = players.update(g_loss_fn, g, g_state, d, z, statistics)
        return (g, d), (g_state, d_state), statistics, key, total + d_loss + g_loss

    return players.state, step
