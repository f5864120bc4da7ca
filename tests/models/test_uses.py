"""Anomaly scores and inpainting, on linear models whose answers are closed forms."""

import keras
import numpy as np
import pytest
from scipy import stats

import keras_gen as kg
from tests.models import tiny


def linear_model(seed=0):
    """p(x) = N(mean, W W' + sigma2 I) over vectors of 6, and the VAE whose q is the posterior."""
    random = np.random.default_rng(seed)
    orthogonal, _ = np.linalg.qr(random.normal(size=(6, 2)))
    ppca = kg.PPCA(orthogonal * [2.0, 1.0], 0.2, random.normal(size=6))
    return ppca, ppca.to_vae(seed=0)


def drawn(ppca, n):
    return ppca.sample(n, seed=1).astype("float32")


def conditional_mean(ppca, x, hidden):
    """E[x_h|x_v] = mean_h + C_hv C_vv^-1 (x_v - mean_v), C the covariance of x."""
    C = ppca.W @ ppca.W.T + ppca.sigma2 * np.eye(len(ppca.W))
    expected = x.astype("float64")
    for row, h in zip(expected, hidden, strict=True):
        row[h] = ppca.mean[h] + C[np.ix_(h, ~h)] @ np.linalg.solve(
            C[np.ix_(~h, ~h)], row[~h] - ppca.mean[~h]
        )
    return expected


def same_vae():
    keras.utils.set_random_seed(0)
    return tiny.vae()


@pytest.mark.once
def test_the_score_of_a_tight_elbo_is_minus_the_log_likelihood():
    ppca, vae = linear_model()
    x = drawn(ppca, 8)
    score = vae.anomaly_score(x, num_samples=4000)
    assert score.shape == (8,)
    # One draw of the ELBO has a standard deviation of about 1 nat.
    np.testing.assert_allclose(score, -ppca.log_likelihood(x), atol=0.1)


def test_the_score_by_importance_sampling_is_minus_the_log_likelihood():
    ppca, vae = linear_model()
    x = drawn(ppca, 8)
    # The proposal is the posterior: every sample has the same weight.
    score = vae.anomaly_score(x, kind="likelihood", num_samples=3)
    np.testing.assert_allclose(score, -ppca.log_likelihood(x), rtol=1e-4, atol=1e-3)


def test_the_score_of_a_reconstruction_is_a_density_at_the_posterior_mean():
    ppca, vae = linear_model()
    x = drawn(ppca, 8)
    z, _ = ppca.posterior(x)
    log_prob = stats.norm.logpdf(x, z @ ppca.W.T + ppca.mean, np.sqrt(ppca.sigma2)).sum(1)
    score = vae.anomaly_score(x, kind="reconstruction", batch_size=3)
    np.testing.assert_allclose(score, -log_prob, rtol=1e-4)


def test_the_distortion_is_the_elbo_without_the_kl():
    ppca, vae = linear_model()
    x = drawn(ppca, 8)
    mean, log_var = vae.encode(x)
    kl = 0.5 * np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1)
    scores = [vae.anomaly_score(x, kind, num_samples=3) for kind in ("elbo", "distortion")]
    np.testing.assert_allclose(scores[0] - scores[1], kl, rtol=1e-4)


def test_a_score_repeats_and_does_not_depend_on_the_company():
    vae, x = tiny.vae(), tiny.images(7)
    score = vae.anomaly_score(x, num_samples=3, batch_size=4)
    np.testing.assert_allclose(vae.anomaly_score(x[2:5], num_samples=3), score[2:5], rtol=1e-5)
    assert np.any(vae.anomaly_score(x, num_samples=3, seed=1) != score)


def test_a_conditional_score_is_that_of_the_class():
    networks = kg.networks.mlp_vae((4,), 2, hidden=(5,), num_classes=3)
    vae = kg.VAE(*networks, num_classes=3, seed=0)
    x = tiny.images(6, shape=(4,))
    y = np.array([0, 1, 2, 2, 1, 0])
    score = vae.anomaly_score(x, kind="reconstruction", y=y)
    p = vae.reconstruct(x, y=y)
    np.testing.assert_allclose(score, -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1), rtol=1e-4)
    assert np.all(vae.anomaly_score(x, y=(y + 1) % 3) != vae.anomaly_score(x, y=y))


@pytest.mark.once
@pytest.mark.parametrize("method, steps, atol", [("map", 400, 2e-3), ("elbo", 1500, 0.03)])
def test_the_fitted_z_gives_the_conditional_mean(method, steps, atol):
    # Of normals the most probable is the mean, and so is that of the closest q(z).
    ppca, vae = linear_model()
    x = drawn(ppca, 7)
    hidden = np.random.default_rng(2).random(x.shape) < 0.5
    hidden[0] = True  # Nothing is visible: the mean of all.
    inpainted = vae.inpaint(x, hidden, method=method, steps=steps, batch_size=4)
    np.testing.assert_allclose(inpainted, conditional_mean(ppca, x, hidden), atol=atol)
    np.testing.assert_array_equal(inpainted[~hidden], x[~hidden])


def test_the_mean_of_the_chains_is_the_conditional_mean():
    # q is the posterior, so a chain is a Gibbs sampler of the hidden values and z.
    ppca, vae = linear_model()
    x = drawn(ppca, 5)
    hidden = np.arange(6) < 3
    inpainted = vae.inpaint(x, hidden, method="chains", num_samples=400, steps=60)
    expected = conditional_mean(ppca, x, np.tile(hidden, (5, 1)))
    np.testing.assert_allclose(inpainted, expected, atol=0.1)
    np.testing.assert_array_equal(inpainted[:, 3:], x[:, 3:])


@pytest.mark.parametrize("method", ["elbo", "map", "chains"])
def test_hidden_values_are_never_read(method):
    x = tiny.images(3)
    hidden = np.zeros((8, 8, 1), bool)
    hidden[4:] = True

    def inpaint(value):
        shown = np.where(hidden, np.float32(value), x)
        return same_vae().inpaint(shown, hidden, method=method, steps=4)

    with_nan = inpaint(np.nan)
    assert np.all(np.isfinite(with_nan))
    np.testing.assert_array_equal(with_nan, inpaint(0.7))
    np.testing.assert_array_equal(with_nan[:, :4], x[:, :4])
    assert with_nan.dtype == np.float32


@pytest.mark.parametrize("method", ["elbo", "map", "chains"])
def test_a_conditional_vae_inpaints_by_class(method):
    # The decoder ignores z and shows the class.
    z, y = keras.Input((1,)), keras.Input((), dtype="int32")
    logits = keras.layers.Embedding(
        2, 4, embeddings_initializer=lambda shape, dtype: [[3.0, -3, 3, -3], [-3.0, 3, -3, 3]]
    )(y)
    decoder = keras.Model([z, y], logits + 0 * z)
    encoder, _ = kg.networks.mlp_vae((4,), 1, hidden=(2,), num_classes=2)
    vae = kg.VAE(encoder, decoder, num_classes=2, seed=0)
    x = np.full((2, 4), 0.5, "float32")
    inpainted = vae.inpaint(x, [True, True, False, False], y=[0, 1], method=method, steps=3)
    p = 1 / (1 + np.exp(-3))
    expected = [[p, 1 - p, 0.5, 0.5], [1 - p, p, 0.5, 0.5]]
    np.testing.assert_allclose(inpainted, expected, rtol=1e-5)


def test_inpainting_changes_no_weight_and_no_training():
    vae, alone = tiny.vae(), tiny.vae()
    alone.set_weights(vae.get_weights())
    for model in (vae, alone):
        model.compile(keras.optimizers.Adam(0.01))
        model.fit(tiny.images(), epochs=1, shuffle=False, verbose=0)
        if model is vae:
            model.inpaint(tiny.images(3), np.ones((8, 8, 1), bool), steps=3)
            model.anomaly_score(tiny.images(3))
        model.fit(tiny.images(), epochs=1, shuffle=False, verbose=0)
    for a, b in zip(vae.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_masks_and_arguments_are_refused():
    vae, x, labels = tiny.vae(), tiny.images(3), np.arange(3)
    mask = np.zeros((8, 8, 1), bool)
    mask[0] = True
    spoilt = x.copy()
    spoilt[1, 5, 5] = np.nan
    for call, match in (
        (lambda: vae.inpaint(x, mask.astype("float32")), "type float32. Pass booleans, True where"),
        (
            lambda: vae.inpaint(x, mask[:4]),
            r"shape \(4, 8, 1\), but the examples have \(3, 8, 8, 1\)",
        ),
        (lambda: vae.inpaint(x, np.stack([mask] * 2)), r"shape \(2, 8, 8, 1\)"),
        (lambda: vae.inpaint(spoilt, mask), "Remove NaN"),
        (lambda: vae.inpaint(x[:, :4], mask[:4]), "was built for"),
        (lambda: vae.inpaint(x, mask, method="magic"), '"chains", "map" or "elbo"'),
        (lambda: vae.inpaint(x, mask, steps=0), "`steps` is 0"),
        (lambda: vae.inpaint(x, mask, num_samples=0), "`num_samples` is 0"),
        (
            lambda: vae.anomaly_score(x, kind="distance"),
            '"likelihood", "reconstruction" or "distortion"',
        ),
        (lambda: vae.anomaly_score(x, num_samples=0), "`num_samples` is 0"),
        (lambda: vae.anomaly_score(255 * x), "Divide 8-bit images by 255"),
        (lambda: vae.anomaly_score(x, labels), r"`kind` is an array .*by name: `y=`"),
        (lambda: vae.inpaint(x, mask, labels), r"`method` is an array .*by name: `y=`"),
        (lambda: vae.log_likelihood(x, labels), r"`num_samples` is an array .*by name: `y=`"),
        (lambda: vae.interpolate(x, x, labels), r"`steps` is an array .*by name: `y=`"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_lists_of_scalars_begin_with_the_loss_as_metrics_names_do():
    vae, x = tiny.vae(beta=2.0), tiny.images(8)
    vae.compile(tiny.sgd())
    assert vae.metrics_names == ["loss", "reconstruction", "kl", "elbo"]
    for method in (vae.train_on_batch, vae.test_on_batch, lambda x: vae.evaluate(x, verbose=0)):
        loss, reconstruction, kl, elbo = method(x)
        np.testing.assert_allclose(
            [loss, elbo], [reconstruction + 2 * kl, -reconstruction - kl], 1e-5
        )
    gan = tiny.r3gan()
    gan.compile("sgd", "sgd")
    values = gan.evaluate(tiny.examples(gan), verbose=0)
    logs = dict(zip(gan.metrics_names, values, strict=True))
    np.testing.assert_allclose(logs["loss"], logs["d_loss"] + logs["g_loss"], 1e-5)
