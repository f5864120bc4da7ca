"""A VAE-GAN on every backend and in every mode: 12 updates of each player.

It is held to `tests/golden/make_vaegan.py`, alternating steps in plain PyTorch and float64.
"""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

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

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "vaegan.json").read_text())
ITERATIONS, FEW, BATCH, LATENT, DATA, HIDDEN = 12, 2, 6, 2, 4, 8
SETTINGS = {"beta": 0.7, "adversarial_weight": 0.3, "feature_weight": 0.6}
SHAPES = {
    "encoder": [(DATA, HIDDEN), (HIDDEN,), *[(HIDDEN, LATENT), (LATENT,)] * 2],
    "decoder": [(LATENT, HIDDEN), (HIDDEN,), (HIDDEN, DATA), (DATA,)],
    "discriminator": [(DATA, HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,)],
}


def draws():
    # As tests/golden/make_vaegan.py, which is not imported: it needs torch.
    rng = np.random.default_rng(17)
    arrays = {
        name: [(0.5 * rng.standard_normal(shape)).astype("float32") for shape in shapes]
        for name, shapes in SHAPES.items()
    }
    x = rng.standard_normal((ITERATIONS, BATCH, DATA)).astype("float32")
    noise = rng.standard_normal((ITERATIONS, 2, 2, BATCH, LATENT)).astype("float32")
    return arrays, x, noise


def networks():
    x, z = keras.Input((DATA,)), keras.Input((LATENT,))
    h = layers.Dense(HIDDEN, "tanh")(x)
    encoder = keras.Model(x, [layers.Dense(LATENT)(h), layers.Dense(LATENT)(h)])
    decoder = keras.Model(z, layers.Dense(DATA)(layers.Dense(HIDDEN, "tanh")(z)))
    x = keras.Input((DATA,))
    h = layers.LeakyReLU(0.25)(layers.Dense(HIDDEN)(x))
    return encoder, decoder, keras.Model(x, [layers.Dense(1)(h), h])


@every_batch_mode
@every_precision
@pytest.mark.parametrize("optimizer", GOLDEN_OPTIMIZERS)
def test_alternating_updates_match_a_loop_written_by_hand(optimizer, precision, mode):
    rtol = tolerance(precision, optimizer)
    with in_precision(precision):
        model = given_noise(kg.VAEGAN)(
            *networks(),
            likelihood=kg.likelihoods.Gaussian(0.5, learn_sigma=True),
            adversarial_loss="non_saturating",
            **SETTINGS,
        )
        weights, xs, noise = draws()
        for name, values in weights.items():
            getattr(model, name).set_weights(values)
        model.compile(*(GOLDEN_OPTIMIZERS[optimizer]() for _ in range(2)), **mode)

        iterations = FEW if is_slow(mode) else ITERATIONS
        for x, given in zip(xs[:iterations], noise, strict=False):
            model.reset_metrics()
            parts = tuple(part.astype(precision) for part in given.reshape(4, BATCH, LATENT))
            logs = model.train_on_batch(x.astype(precision), parts, return_dict=True)
    golden = GOLDEN[optimizer][str(iterations)]
    for name in SHAPES:
        for weight, value in zip(getattr(model, name).weights, golden[name], strict=True):
            np.testing.assert_allclose(
                *(numpy(weight), value), rtol=rtol, atol=rtol, err_msg=weight.path
            )
    np.testing.assert_allclose(numpy(model.likelihood.log_sigma), golden["log_sigma"], rtol=rtol)
    np.testing.assert_allclose(logs["adaptive_weight"], golden["adaptive_weight"], rtol=10 * rtol)
