"""A residual GAN with R1, R2 and adaptive augmentation on every backend: 10 updates of each player.

It is held to `tests/golden/make_resnet_gan.py`, a loop in plain PyTorch and float64.
"""

import json
import math
import pathlib

import numpy as np
import pytest

import keras_gen as kg
from tests.helpers import (
    COMPILED,
    DEFAULT,
    GOLDEN_OPTIMIZERS,
    given_noise,
    in_precision,
    numpy,
    tolerance,
    whole_in_precision,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "resnet_gan.json"
ITERATIONS, BATCH, LATENT = 10, 4, 3
TRANSFORMS = ("flip", "rotation", "translation", "scaling", "color", "cutout")


def draws(generator, discriminator):
    # As tests/golden/make_resnet_gan.py, which is not imported: it needs torch.
    rng = np.random.default_rng(5)
    networks = []
    for network in (generator, discriminator):
        shapes = [tuple(weight.shape) for weight in network.weights]
        scales = [0.1 if len(s) == 1 else math.prod(s[:-1]) ** -0.5 for s in shapes]
        networks.append(
            [
                (a * rng.standard_normal(s)).astype("float32")
                for a, s in zip(scales, shapes, strict=True)
            ]
        )
    x = rng.random((ITERATIONS, BATCH, 8, 8, 3))
    z = rng.standard_normal((ITERATIONS, 2, BATCH, LATENT))
    u = rng.random((ITERATIONS, 2, BATCH, 16))
    return networks, *(a.astype("float32") for a in (x, z, u))


@pytest.mark.parametrize(
    "optimizer, precision, mode",
    [
        pytest.param("sgd", "float32", *DEFAULT.values, id="sgd"),
        pytest.param("adam", "float32", *DEFAULT.values, id="adam"),
        pytest.param("sgd", "float64", *DEFAULT.values, id="sgd, float64"),
        pytest.param("sgd", "float32", *COMPILED.values, id="sgd, jit_compile"),
    ],
)
def test_augmented_updates_match_a_loop_written_by_hand(optimizer, precision, mode, backend):
    if (mode or precision == "float64") and backend != "torch":
        pytest.skip("XLA takes long; tests/models/test_golden_gan.py has both")
    golden = json.loads(GOLDEN.read_text())[optimizer]
    with in_precision(precision):
        networks = kg.networks.resnet_gan((8, 8, 3), LATENT, width=4)
        augment = kg.augment.Adaptive(target=-0.2, transforms=TRANSFORMS, ramp_images=40)
        gan = given_noise(kg.GAN)(
            *(whole_in_precision(network, precision) for network in networks),
            latent_dim=LATENT,
            loss="relativistic",
            penalties=[kg.losses.R1(0.02), kg.losses.R2(0.02)],
            augment=augment,
        )
        initial, xs, zs, us = draws(gan.generator, gan.discriminator)
        for network, weights in zip((gan.generator, gan.discriminator), initial, strict=True):
            network.set_weights(weights)
        augment.p.assign(0.5)
        gan.compile(*(GOLDEN_OPTIMIZERS[optimizer]() for _ in range(2)), **mode)
        ps = []
        for x, z, u in zip(xs, zs, us, strict=True):
            noise = (z[0], u[0], z[1], u[1])
            gan.train_on_batch(x.astype(precision), tuple(a.astype(precision) for a in noise))
            ps.append(float(numpy(augment.p)))
    np.testing.assert_allclose(ps, golden["p"], atol=1e-6)
    rtol = tolerance(precision, optimizer)
    for name, player in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        for weight, value in zip(player.weights, golden[name], strict=True):
            np.testing.assert_allclose(
                *(numpy(weight), value), rtol=rtol, atol=rtol, err_msg=weight.path
            )
