"""Write the golden numbers: 20 steps of two VAEs in plain PyTorch, in float64, by SGD and Adam.

    python -m tests.golden.make

Nothing of Keras or keras_gen is used: the three backends are held to this loop, and so to
each other. Kernels are in Keras's layout, as the test assigns them. The optimizers' numbers are
powers of two: TensorFlow takes them through float32.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).parent
STEPS, FEW, BATCH, LATENT, BETA = 20, 4, 8, 3, 0.7


def draws(shapes):
    """Return initial weights, batches and noise, drawn by NumPy and so the same everywhere."""
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


class SGD:
    def __init__(self, weights):
        self.weights = weights

    def step(self, gradients):
        with torch.no_grad():
            for i, (w, g) in enumerate(zip(self.weights, gradients, strict=True)):
                w -= self.change(i, g)

    def change(self, i, gradient):
        return 2**-7 * gradient


class Adam(SGD):
    """Kingma and Ba (2015), with epsilon where Keras has it."""

    def __init__(self, weights):
        super().__init__(weights)
        self.m = [torch.zeros_like(w) for w in weights]
        self.v = [torch.zeros_like(w) for w in weights]
        self.t = [0] * len(weights)

    def change(self, i, gradient):
        b1, b2 = 0.5, 1 - 2**-10
        self.t[i] += 1
        self.m[i] = b1 * self.m[i] + (1 - b1) * gradient
        self.v[i] = b2 * self.v[i] + (1 - b2) * gradient**2
        alpha = 2**-8 * (1 - b2 ** self.t[i]) ** 0.5 / (1 - b1 ** self.t[i])
        return alpha * self.m[i] / (self.v[i].sqrt() + 2**-23)


OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def train(network, shapes, optimizer):
    weights, xs, noise = draws(shapes)
    w = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in weights]
    optimizer = optimizer(w)
    logs, after = [], {}
    for x, eps in zip(torch.tensor(xs).double(), torch.tensor(noise).double(), strict=True):
        mean, log_var, logits = network(w, x, eps)
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        reconstruction = bce.sum((1, 2, 3)).mean()
        kl = (-0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)).mean()
        loss = reconstruction + BETA * kl
        logs.append({"loss": loss.item(), "reconstruction": reconstruction.item(), "kl": kl.item()})
        optimizer.step(torch.autograd.grad(loss, w))
        after[len(logs)] = rounded(w)
    return {"logs": logs, "weights": {step: after[step] for step in (FEW, STEPS)}}


def rounded(weights):
    return [np.round(w.detach().numpy(), 12).tolist() for w in weights]


def write(name, golden):
    (FOLDER / f"{name}.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    for name, network, shapes in (("mlp", mlp, MLP_SHAPES), ("conv", conv, CONV_SHAPES)):
        golden = {key: train(network, shapes, value) for key, value in OPTIMIZERS.items()}
        write(f"vae_{name}", golden)
