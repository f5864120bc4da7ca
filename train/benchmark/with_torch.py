"""The loop by hand in PyTorch: modules, autograd, the fused Adam; eager, or under torch.compile."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from train.benchmark.cases import batches


def rounds(name, case, x, jit):
    """Return a function that makes one round."""
    x = x.reshape(-1, 1, 28, 28)
    use_gpu()
    if name == "nll":
        return likelihoods(case, x, jit)
    step = {"dcgan": dcgan, "wgan_gp": wgan_gp}.get(name, vae)(case)
    if jit:
        step = torch.compile(step)

    def epoch():
        total = 0.0
        for batch in batches(x, case.batch * case.d_steps):
            total += step(on_device(batch))
        return float(total)

    return epoch


def use_gpu():
    """Put all that is made from now on on a GPU, if there is one."""
    if torch.cuda.is_available():
        torch.set_default_device("cuda")


def on_device(x):
    return torch.from_numpy(x).to(torch.get_default_device())


def mlp(sizes, activation):
    layers = []
    for width, following in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(width, following), activation()]
    return nn.Sequential(*layers[:-1])


def encoder_and_decoder(case):
    if case.filters:
        encoder = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(7 * 7 * 64, 2 * case.latent_dim)),
        )
        decoder = nn.Sequential(
            *(nn.Linear(case.latent_dim, 7 * 7 * 64), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
            *(nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1), nn.ReLU()),
            *(nn.ConvTranspose2d(32, 1, 3, 2, 1, output_padding=1), nn.Flatten()),
        )
        return encoder, decoder
    activation = nn.Tanh if case.num_samples > 1 else nn.ReLU
    encoder = mlp([784, *case.hidden, 2 * case.latent_dim], activation)
    decoder = mlp([case.latent_dim, *reversed(case.hidden), 784], activation)
    return nn.Sequential(nn.Flatten(), encoder), decoder


def adam(parameters, lr, beta_1=0.9):
    return torch.optim.Adam(parameters, lr, betas=(beta_1, 0.999), fused=True)


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def log_weights(encoder, decoder, x, k):
    """log p(x, z) - log q(z|x) at k draws, (k, batch)."""
    mean, log_var = encoder(x).chunk(2, dim=1)
    eps = torch.randn(k, *mean.shape)
    z = mean + torch.exp(0.5 * log_var) * eps
    logits = decoder(z)
    log_p_x = -F.binary_cross_entropy_with_logits(
        logits, x.flatten(1).expand_as(logits), reduction="none"
    ).sum(-1)
    return log_p_x + 0.5 * (eps**2 + log_var - z**2).sum(-1)


def vae(case):
    """The VAE, or the IWAE where there is more than one draw."""
    encoder, decoder = encoder_and_decoder(case)
    optimizer = adam([*encoder.parameters(), *decoder.parameters()], 1e-3)

    def loss_fn(x):
        if case.num_samples > 1:
            log_w = log_weights(encoder, decoder, x, case.num_samples)
            return -(log_w.logsumexp(0) - math.log(case.num_samples)).mean()
        mean, log_var = encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(
            decoder(z), x.flatten(1), reduction="sum"
        )
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
        return (reconstruction + kl) / len(x)

    def step(x):
        loss = loss_fn(x)
        update(optimizer, loss)
        return loss.detach()

    return step


def likelihoods(case, x, jit):
    encoder, decoder = encoder_and_decoder(case)
    weights = torch.compile(log_weights) if jit else log_weights

    @torch.no_grad()
    def estimate():
        log_p = [
            weights(encoder, decoder, on_device(example[None]), case.num_samples).logsumexp(0)
            for example in x
        ]
        return torch.cat(log_p).cpu().numpy() - math.log(case.num_samples)

    return estimate


def players(case, norm):
    a, b = case.filters
    generator = nn.Sequential(
        nn.Linear(case.latent_dim, 7 * 7 * b, bias=False),
        *(nn.Unflatten(1, (b, 7, 7)), nn.BatchNorm2d(b), nn.ReLU()),
        nn.ConvTranspose2d(b, a, 5, 2, 2, output_padding=1, bias=False),
        *(nn.BatchNorm2d(a), nn.ReLU()),
        *(nn.ConvTranspose2d(a, 1, 5, 2, 2, output_padding=1), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, a, 5, 2, 2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(a, b, 5, 2, 2), norm(b), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(7 * 7 * b, 1)),
    )
    optimizers = [adam(player.parameters(), 2e-4, 0.5) for player in (generator, discriminator)]
    return generator, discriminator, *optimizers


def dcgan(case):
    G, D, g_optimizer, d_optimizer = players(case, nn.BatchNorm2d)

    def step(x):
        real = 2 * x - 1
        fake = G(torch.randn(len(real), case.latent_dim))
        d_loss = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
        update(d_optimizer, d_loss)
        g_loss = F.softplus(-D(G(torch.randn(len(real), case.latent_dim)))).mean()
        update(g_optimizer, g_loss)
        return d_loss.detach() + g_loss.detach()

    return step


def wgan_gp(case):
    G, D, g_optimizer, d_optimizer = players(case, lambda channels: nn.GroupNorm(1, channels))

    def step(x):
        for real in (2 * x - 1).chunk(case.d_steps):
            with torch.no_grad():
                fake = G(torch.randn(len(real), case.latent_dim))
            u = torch.rand(len(real), 1, 1, 1)
            points = (u * real + (1 - u) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(D(points).sum(), points, create_graph=True)
            penalty = 10 * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
            d_loss = D(fake).mean() - D(real).mean() + penalty
            update(d_optimizer, d_loss)
        g_loss = -D(G(torch.randn(len(real), case.latent_dim))).mean()
        update(g_optimizer, g_loss)
        return d_loss.detach() + g_loss.detach()

    return step
