"""A DCGAN goes the same way on every backend for 200 steps, batch norm, Adam and all.

In float32 rounding doubles from step to step in such a game, and after some fifty steps two
backends are as far apart as two seeds. In float64 the same growth leaves ten digits.
"""

import json
import pathlib

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.helpers import given_noise
from tests.steps import double_precision

# Written by this file's `losses` on PyTorch: `KERAS_BACKEND=torch python -m
# tests.models.test_dcgan_follows`.
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "dcgan.json"
STEPS, BATCH, LATENT = 200, 16, 8


def losses():
    """d_loss and g_loss of every step, (200, 2), and the sum of each network's weights."""
    train, _ = kg.data.load("digits", batch_size=BATCH, seed=0)
    networks = kg.networks.dcgan((28, 28, 1), LATENT, filters=(8, 16), kernel_size=4)
    random = np.random.default_rng(3)
    for network in networks:
        for layer in network.layers:
            if isinstance(layer, keras.layers.LeakyReLU):
                layer.negative_slope = 0.25  # TensorFlow keeps 0.2 in float32 alone.
        for weight in network.trainable_variables:
            start = 1.0 if "gamma" in weight.path else 0.0
            weight.assign(start + 0.02 * random.standard_normal(weight.shape))
    gan = given_noise(kg.GAN)(*networks, latent_dim=LATENT)
    # Powers of two: TensorFlow takes Adam's numbers through float32.
    adam = {"learning_rate": 2**-12, "beta_1": 0.5, "beta_2": 1 - 2**-10}
    gan.compile(*(keras.optimizers.Adam(**adam) for _ in range(2)))
    z = random.standard_normal((STEPS, 2, BATCH, LATENT))
    rows = []
    for k in range(STEPS):
        x = train.x[np.arange(BATCH * k, BATCH * (k + 1)) % len(train.x)].astype("float64")
        logs = gan.train_on_batch(x, tuple(z[k]), return_dict=True)
        gan.reset_metrics()
        rows.append([float(logs["d_loss"]), float(logs["g_loss"])])
    return rows, [float(sum(np.abs(w).sum() for w in n.get_weights())) for n in networks]


@pytest.mark.slow
def test_a_dcgan_follows_for_200_steps():
    golden = json.loads(GOLDEN.read_text())
    with double_precision():
        rows, sums = losses()
    np.testing.assert_allclose(rows, golden["losses"], rtol=1e-6)
    np.testing.assert_allclose(sums, golden["sums"], rtol=1e-6)
    assert abs(rows[-1][0] - rows[0][0]) > 0.1  # It went somewhere.


if __name__ == "__main__":
    with double_precision():
        rows, sums = losses()
    GOLDEN.write_text(json.dumps({"losses": rows, "sums": sums}) + "\n")
