"""Write the golden numbers of a VAE-GAN: alternating steps in plain PyTorch, in float64.

    python -m tests.golden.make_vaegan

Nothing of Keras or keras_gen is used. Kernels are in Keras's layout, (inputs, outputs).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.golden.make import OPTIMIZERS, rounded, write

ITERATIONS, FEW, BATCH, LATENT, DATA, HIDDEN = 12, 2, 6, 2, 4, 8
BETA, ADVERSARIAL, FEATURES, SIGMA = 0.7, 0.3, 0.6, 0.5
SHAPES = {
    "encoder": [(DATA, HIDDEN), (HIDDEN,), *[(HIDDEN, LATENT), (LATENT,)] * 2],
    "decoder": [(LATENT, HIDDEN), (HIDDEN,), (HIDDEN, DATA), (DATA,)],
    "discriminator": [(DATA, HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,)],
}


def draws():
    """Return initial weights, batches and noise, drawn by NumPy and so the same everywhere."""
    rng = np.random.default_rng(17)
    arrays = {
        name: [(0.5 * rng.standard_normal(shape)).astype("float32") for shape in shapes]
        for name, shapes in SHAPES.items()
    }
    x = rng.standard_normal((ITERATIONS, BATCH, DATA)).astype("float32")
    # Of each player's step: eps of q(z|x), and z of p(z).
    noise = rng.standard_normal((ITERATIONS, 2, 2, BATCH, LATENT)).astype("float32")
    return arrays, x, noise


def encode(weights, x, eps):
    w, b, w_mean, b_mean, w_log_var, b_log_var = weights
    h = torch.tanh(x @ w + b)
    mean, log_var = h @ w_mean + b_mean, h @ w_log_var + b_log_var
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    return mean + (log_var / 2).exp() * eps, kl


def decode(weights, z):
    w0, b0, w1, b1 = weights
    return torch.tanh(z @ w0 + b0) @ w1 + b1


def judge(weights, x):
    w0, b0, w1, b1 = weights
    features = F.leaky_relu(x @ w0 + b0, 0.25)
    return features @ w1 + b1, features


def minus_log_prob(x, mean, log_sigma):
    squares = ((x - mean) / log_sigma.exp()).square() / 2
    return (squares + log_sigma + math.log(2 * math.pi) / 2).sum(1)


def train(optimizer):
    given, x, noise = draws()
    weights = {
        name: [torch.tensor(w).double().requires_grad_() for w in given[name]] for name in SHAPES
    }
    log_sigma = torch.tensor(math.log(SIGMA), dtype=torch.float64, requires_grad=True)
    ours = [*weights["encoder"], *weights["decoder"], log_sigma]
    x, noise = torch.tensor(x).double(), torch.tensor(noise).double()
    ours_optimizer, d_optimizer = optimizer(ours), optimizer(weights["discriminator"])
    after = {}
    for t in range(ITERATIONS):
        with torch.no_grad():
            z, _ = encode(weights["encoder"], x[t], noise[t, 0, 0])
            fakes = [decode(weights["decoder"], z) for z in (z, noise[t, 0, 1])]
        real = judge(weights["discriminator"], x[t])[0]
        judged = [judge(weights["discriminator"], fake)[0] for fake in fakes]
        d_loss = F.softplus(-real).mean() + sum(F.softplus(fake).mean() for fake in judged) / 2
        d_optimizer.step(torch.autograd.grad(d_loss, weights["discriminator"]))

        z, kl = encode(weights["encoder"], x[t], noise[t, 1, 0])
        mean, drawn = (decode(weights["decoder"], z) for z in (z, noise[t, 1, 1]))
        logits, features = judge(weights["discriminator"], mean)
        target = judge(weights["discriminator"], x[t])[1].detach()
        distance = 0.5 * (target - features).square().sum(1)
        pixels = minus_log_prob(x[t], mean, log_sigma)
        on_mean = F.softplus(-logits).mean()
        on_drawn = F.softplus(-judge(weights["discriminator"], drawn)[0]).mean()
        rebuilt = (pixels + FEATURES * distance).mean()
        slopes = [
            torch.autograd.grad(loss, mean, retain_graph=True)[0] for loss in (rebuilt, on_mean)
        ]
        ratio = slopes[0].norm() / slopes[1].norm()
        game = ADVERSARIAL * ratio * (on_mean + on_drawn) / 2
        ours_optimizer.step(torch.autograd.grad(rebuilt + BETA * kl.mean() + game, ours))
        named = {name: rounded(w.detach() for w in weights[name]) for name in SHAPES}
        after[t + 1] = {**named, "log_sigma": log_sigma.item(), "adaptive_weight": ratio.item()}
    return {count: after[count] for count in (FEW, ITERATIONS)}


if __name__ == "__main__":
    write("vaegan", {name: train(optimizer) for name, optimizer in OPTIMIZERS.items()})
