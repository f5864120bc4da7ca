"""The three backends do the same: 20 updates against a float64 loop in plain PyTorch."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
STEPS, LATENT, LEARNING_RATE, BETA = 20, 3, 0.01, 0.7


def networks(name):
    if name == "mlp":
        return kg.networks.mlp_vae((8, 8, 1), LATENT, hidden=(10,))
    return kg.networks.conv_vae((8, 8, 1), LATENT, filters=(4, 6))


def replay(vae, noise):
    """Training draws recorded noise: that of step i, also in a compiled step."""
    recorded = ops.convert_to_tensor(noise)
    vae.sampling.noise = lambda shape: ops.take(recorded, vae.optimizer.iterations, axis=0)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_twenty_updates_match_a_loop_written_by_hand(name, compiled):
    golden = json.loads((GOLDEN / f"vae_{name}.json").read_text())
    vae = kg.VAE(*networks(name), beta=BETA)
    weights, xs, noise = draws([w.shape for w in vae.trainable_weights])
    for weight, value in zip(vae.trainable_weights, weights, strict=True):
        weight.assign(value)
    vae.compile(keras.optimizers.SGD(LEARNING_RATE), run_eagerly=not compiled)
    replay(vae, noise)

    for x, expected in zip(xs, golden["logs"], strict=True):
        vae.reset_metrics()
        logs = vae.train_on_batch(x, return_dict=True)
        for key, value in expected.items():
            np.testing.assert_allclose(logs[key], value, rtol=1e-5, err_msg=key)
    for weight, value in zip(vae.trainable_weights, golden["weights"], strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), value, rtol=1e-5, atol=1e-6, err_msg=weight.path
        )


def draws(shapes):
    # As tests/golden/make.py, which is not imported: it needs torch.
    rng = np.random.default_rng(11)
    weights = [0.3 * rng.standard_normal(shape) for shape in shapes]
    x = rng.random((STEPS, 8, 8, 8, 1))
    noise = rng.standard_normal((STEPS, 8, LATENT))
    return [w.astype("float32") for w in weights], x.astype("float32"), noise.astype("float32")
