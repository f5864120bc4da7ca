"""Write the golden numbers of IWAE: 20 steps in plain PyTorch, in float64, by SGD and Adam.

    python -m tests.golden.make_iwae

As `make.py`, with 5 draws of z for every x. `dreg` writes the doubly reparameterised gradient out
as in the paper: the encoder's comes from the z of every draw, with the square of its weight.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.golden.make import BATCH, FEW, LATENT, MLP_SHAPES, OPTIMIZERS, STEPS, rounded, write

NUM_SAMPLES = 5
ENCODER = 6  # Its weights come first.


def draws(shapes):
    rng = np.random.default_rng(12)
    weights = [0.3 * rng.standard_normal(shape) for shape in shapes]
    x = rng.random((STEPS, BATCH, 8, 8, 1))
    eps = rng.standard_normal((STEPS, NUM_SAMPLES, BATCH, LATENT))
    return [w.astype("float32") for w in weights], x.astype("float32"), eps.astype("float32")


def encode(w, x):
    h = torch.relu(x.reshape(len(x), -1) @ w[0] + w[1])
    return h @ w[2] + w[3], h @ w[4] + w[5]


def log_densities(w, x, z, mean, log_var):
    """Return log p(x|z), log p(z) and log q(z|x), each (draws, batch)."""
    logits = torch.relu(z @ w[6] + w[7]) @ w[8] + w[9]
    flat = x.reshape(1, len(x), -1).expand(logits.shape)
    log_p_x = -F.binary_cross_entropy_with_logits(logits, flat, reduction="none").sum(-1)
    log_p_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_q_z = torch.distributions.Normal(mean, torch.exp(log_var / 2)).log_prob(z).sum(-1)
    return log_p_x, log_p_z, log_q_z


def standard(w, z, mean, log_var, x):
    log_p_x, log_p_z, log_q_z = log_densities(w, x, z, mean, log_var)
    bound = torch.logsumexp(log_p_x + log_p_z - log_q_z, 0) - math.log(NUM_SAMPLES)
    return torch.autograd.grad(-bound.mean(), w)


def dreg(w, z, mean, log_var, x):
    leaf = z.detach().requires_grad_()
    log_p_x, log_p_z, log_q_z = log_densities(w, x, leaf, mean.detach(), log_var.detach())
    log_w = log_p_x + log_p_z - log_q_z
    v = torch.softmax(log_w, 0).detach()
    decoder = torch.autograd.grad(-(v * log_w).sum(0).mean(), w[ENCODER:], retain_graph=True)
    (by_z,) = torch.autograd.grad(-(v**2 * log_w).sum(0).mean(), leaf)
    return (*torch.autograd.grad(z, w[:ENCODER], by_z), *decoder)


def train(gradients, optimizer):
    weights, xs, noise = draws(MLP_SHAPES)
    w = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in weights]
    optimizer = optimizer(w)
    logs, after = [], {}
    for x, eps in zip(torch.tensor(xs).double(), torch.tensor(noise).double(), strict=True):
        mean, log_var = encode(w, x)
        z = mean + torch.exp(0.5 * log_var) * eps
        with torch.no_grad():
            log_p_x, log_p_z, log_q_z = log_densities(w, x, z, mean, log_var)
            log_w = log_p_x + log_p_z - log_q_z
            loss = math.log(NUM_SAMPLES) - torch.logsumexp(log_w, 0).mean()
        terms = {"loss": loss, "reconstruction": -log_p_x.mean(), "elbo": log_w.mean()}
        logs.append({name: value.item() for name, value in terms.items()})
        optimizer.step(gradients(w, z, mean, log_var, x))
        after[len(logs)] = rounded(w)
    return {"logs": logs, "weights": {step: after[step] for step in (FEW, STEPS)}}


if __name__ == "__main__":
    for name, gradients in (("iwae", standard), ("iwae_dreg", dreg)):
        write(name, {key: train(gradients, value) for key, value in OPTIMIZERS.items()})
