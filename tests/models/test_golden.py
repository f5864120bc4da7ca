"""VAEs on every backend and in every mode: 20 updates against a float64 loop in plain PyTorch."""

import json
import pathlib

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
    whole_in_precision,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
STEPS, FEW, LATENT, NUM_SAMPLES = 20, 4, 3, 5


def mlp():
    return kg.networks.mlp_vae((8, 8, 1), LATENT, hidden=(10,))


def conv():
    return kg.networks.conv_vae((8, 8, 1), LATENT, filters=(4, 6))


MODELS = {
    "vae_mlp": (mlp, kg.VAE, {"beta": 0.7}),
    "vae_conv": (conv, kg.VAE, {"beta": 0.7}),
    "iwae": (mlp, kg.IWAE, {"num_samples": NUM_SAMPLES}),
    "iwae_dreg": (mlp, kg.DReGIWAE, {"num_samples": NUM_SAMPLES}),
}


def draws(name, shapes):
    # As tests/golden/make.py and make_iwae.py, which are not imported: they need torch.
    rng = np.random.default_rng(12 if "iwae" in name else 11)
    samples = (NUM_SAMPLES,) if "iwae" in name else ()
    weights = [0.3 * rng.standard_normal(shape) for shape in shapes]
    x = rng.random((STEPS, 8, 8, 8, 1))
    noise = rng.standard_normal((STEPS, *samples, 8, LATENT))
    return [w.astype("float32") for w in weights], x.astype("float32"), noise.astype("float32")


@every_batch_mode
@every_precision
@pytest.mark.parametrize("optimizer", GOLDEN_OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_updates_match_a_loop_written_by_hand(name, optimizer, precision, mode):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())[optimizer]
    rtol = tolerance(precision, optimizer)
    with in_precision(precision):
        networks, model, arguments = MODELS[name]
        networks = [whole_in_precision(network, precision) for network in networks()]
        model = given_noise(model)(*networks, **arguments)
        weights, xs, noise = draws(name, [w.shape for w in model.trainable_weights])
        for weight, value in zip(model.trainable_weights, weights, strict=True):
            weight.assign(value)
        model.compile(GOLDEN_OPTIMIZERS[optimizer](), **mode)

        steps = FEW if is_slow(mode) else STEPS
        for x, eps, expected in zip(xs[:steps], noise, golden["logs"], strict=False):
            model.reset_metrics()
            logs = model.train_on_batch(
                *(x.astype(precision), eps.astype(precision)), return_dict=True
            )
            for key, value in expected.items():
                np.testing.assert_allclose(logs[key], value, rtol=rtol, err_msg=key)
    for weight, value in zip(model.trainable_weights, golden["weights"][str(steps)], strict=True):
        np.testing.assert_allclose(
            *(numpy(weight), value), rtol=rtol, atol=rtol / 10, err_msg=weight.path
        )
