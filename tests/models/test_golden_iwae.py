"""IWAE on the three backends: 20 updates against a float64 loop in plain PyTorch."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
STEPS, NUM_SAMPLES, LATENT, LEARNING_RATE = 20, 5, 3, 0.01


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize("name, model", [("iwae", kg.IWAE), ("iwae_dreg", kg.DReGIWAE)])
def test_twenty_updates_match_a_loop_written_by_hand(name, model, compiled):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    networks = kg.networks.mlp_vae((8, 8, 1), LATENT, hidden=(10,))
    iwae = model(*networks, num_samples=NUM_SAMPLES)
    weights, xs, noise = draws([w.shape for w in iwae.trainable_weights])
    for weight, value in zip(iwae.trainable_weights, weights, strict=True):
        weight.assign(value)
    iwae.compile(keras.optimizers.SGD(LEARNING_RATE), run_eagerly=not compiled)
    recorded = ops.convert_to_tensor(noise)
    iwae.sampling.noise = lambda shape: ops.take(recorded, iwae.optimizer.iterations, axis=0)

    for x, expected in zip(xs, golden["logs"], strict=True):
        iwae.reset_metrics()
        logs = iwae.train_on_batch(x, return_dict=True)
        for key, value in expected.items():
            np.testing.assert_allclose(logs[key], value, rtol=1e-5, err_msg=key)
    for weight, value in zip(iwae.trainable_weights, golden["weights"], strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), value, rtol=1e-5, atol=1e-6, err_msg=weight.path
        )


def draws(shapes):
    # As tests/golden/make_iwae.py, which is not imported: it needs torch.
    rng = np.random.default_rng(12)
    weights = [0.3 * rng.standard_normal(shape) for shape in shapes]
    x = rng.random((STEPS, 8, 8, 8, 1))
    noise = rng.standard_normal((STEPS, NUM_SAMPLES, 8, LATENT))
    return [w.astype("float32") for w in weights], x.astype("float32"), noise.astype("float32")
