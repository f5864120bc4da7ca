"""Write the golden numbers of three GANs: alternating steps in plain PyTorch, in float64.

    python -m tests.golden.make_gan

Nothing of Keras or keras_gen is used. Kernels are in Keras's layout, (inputs, outputs).
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

from tests.golden.make import OPTIMIZERS, rounded, write

ITERATIONS, FEW, D_STEPS, BATCH, LATENT, DATA, HIDDEN = 12, 2, 2, 6, 2, 4, 8


def draws():
    """Return initial weights, batches and noise, drawn by NumPy and so the same everywhere."""
    rng = np.random.default_rng(7)

    def network(inputs, outputs):
        shapes = [(inputs, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,)]
        return [0.5 * rng.standard_normal(shape) for shape in shapes]

    arrays = {
        "generator": network(LATENT, DATA),
        "discriminator": network(DATA, 1),
        "x": rng.standard_normal((ITERATIONS, D_STEPS * BATCH, DATA)),
        "z": rng.standard_normal((ITERATIONS, D_STEPS + 1, BATCH, LATENT)),
        "eps": rng.random((ITERATIONS, D_STEPS, BATCH, 1)),
    }
    # float32 is what the backends start from.
    return {
        name: [a.astype("float32") for a in value]
        if isinstance(value, list)
        else value.astype("float32")
        for name, value in arrays.items()
    }


class Network:
    """Dense, normalisation or none, activation, Dense; as in Keras's layers."""

    def __init__(self, weights, norm, activation, last_bias=True):
        w0, b0, w1, b1 = (torch.tensor(w, dtype=torch.float64) for w in weights)
        gamma, beta = torch.ones(HIDDEN).double(), torch.zeros(HIDDEN).double()
        self.norm, self.activation = norm, activation
        # A bias in front of a norm would be taken out by it, its gradient rounding alone.
        self.trained = [w0, *([gamma, beta] if norm else [b0]), w1, *([b1] if last_bias else [])]
        for w in self.trained:
            w.requires_grad_()
        self.moving = [torch.zeros(HIDDEN).double(), torch.ones(HIDDEN).double()]

    def __call__(self, x):
        w0, *middle = self.trained[: 3 if self.norm else 2]
        w1, *b1 = self.trained[1 + len(middle) :]
        h = x @ w0
        if not self.norm:
            h = h + middle[0]
        else:
            axis = 0 if self.norm == "batch" else 1
            mean = h.mean(axis, keepdim=True)
            variance = (h - mean).square().mean(axis, keepdim=True)
            if self.norm == "batch":
                for moving, now in zip(self.moving, (mean, variance), strict=True):
                    moving.mul_(0.99).add_(0.01 * now.detach()[0])
            h = (h - mean) / (variance + 1e-3).sqrt() * middle[0] + middle[1]
        return self.activation(h) @ w1 + sum(b1)

    def weights(self):
        """Return the weights in the order in which Keras lists them."""
        trained = [w.detach() for w in self.trained]
        return trained[:3] + self.moving + trained[3:] if self.norm == "batch" else trained


def slope(critic, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]


def non_saturating(critic, real, fake, eps):
    d_loss = F.softplus(-critic(real)) + F.softplus(critic(fake))
    return d_loss.mean()


def relativistic(critic, real, fake, eps):
    """Return the loss with R1 and R2 at gamma = 0.4."""
    d_loss = F.softplus(critic(fake) - critic(real)).mean()
    return d_loss + sum(0.2 * slope(critic, x).square().sum(1).mean() for x in (real, fake))


def wasserstein(critic, real, fake, eps):
    """Return the loss with the gradient penalty of weight 1."""
    mixed = slope(critic, eps * real + (1 - eps) * fake)
    penalty = (mixed.square().sum(1).sqrt() - 1).square().mean()
    return (critic(fake) - critic(real)).mean() + penalty


VARIANTS = {
    "batch_norm": (
        ("batch", "batch"),
        non_saturating,
        lambda critic, real, fake: F.softplus(-critic(fake)),
    ),
    "r1_r2": (
        ("batch", None),
        relativistic,
        lambda critic, real, fake: F.softplus(critic(real) - critic(fake)),
    ),
    "wgan_gp": (("batch", "layer"), wasserstein, lambda critic, real, fake: -critic(fake)),
}


def train(variant, optimizer):
    norms, d_objective, g_objective = VARIANTS[variant]
    given = draws()
    # Without the bias: batch norm in the critic would take that out of the fakes.
    generator = Network(given["generator"], norms[0], torch.relu, last_bias=False)
    critic = Network(given["discriminator"], norms[1], lambda h: F.leaky_relu(h, 0.25))
    g_optimizer, d_optimizer = optimizer(generator.trained), optimizer(critic.trained)
    x, z, eps = (torch.tensor(given[name]).double() for name in ("x", "z", "eps"))
    after = {}
    for t in range(ITERATIONS):
        for i in range(D_STEPS):
            real = x[t, i::D_STEPS]
            fake = generator(z[t, i]).detach()
            d_loss = d_objective(critic, real, fake, eps[t, i])
            d_optimizer.step(torch.autograd.grad(d_loss, critic.trained))
        fake = generator(z[t, D_STEPS])
        g_loss = g_objective(critic, real, fake).mean()
        g_optimizer.step(torch.autograd.grad(g_loss, generator.trained))
        after[t + 1] = {
            "generator": rounded(generator.weights()),
            "discriminator": rounded(critic.weights()),
        }
    return {count: after[count] for count in (FEW, ITERATIONS)}


if __name__ == "__main__":
    golden = {
        f"{variant}_{name}": train(variant, optimizer)
        for variant, (name, optimizer) in itertools.product(VARIANTS, OPTIMIZERS.items())
    }
    write("gan", golden)
