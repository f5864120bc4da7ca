"""The DCGAN of PyTorch's examples, in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NZ, SIDE = 100, 64


def dcgan(seed):
    """Train as in `dcgan` of PyTorch's examples on MNIST, with its default options."""
    torch.manual_seed(seed)
    G, D = players()
    g_adam, d_adam = (
        torch.optim.Adam(player.parameters(), 2e-4, betas=(0.5, 0.999)) for player in (G, D)
    )

    def step(x, y):
        real = 2 * enlarge(torch.from_numpy(x).permute(0, 3, 1, 2)) - 1
        fake = G(torch.randn(len(x), NZ, 1, 1))  # One for both players.
        d_loss = (F.softplus(-D(real)) + F.softplus(D(fake.detach()))).mean()
        descend(d_adam, d_loss)
        g_loss = F.softplus(-D(fake)).mean()
        descend(g_adam, g_loss)
        return d_loss.detach(), g_loss.detach()

    @torch.no_grad()
    def draw(labels):
        # The example draws its pictures in training mode, 64 at a time.
        images = torch.cat([G(torch.randn(64, NZ, 1, 1)) for _ in range(-(-len(labels) // 64))])
        images = shrink((images + 1) / 2).clamp(0, 1)
        return np.ascontiguousarray(images.permute(0, 2, 3, 1)[: len(labels)])

    return 64, step, draw


def players(ngf=64, ndf=64):
    generator = nn.Sequential(
        *up(NZ, 8 * ngf, stride=1, padding=0),  # 4x4
        *up(8 * ngf, 4 * ngf),
        *up(4 * ngf, 2 * ngf),
        *up(2 * ngf, ngf),
        *(nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
        *down(ndf, 2 * ndf),
        *down(2 * ndf, 4 * ndf),
        *down(4 * ndf, 8 * ndf),  # 4x4
        *(nn.Conv2d(8 * ndf, 1, 4, bias=False), nn.Flatten()),
    )
    for player in (generator, discriminator):
        player.apply(initialize)
    return generator, discriminator


def up(filters_in, filters, stride=2, padding=1):
    convolution = nn.ConvTranspose2d(filters_in, filters, 4, stride, padding, bias=False)
    return convolution, nn.BatchNorm2d(filters), nn.ReLU()


def down(filters_in, filters):
    convolution = nn.Conv2d(filters_in, filters, 4, 2, 1, bias=False)
    return convolution, nn.BatchNorm2d(filters), nn.LeakyReLU(0.2)


def initialize(module):
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def enlarge(images):
    """Return images of 64 pixels, bilinear, as torchvision resizes them."""
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear")


def shrink(images):
    """Return the images of 28 pixels that are nearest when enlarged, in least squares.

    A filter would blur them: after a bilinear one, real images that were enlarged and shrunk have a
    Fréchet ratio of 20.
    """
    rows = F.interpolate(torch.eye(28)[None, None], (SIDE, 28), mode="bilinear")
    inverse = torch.linalg.pinv(rows)
    return inverse @ images @ inverse.mT


def descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
