import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny
from tests.models.test_vae import constant_networks


def gap(k, r, d, n, batch_size=10_000):
    """L_k - log p(x) where p(z|x) = N(0, I) and q(z|x) = N(0, r I), over n examples.

    x does not depend on z, so that log p(x) is minus the reconstruction. Also gives the ELBO's.
    """
    networks = constant_networks([0.0] * d, [np.log(r)] * d, [0.3])
    iwae = kg.IWAE(*networks, num_samples=k, seed=0)
    iwae.compile("sgd")
    x = np.ones((n, 1), "float32")
    logs = iwae.evaluate(x, batch_size=batch_size, return_dict=True, verbose=0)
    return -logs["loss"] + logs["reconstruction"], logs["elbo"] + logs["reconstruction"]


def step(model, x, noise, start=None, **kwargs):
    """How one SGD step moves the weights, (encoder's, decoder's), where all start from one."""
    random = np.random.default_rng(0)
    for weight in model.trainable_weights if start is None else []:
        weight.assign(0.5 * random.normal(size=weight.shape))
    start = model.get_weights() if start is None else start
    model.set_weights(start)
    start = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    model.sampling.noise = lambda shape: ops.convert_to_tensor(noise(shape))
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    logs = model.train_on_batch(x, return_dict=True, **kwargs)
    moves = [
        ops.convert_to_numpy(w) - value
        for w, value in zip(model.trainable_weights, start, strict=True)
    ]
    encoder = len(model.encoder.trainable_weights)
    return logs, moves[:encoder], moves[encoder:]


def noise_of(seed):
    return lambda shape: np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.once
def test_the_gap_at_one_draw_is_the_closed_form():
    bound, _ = gap(k=1, r=2.0, d=1, n=1)
    assert bound == pytest.approx(-0.15343, abs=1e-5)  # No draw of z: the KL is a closed form.


@pytest.mark.once
def test_the_gap_at_many_draws_shrinks_as_one_over_k():
    k, n = 50, 400_000
    bound, elbo = gap(k, r=2.0, d=1, n=n, batch_size=20_000)
    # L_50 of one example has a variance of twice the gap.
    assert -k * bound == pytest.approx(0.07735, abs=4 * k * np.sqrt(2 * 0.07735 / k / n) + 0.1 / k)
    assert elbo == pytest.approx(-0.15343, abs=2e-3)


@pytest.mark.once
def test_the_bound_rises_with_k():
    gaps = [gap(k, r=2.0, d=5, n=5000)[0] for k in (1, 2, 5, 20)]
    assert gaps[0] == pytest.approx(-5 * 0.15343, abs=1e-4)
    assert all(b - a > 0.03 for a, b in zip(gaps, gaps[1:], strict=False))
    assert gaps[-1] < 0


@pytest.mark.once
def test_the_gap_of_the_exact_posterior_is_nothing():
    bound, elbo = gap(k=3, r=1.0, d=4, n=50)
    assert (bound, elbo) == pytest.approx((0.0, 0.0), abs=1e-5)


def test_one_draw_is_the_vae():
    x = tiny.images(8)
    logs, encoder, decoder = step(tiny.vae(), x, noise_of(1))
    same_logs, same_encoder, same_decoder = step(tiny.iwae(num_samples=1), x, noise_of(1))
    assert logs == same_logs
    for a, b in zip(encoder + decoder, same_encoder + same_decoder, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.once
def test_the_bound_is_no_less_than_the_elbo_of_the_same_draws():
    logs, _, _ = step(tiny.iwae(num_samples=4), tiny.images(8), noise_of(1))
    assert logs["loss"] < -logs["elbo"]
    np.testing.assert_allclose(logs["elbo"], -logs["reconstruction"] - logs["kl"], rtol=1e-6)
    # All draws alike: the mean of their weights is one of them.
    alike = np.random.default_rng(2).normal(size=(8, 3)).astype("float32")
    logs, _, _ = step(tiny.iwae(num_samples=4), tiny.images(8), lambda s: np.tile(alike, (4, 1, 1)))
    np.testing.assert_allclose(logs["loss"], -logs["elbo"], rtol=1e-5)


def test_both_estimators_move_the_decoder_alike_and_the_encoder_not():
    x = tiny.images(8)
    logs, encoder, decoder = step(tiny.iwae(), x, noise_of(1))
    dreg_logs, dreg_encoder, dreg_decoder = step(tiny.dreg_iwae(), x, noise_of(1))
    assert logs == pytest.approx(dreg_logs, rel=1e-6)
    for a, b in zip(decoder, dreg_decoder, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert max(np.abs(a - b).max() for a, b in zip(encoder, dreg_encoder, strict=True)) > 1e-4


@pytest.mark.once
def test_both_gradients_of_the_encoder_agree_in_expectation_and_the_doubly_one_varies_less():
    # A linear VAE whose q is shifted by half a deviation, and has half too much variance.
    x = np.random.default_rng(0).normal(size=(40, 4), scale=[2, 1, 0.3, 0.3]).astype("float32")
    vae = kg.PPCA.fit(x, latent_dim=2).to_vae()
    kernel, bias, log_var = vae.encoder.get_weights()
    start = [kernel, bias + 0.5 * np.exp(log_var / 2), log_var + np.log(1.5)]
    means, variances = [], []
    for model in (kg.IWAE, kg.DReGIWAE):
        steps = []
        for seed in range(60):
            vae.encoder.set_weights(start)
            iwae = model(vae.encoder, vae.decoder, vae.likelihood, num_samples=64)
            iwae.decoder.trainable = iwae.likelihood.trainable = False
            _, encoder, _ = step(iwae, x[:1], noise_of(seed), start=iwae.get_weights())
            steps.append(np.concatenate([move.ravel() for move in encoder]))
        means.append(np.mean(steps, axis=0))
        variances.append(np.var(steps, axis=0, ddof=1))
    deviations = (means[0] - means[1]) / np.sqrt(sum(variances) / 60)
    assert np.abs(deviations).max() < 4.5  # Of 12 weights.
    assert np.all(variances[0] > 3 * variances[1])
    assert np.linalg.norm(means[1]) > 10 * np.sqrt(variances[1].sum() / 60)  # It tells something.


@pytest.mark.parametrize("build", [tiny.iwae, tiny.dreg_iwae, tiny.two_layer_iwae])
def test_sample_weights_weight_the_gradients_of_examples(build):
    x, k = tiny.images(4), 3
    weights = np.array([2.0, 0, 1, 0.5], "float32")

    def by_example(rows):
        # The noise goes with the example.
        return lambda shape: noise_of(1)((k, 4, shape[-1]))[:, rows]

    _, *moves = step(build(num_samples=k), x, by_example(slice(4)), sample_weight=weights)
    singles = [
        step(build(num_samples=k), x[i : i + 1], by_example(slice(i, i + 1)))[1:] for i in range(4)
    ]
    for part, move in enumerate(moves):
        for variable, value in enumerate(move):
            expected = sum(
                w * single[part][variable] for w, single in zip(weights, singles, strict=True)
            )
            np.testing.assert_allclose(value, expected / 4, rtol=2e-4, atol=2e-6)


@pytest.mark.once
def test_a_regulariser_enters_the_loss_and_not_the_bound():
    iwae = kg.IWAE(tiny.regular_vae().encoder, tiny.vae().decoder, num_samples=1)
    charged = kg.IWAE(iwae.encoder, iwae.decoder, num_samples=3)
    (kernel,) = [w for w in iwae.trainable_weights if w.shape == (64, 6)]
    penalty = 0.01 * np.square(ops.convert_to_numpy(kernel)).sum()
    charged.compile("sgd")
    charged.evaluation_sampling.noise = lambda shape: ops.ones(shape)  # Weights of one size.
    logs = charged.evaluate(tiny.images(), return_dict=True, verbose=0)
    np.testing.assert_allclose(logs["loss"], -logs["elbo"] + penalty, rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"num_samples": 0}, "`num_samples` is 0. Pass an integer, at least 1"),
        ({"num_samples": 1.5}, "`num_samples` is 1.5"),
        ({"beta": 0.5}, "IWAE has no `beta`: its bound has no KL term of its own.*use VAE"),
        ({"free_bits": 0.5}, "IWAE has no `free_bits`"),
    ],
)
@pytest.mark.parametrize("build", [tiny.iwae, tiny.dreg_iwae, tiny.two_layer_iwae])
def test_what_makes_no_bound_is_refused(build, arguments, match):
    with pytest.raises(ValueError, match=match):
        build(**arguments)
