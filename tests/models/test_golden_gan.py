"""Three GANs on every backend and in every mode: 12 generator and 24 discriminator updates.

They are held to `tests/golden/make_gan.py`, alternating steps in plain PyTorch and float64.
"""

import json
import pathlib

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.helpers import (
    GOLDEN_OPTIMIZERS,
    every_batch_mode,
    every_precision,
    given_noise,
    in_precision,
    is_slow,
    numpy,
    tolerance,
)

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "gan.json").read_text())
ITERATIONS, FEW, D_STEPS, BATCH, LATENT, DATA, HIDDEN = 12, 2, 2, 6, 2, 4, 8

VARIANTS = {
    "batch_norm": (keras.layers.BatchNormalization, "non_saturating", []),
    "r1_r2": (None, "relativistic", [kg.losses.R1(0.4), kg.losses.R2(0.4)]),
    "wgan_gp": (kg.layers.LayerNormalization, "wasserstein", [kg.losses.GradientPenalty(1.0)]),
}


def network(inputs, outputs, norm, activation, last_bias=True):
    x = keras.Input((inputs,))
    h = keras.layers.Dense(HIDDEN, use_bias=norm is None)(x)
    h = activation(norm()(h) if norm else h)
    return keras.Model(x, keras.layers.Dense(outputs, use_bias=last_bias)(h))


def draws():
    # As tests/golden/make_gan.py, which is not imported: it needs torch.
    rng = np.random.default_rng(7)

    def weights(inputs, outputs):
        shapes = [(inputs, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,)]
        return [(0.5 * rng.standard_normal(shape)).astype("float32") for shape in shapes]

    networks = weights(LATENT, DATA), weights(DATA, 1)
    x = rng.standard_normal((ITERATIONS, D_STEPS * BATCH, DATA)).astype("float32")
    z = rng.standard_normal((ITERATIONS, D_STEPS + 1, BATCH, LATENT)).astype("float32")
    eps = rng.random((ITERATIONS, D_STEPS, BATCH, 1)).astype("float32")
    return networks, x, z, eps


@every_batch_mode
@every_precision
@pytest.mark.parametrize("optimizer", GOLDEN_OPTIMIZERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_alternating_updates_match_a_loop_written_by_hand(variant, optimizer, precision, mode):
    norm, loss, penalties = VARIANTS[variant]
    rtol = tolerance(precision, optimizer)
    with in_precision(precision):
        gan = given_noise(kg.GAN)(
            network(LATENT, DATA, keras.layers.BatchNormalization, keras.layers.ReLU(), False),
            network(DATA, 1, norm, keras.layers.LeakyReLU(0.25)),
            latent_dim=LATENT,
            loss=loss,
            penalties=penalties,
            d_steps=D_STEPS,
        )
        initial, xs, z, eps = draws()
        for player, weights in zip((gan.generator, gan.discriminator), initial, strict=True):
            for layer, part in ((player.layers[1], weights[:2]), (player.layers[-1], weights[2:])):
                layer.set_weights(part[: len(layer.weights)])
        gan.compile(*(GOLDEN_OPTIMIZERS[optimizer]() for _ in range(2)), **mode)

        iterations = FEW if is_slow(mode) else ITERATIONS
        for t, x in enumerate(xs[:iterations]):
            mixed = eps[t] if variant == "wgan_gp" else [None] * D_STEPS
            noise = [a for pair in zip(z[t], mixed) for a in pair if a is not None]  # noqa: B905
            noise = [a.astype(precision) for a in (*noise, z[t, D_STEPS])]
            gan.train_on_batch(x.astype(precision), tuple(noise))
    golden = GOLDEN[f"{variant}_{optimizer}"][str(iterations)]
    for name, player in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        for weight, value in zip(player.weights, golden[name], strict=True):
            np.testing.assert_allclose(
                *(numpy(weight), value), rtol=rtol, atol=rtol, err_msg=weight.path
            )
    counts = gan.optimizer.generator.iterations, gan.optimizer.discriminator.iterations
    assert [int(numpy(count)) for count in counts] == [iterations, D_STEPS * iterations]
