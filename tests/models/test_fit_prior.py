"""Priors that are fitted after training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.priors import Flow, Mixture
from tests.models import tiny
from tests.models.test_vae import constant_networks


def kl_to_standard_normal(mean, log_var):
    return 0.5 * np.sum(np.square(mean) + np.exp(log_var) - 1 - log_var)


def two_clusters(n=60):
    """A VAE that encodes x as N(x, 0.1 I), and x in two clusters of the plane."""
    x_in, z_in = keras.Input((2,)), keras.Input((2,))
    encoder = keras.Model(x_in, [1.0 * x_in, 0.0 * x_in + float(np.log(0.1))])
    decoder = keras.Model(z_in, keras.layers.Dense(2)(z_in))
    random = np.random.default_rng(0)
    x = random.choice([-2.0, 2.0], size=(n, 1)) * [1, 1] + 0.3 * random.standard_normal((n, 2))
    return kg.VAE(encoder, decoder, "gaussian", seed=0), x.astype("float32")


def test_of_posteriors_that_are_all_alike_nothing_remains():
    mean, log_var = [2.0, 0.0], [0.0, -1.0]
    vae = kg.VAE(*constant_networks(mean, log_var, [0.0]), seed=0)
    found = vae.fit_prior(np.ones((40, 1), "float32"), k=1, seed=0)
    exact = kl_to_standard_normal(np.array(mean), np.array(log_var))
    assert found["before"]["aggregate_kl"] == pytest.approx(exact, abs=1e-5)
    assert abs(found["after"]["aggregate_kl"]) < 4 * found["after"]["standard_error"] + 1e-3
    np.testing.assert_allclose(ops.convert_to_numpy(vae.prior.mean)[0], mean, atol=0.03)
    np.testing.assert_allclose(ops.convert_to_numpy(vae.prior.log_var)[0], log_var, atol=0.05)


@pytest.mark.parametrize(
    ("kind", "settings", "prior"),
    [("gaussian_mixture", {"k": 2}, Mixture), ("flow", {"steps": 150}, Flow)],
)
def test_a_fitted_prior_is_nearer_is_saved_and_leaves_the_networks(kind, settings, prior, tmp_path):
    vae, x = two_clusters()
    vae.compile(keras.optimizers.SGD(0.0, momentum=0.5))
    reconstructions = vae.reconstruct(x)
    found = vae.fit_prior(x, kind, **settings, seed=1)
    assert isinstance(vae.prior, prior)
    before, after = (found[when]["aggregate_kl"] for when in ("before", "after"))
    assert before > 2.5 and after < 0.5 * before
    assert found["after"] == kg.metrics.elbo_surgery(
        *vae.encode(x), prior=vae.prior.distribution(vae)
    )
    np.testing.assert_array_equal(vae.reconstruct(x), reconstructions)
    # Each cluster gets samples, and between them there are few.
    side = vae.draw_latents(500, seed=0).sum(axis=1)
    if kind == "gaussian_mixture":
        assert 0.3 < np.mean(side > 2) < 0.7 and np.mean(np.abs(side) < 1) < 0.02
    assert [type(layer) for layer in vae.layers if isinstance(layer, kg.priors.Prior)] == [prior]
    weights = [np.array(w) for w in vae.prior.get_weights()]
    vae.fit(x, verbose=0)  # The prior is not trained further.
    vae.save(tmp_path / "vae.keras")
    loaded = kg.saving.load_model(tmp_path / "vae.keras")
    for a, b in zip(loaded.prior.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.sample(5, seed=0), vae.sample(5, seed=0))
    assert len(loaded.trainable_variables) == len(vae.trainable_variables)
    for a, b in zip(loaded.optimizer.variables, vae.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))


@pytest.mark.once
@pytest.mark.parametrize(
    ("build", "settings", "match"),
    [
        (tiny.vae, {"kind": "two_stage"}, "`kind` is 'two_stage'. Pass \"gaussian_mixture\" or"),
        (tiny.vae, {"k": 0}, "`k` is 0"),
        (tiny.binarized_vae, {}, "Set `vae.free_bits = 0` first"),
        (tiny.two_layer_iwae, {}, "Train it with `prior=kg.priors.Mixture"),
    ],
)
def test_what_cannot_be_fitted_is_refused(build, settings, match):
    with pytest.raises(ValueError, match=match):
        build().fit_prior(tiny.images(4), **settings)


def test_after_a_learned_prior_the_optimizer_starts_again_and_is_saved(tmp_path):
    vae, x = two_clusters()
    vae = kg.VAE(vae.encoder, vae.decoder, "gaussian", prior=Mixture(3, seed=0), seed=0)
    vae.compile(keras.optimizers.Adam(1e-3, beta_1=0.3), jit_compile=False)
    vae.fit(x, verbose=0)
    vae.fit_prior(x, k=2, seed=0)
    assert int(vae.optimizer.iterations) == 0 and vae.optimizer.beta_1 == 0.3
    fitted = [np.array(w) for w in vae.prior.get_weights()]
    vae.fit(x, verbose=0)
    assert int(vae.optimizer.iterations) == 2
    for weight, before in zip(vae.prior.get_weights(), fitted, strict=True):
        np.testing.assert_array_equal(weight, before)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    assert int(again.optimizer.iterations) == 2
