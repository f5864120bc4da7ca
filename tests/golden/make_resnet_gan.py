"""Write the golden numbers of a residual GAN with R1, R2 and adaptive augmentation, in float64.

    python -m tests.golden.make_resnet_gan

Nothing of Keras or keras_gen is used: images are (batch, channels, height, width), and each is
augmented by itself, by moving pixels.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.golden.make import OPTIMIZERS, rounded, write

ITERATIONS, BATCH, LATENT, SIDE, WIDTH, GAMMA = 10, 4, 3, 8, 4, 0.02
TARGET, RAMP_IMAGES, LIMIT, FIRST_P = -0.2, 40, 0.8, 0.5
TRANSFORMS = ("flip", "rotation", "translation", "scaling", "color", "cutout")
NUMBERS = {"translation": 2, "color": 3, "cutout": 2}  # The others need one.


def block(channels):
    return [(1, 1, channels, channels), (channels,), (3, 3, channels, channels), (channels,)] + [
        (1, 1, channels, channels)
    ]


GENERATOR = [(LATENT, 16 * 2 * WIDTH), (16 * 2 * WIDTH,), *block(2 * WIDTH)]
GENERATOR += [(1, 1, 2 * WIDTH, WIDTH), *block(WIDTH), (1, 1, WIDTH, 3), (3,)]
DISCRIMINATOR = [(1, 1, 3, WIDTH), (WIDTH,), *block(WIDTH), (1, 1, WIDTH, 2 * WIDTH)]
DISCRIMINATOR += [*block(2 * WIDTH), (4, 4, 2 * WIDTH, 1), (2 * WIDTH, 1), (1,)]


def draws():
    """Return initial weights, images and noise, drawn by NumPy and so the same everywhere."""
    rng = np.random.default_rng(5)

    def network(shapes):
        scales = [0.1 if len(s) == 1 else math.prod(s[:-1]) ** -0.5 for s in shapes]
        return [a * rng.standard_normal(s) for a, s in zip(scales, shapes, strict=True)]

    networks = network(GENERATOR), network(DISCRIMINATOR)
    x = rng.random((ITERATIONS, BATCH, SIDE, SIDE, 3))
    z = rng.standard_normal((ITERATIONS, 2, BATCH, LATENT))
    u = rng.random((ITERATIONS, 2, BATCH, 16))
    # float32 is what the backends start from.
    networks = [[w.astype("float32") for w in weights] for weights in networks]
    return networks, *(a.astype("float32") for a in (x, z, u))


def conv(h, kernel, bias=None, groups=1, padding="same"):
    return F.conv2d(h, kernel.permute(3, 2, 0, 1), bias, padding=padding, groups=groups)


def residual(h, w):
    f = F.leaky_relu(conv(h, next(w), next(w)), 0.2)
    f = F.leaky_relu(conv(f, next(w), next(w)), 0.2)
    return h + conv(f, next(w))


def generate(weights, z):
    w = iter(weights)
    h = (z @ next(w) + next(w)).reshape(-1, 4, 4, 2 * WIDTH).permute(0, 3, 1, 2)
    h = conv(residual(h, w), next(w))
    h = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
    return (torch.tanh(conv(residual(h, w), next(w), next(w))) + 1) / 2


def discriminate(weights, x):
    w = iter(weights)
    h = residual(conv(2 * x - 1, next(w), next(w)), w)
    h = residual(conv(F.avg_pool2d(h, 2), next(w)), w)
    h = torch.einsum("nchw,hwc->nc", h, next(w)[..., 0])
    return (h @ next(w) + next(w))[:, 0]


def color(x, u):
    x = x + (u[0] - 0.5)
    x = (x - x.mean(0)) * (2 * u[1]) + x.mean(0)
    return (x - x.mean()) * (u[2] + 0.5) + x.mean()


def moved(x, rows, columns):
    """The pixels at whole rows and columns of an image, 0 where there are none."""
    rows, columns = torch.meshgrid(rows.long(), columns.long(), indexing="ij")
    there = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
    return torch.where(there, x[:, rows.clamp(0, SIDE - 1), columns.clamp(0, SIDE - 1)], 0.0)


def translation(x, u):
    by = [math.floor(float(a) * 3) - 1 for a in u]  # By a pixel: an eighth of the side.
    return moved(x, *(torch.arange(SIDE) - a for a in by))


def scaling(x, u):
    centre = (SIDE - 1) / 2
    place = (torch.arange(SIDE) - centre) / 2 ** (0.35 * (2 * float(u[0]) - 1)) + centre
    low, part = place.floor(), place - place.floor()
    out = 0
    for rows, of_row in ((low, 1 - part), (low + 1, part)):
        for columns, of_column in ((low, 1 - part), (low + 1, part)):
            out = out + of_row[:, None] * of_column * moved(x, rows, columns)
    return out


def cutout(x, u):
    top, left = (math.floor(float(a) * (SIDE + 1)) - SIDE // 4 for a in u)
    mask = torch.ones(SIDE, SIDE, dtype=x.dtype)
    mask[max(top, 0) : top + SIDE // 2, max(left, 0) : left + SIDE // 2] = 0
    return x * mask


def flip(x, u):
    return x.flip(2) if u[0] < 0.5 else x


def rotation(x, u):
    return torch.rot90(x, math.floor(4 * float(u[0])), (1, 2))


def augment(x, u, p):
    images = []
    for image, numbers in zip(2 * x - 1, u, strict=True):
        gates, numbers = numbers[: len(TRANSFORMS)], numbers[len(TRANSFORMS) :]
        for gate, name in zip(gates, TRANSFORMS, strict=True):
            own, numbers = numbers[: NUMBERS.get(name, 1)], numbers[NUMBERS.get(name, 1) :]
            if gate < p:
                image = globals()[name](image, own)
        images.append(image)
    return (torch.stack(images) + 1) / 2


def penalty(critic, x):
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return GAMMA / 2 * slope.square().sum((1, 2, 3)).mean()


def train(optimizer):
    networks, *given = draws()
    g, d = (
        [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in weights]
        for weights in networks
    )
    g_optimizer, d_optimizer = optimizer(g), optimizer(d)
    xs, zs, us = (torch.tensor(a).double() for a in given)
    p, ps = FIRST_P, []
    for x, z, u in zip(xs.permute(0, 1, 4, 2, 3), zs, us, strict=True):

        def critic(images, u=u[0], p=p):
            return discriminate(d, augment(images, u, p))

        fake = generate(g, z[0]).detach()
        d_real, d_fake = critic(x), critic(fake)
        loss = F.softplus(d_fake - d_real).mean() + penalty(critic, x) + penalty(critic, fake)
        d_optimizer.step(torch.autograd.grad(loss, d))
        r = torch.sign(d_real - d_fake.mean()).mean().item()
        p = min(max(p + math.copysign(BATCH / RAMP_IMAGES, r - TARGET), 0), LIMIT)
        ps.append(p)
        d_real, d_fake = (critic(a, u[1], p) for a in (x, generate(g, z[1])))
        g_optimizer.step(torch.autograd.grad(F.softplus(d_real - d_fake).mean(), g))
    return {"generator": rounded(g), "discriminator": rounded(d), "p": ps}


if __name__ == "__main__":
    write("resnet_gan", {name: train(optimizer) for name, optimizer in OPTIMIZERS.items()})
