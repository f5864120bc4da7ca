"""Writes the golden numbers: 20 SGD steps of two VAEs in plain PyTorch, in float64.

    python -m tests.golden.make

Nothing of Keras or keras_gen is used: the three backends are held to this loop, and so to
each other. Kernels are in Keras's layout, as the test assigns them.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).parent
STEPS, BATCH, LATENT, LEARNING_RATE, BETA = 20, 8, 3, 0.01, 0.7


def draws(shapes):
    """Initial weights, batches and noise, from NumPy: the same for whoever asks."""
    rng = np.random.default_rng(11)
    weights = [0.3 * rng.standard_normal(shape) for shape in shapes]
    x = rng.random((STEPS, BATCH, 8, 8, 1))
    eps = rng.standard_normal((STEPS, BATCH, LATENT))
    # float32 is what the backends start from.
    return [w.astype("float32") for w in weights], x.astype("float32"), eps.astype("float32")


MLP_SHAPES = [
    *[(64, 10), (10,), (10, LATENT), (LATENT,), (10, LATENT), (LATENT,)],
    *[(LATENT, 10), (10,), (10, 64), (64,)],
]
CONV_SHAPES = [
    *[(3, 3, 1, 4), (4,), (3, 3, 4, 6), (6,), (24, LATENT), (LATENT,), (24, LATENT), (LATENT,)],
    *[(LATENT, 24), (24,), (3, 3, 4, 6), (4,), (3, 3, 1, 4), (1,)],
]


def mlp(w, x, eps):
    h = torch.relu(x.reshape(len(x), -1) @ w[0] + w[1])
    mean, log_var = h @ w[2] + w[3], h @ w[4] + w[5]
    z = mean + torch.exp(0.5 * log_var) * eps
    logits = torch.relu(z @ w[6] + w[7]) @ w[8] + w[9]
    return mean, log_var, logits.reshape(x.shape)


def conv(w, x, eps):
    h = x.permute(0, 3, 1, 2)
    for kernel, bias in ((w[0], w[1]), (w[2], w[3])):
        # "same" with stride 2 pads one row and column at the end.
        h = F.conv2d(F.pad(h, (0, 1, 0, 1)), kernel.permute(3, 2, 0, 1), bias, stride=2)
        h = torch.relu(h)
    h = h.permute(0, 2, 3, 1).reshape(len(x), -1)
    mean, log_var = h @ w[4] + w[5], h @ w[6] + w[7]
    z = mean + torch.exp(0.5 * log_var) * eps
    h = torch.relu(z @ w[8] + w[9]).reshape(-1, 2, 2, 6).permute(0, 3, 1, 2)
    for kernel, bias, activation in ((w[10], w[11], torch.relu), (w[12], w[13], lambda h: h)):
        h = F.conv_transpose2d(h, kernel.permute(3, 2, 0, 1), bias, stride=2)
        h = activation(h[:, :, :-1, :-1])
    return mean, log_var, h.permute(0, 2, 3, 1)


def train(network, shapes):
    weights, xs, noise = draws(shapes)
    w = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in weights]
    logs = []
    for x, eps in zip(torch.tensor(xs).double(), torch.tensor(noise).double(), strict=True):
        mean, log_var, logits = network(w, x, eps)
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        reconstruction = bce.sum((1, 2, 3)).mean()
        kl = (-0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)).mean()
        loss = reconstruction + BETA * kl
        logs.append({"loss": loss.item(), "reconstruction": reconstruction.item(), "kl": kl.item()})
        gradients = torch.autograd.grad(loss, w)
        with torch.no_grad():
            for v, g in zip(w, gradients, strict=True):
                v -= LEARNING_RATE * g
    return {"logs": logs, "weights": [np.round(v.detach().numpy(), 9).tolist() for v in w]}


if __name__ == "__main__":
    for name, network, shapes in (("mlp", mlp, MLP_SHAPES), ("conv", conv, CONV_SHAPES)):
        (FOLDER / f"vae_{name}.json").write_text(json.dumps(train(network, shapes)) + "\n")
