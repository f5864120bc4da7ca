"""The three backends do the same: 12 generator and 24 discriminator updates of three GANs.

Held to `tests/golden/make_gan.py`, alternating steps in plain PyTorch and float64.
"""

import itertools
import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "gan.json").read_text())
ITERATIONS, D_STEPS, BATCH, LATENT, DATA, HIDDEN = 12, 2, 6, 2, 4, 8

VARIANTS = {
    "batch_norm": (keras.layers.BatchNormalization, "non_saturating", []),
    "r1_r2": (None, "relativistic", [kg.losses.R1(0.4), kg.losses.R2(0.4)]),
    "wgan_gp": (kg.layers.LayerNormalization, "wasserstein", [kg.losses.GradientPenalty(1.0)]),
}
OPTIMIZERS = {
    "sgd": (lambda: keras.optimizers.SGD(0.01), 1e-5),
    "adam": (lambda: keras.optimizers.Adam(0.003, beta_1=0.5), 1e-4),
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


def replay(gan, z, eps):
    """Training draws recorded noise, also in a compiled step: which draw is known when
    tracing, which iteration by the generator's count."""

    def recorded(values):
        calls = itertools.count()
        values = ops.convert_to_tensor(np.swapaxes(values, 0, 1))  # (draw, iteration, ...)
        return lambda shape: ops.take(
            values[next(calls) % len(values)], gan.optimizer.generator.iterations, axis=0
        )

    gan.noise.normal, gan.noise.uniform = recorded(z), recorded(eps)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_alternating_updates_match_a_loop_written_by_hand(variant, optimizer, compiled):
    norm, loss, penalties = VARIANTS[variant]
    make_optimizer, tolerance = OPTIMIZERS[optimizer]
    gan = kg.GAN(
        network(LATENT, DATA, keras.layers.BatchNormalization, keras.layers.ReLU(), False),
        network(DATA, 1, norm, keras.layers.LeakyReLU(0.2)),
        latent_dim=LATENT,
        loss=loss,
        penalties=penalties,
        d_steps=D_STEPS,
    )
    initial, xs, z, eps = draws()
    for player, weights in zip((gan.generator, gan.discriminator), initial, strict=True):
        for layer, part in ((player.layers[1], weights[:2]), (player.layers[-1], weights[2:])):
            layer.set_weights(part[: len(layer.weights)])
    gan.compile(make_optimizer(), make_optimizer(), run_eagerly=not compiled)
    replay(gan, z, eps)

    for x in xs:
        gan.train_on_batch(x)
    golden = GOLDEN[f"{variant}_{optimizer}"]
    for name, player in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        for weight, value in zip(player.weights, golden[name], strict=True):
            np.testing.assert_allclose(
                *(ops.convert_to_numpy(weight), value),
                rtol=tolerance,
                atol=tolerance,
                err_msg=weight.path,
            )
    iterations = gan.optimizer.generator.iterations, gan.optimizer.discriminator.iterations
    assert [int(ops.convert_to_numpy(i)) for i in iterations] == [12, 24]
