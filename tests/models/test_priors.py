"""Models with priors: bounds, gradients and likelihoods that are known from elsewhere."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import keras_gen as kg
from keras_gen.priors import Flow, Mixture, VampPrior
from tests.models import tiny

PRIORS = {
    "mixture": lambda: Mixture(3),
    "vamp": lambda: VampPrior(4),
    "flow": lambda: Flow(couplings=2, hidden=8),
}
# The mean losses of the first one, two and three steps of SGD, as PyTorch computes them.
GOLDEN = {
    ("mixture", tiny.vae): [46.212154, 45.484753, 45.194103],
    ("vamp", tiny.dreg_iwae): [45.608795, 45.592113, 45.558502],
    ("flow", tiny.vae): [47.111904, 46.028614, 45.338825],
}


def weights_of(model):
    return [np.array(ops.convert_to_numpy(w)) for w in model.trainable_weights]


def draw_weights(model, scale=0.3):
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(scale * random.standard_normal(weight.shape))


@pytest.mark.parametrize("kind, build", GOLDEN, ids=lambda v: getattr(v, "__name__", v))
def test_three_steps_have_the_same_losses_on_every_backend_and_move_every_weight(kind, build):
    model, x = build(prior=PRIORS[kind]()), tiny.images(6)
    model.prior.start(x)
    draw_weights(model)
    before = weights_of(model)
    noise = np.random.default_rng(5).standard_normal((5, 6, 3))  # The same in each step.
    noise = noise if build is tiny.dreg_iwae else noise[0]
    model.sampling.noise = lambda shape: ops.convert_to_tensor(noise, "float32")
    model.compile(keras.optimizers.SGD(0.05))
    losses = [model.train_on_batch(x)[0] for _ in range(3)]
    np.testing.assert_allclose(losses, GOLDEN[kind, build], rtol=1e-5)
    for old, new in zip(before, weights_of(model), strict=True):
        assert np.abs(new - old).max() > 1e-6


def test_the_likelihood_under_a_mixture_is_that_of_a_mixture_of_normals():
    """x = W z + mean + noise: p(x) = sum_k w_k N(x; W m_k + mean, W V_k W' + sigma2 I)."""
    x = np.random.default_rng(0).normal(size=(40, 4), scale=[2, 1, 0.5, 0.5]).astype("float32")
    ppca = kg.PPCA.fit(x, latent_dim=2)
    linear = ppca.to_vae()
    vae = kg.VAE(linear.encoder, linear.decoder, linear.likelihood, prior=Mixture(2))
    weights = [np.array([0.5, -0.5]), [[1.0, 0.0], [-0.5, 0.5]], np.log([[0.5, 1.0], [1.0, 0.2]])]
    vae.prior.set_weights(list(map(np.array, weights)))
    log_p = []
    for w, m, log_v in zip(*weights, strict=True):
        C = ppca.W @ np.diag(np.exp(log_v)) @ ppca.W.T + ppca.sigma2 * np.eye(4)
        normal = stats.multivariate_normal(ppca.W @ m + ppca.mean, C)
        log_p.append(w - special.logsumexp(weights[0]) + normal.logpdf(x[:10]))
    expected = special.logsumexp(log_p, axis=0)
    for proposal in ("posterior", "prior"):
        values, errors = vae.log_likelihood(
            x[:10], 4000, proposal, return_standard_error=True, verbose=0, seed=1
        )
        assert errors.max() < 0.2
        assert np.abs((values - expected) / errors).max() < 4.5


def gradient(model, x, repeats):
    """The mean move of SGD over batches of copies of one example, and its standard error."""
    start = weights_of(model)
    model.compile(keras.optimizers.SGD(1.0))
    moves = []
    for _ in range(repeats):
        for weight, value in zip(model.trainable_weights, start, strict=True):
            weight.assign(value)
        model.train_on_batch(x)
        moves.append(
            np.concatenate([(a - b).ravel() for a, b in zip(weights_of(model), start, strict=True)])
        )
    return np.mean(moves, axis=0), np.std(moves, axis=0, ddof=1) / np.sqrt(repeats)


def test_doubly_reparameterised_gradients_through_a_vamp_prior_are_those_of_the_bound():
    """Those through its density have the plain weights; the squares there are 68 errors off."""
    networks = kg.networks.linear_vae((3,), 2)
    x = np.tile(np.array([[1.0, -0.5, 0.3]], "float32"), (400, 1))
    found = []
    for kind in (kg.IWAE, kg.DReGIWAE):
        model = kind(*networks, "gaussian", num_samples=4, seed=0, prior=VampPrior(2))
        if not found:
            draw_weights(model, 0.5)
            start = model.get_weights()
        model.set_weights(start)
        found.append(gradient(model, x, repeats=30))
    (mean, error), (dreg_mean, dreg_error) = found
    assert np.abs(mean - dreg_mean).max() < 4.5 * np.sqrt(error**2 + dreg_error**2).max()
    assert np.all(np.abs(mean - dreg_mean) < 4.5 * np.sqrt(error**2 + dreg_error**2) + 1e-6)
    assert np.linalg.norm(mean) > 20 * np.linalg.norm(error)


def test_pseudo_inputs_start_once_at_the_mean_of_the_first_data():
    vae, x = tiny.vae(prior=VampPrior(4, seed=0)), tiny.images(8)
    vae.check_input_data(x)
    assert not vae.prior.has_started()  # Only training starts them.
    vae.compile(keras.optimizers.SGD(0.0))
    vae.fit(x, verbose=0)
    started = np.array(ops.convert_to_numpy(vae.prior.pseudo_inputs))
    assert 0 < np.abs(started - x.mean(axis=0)).max() < 0.05
    assert np.abs(started[0] - started[1]).max() > 1e-3
    vae.fit(np.ones_like(x), verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(vae.prior.pseudo_inputs), started)


def test_of_a_stream_the_first_batch_is_the_start_and_stays_in_it():
    vae, x = tiny.vae(prior=VampPrior(4, seed=0)), tiny.images(8)
    batches = list(vae.start_training(batch for batch in (x[:4], x[4:])))
    assert len(batches) == 2
    started = ops.convert_to_numpy(vae.prior.pseudo_inputs)
    assert 0 < np.abs(started - x[:4].mean(axis=0)).max() < 0.05


def test_a_mean_that_is_given_is_the_start():
    mean = tiny.images(1)[0]
    vae = tiny.vae(prior=VampPrior(3, data_mean=mean))
    assert vae.prior.has_started()
    started = ops.convert_to_numpy(vae.prior.pseudo_inputs)
    assert 0 < np.abs(started - mean).max() < 0.05
    clone = kg.priors.VampPrior.from_config(vae.prior.get_config())
    np.testing.assert_array_equal(clone.data_mean, mean)


def test_samples_scores_and_surgery_are_of_the_prior():
    vae = tiny.vae(prior=Mixture(1))
    vae.prior.set_weights([np.zeros(1), np.full((1, 3), 9.0), np.full((1, 3), -9.0)])
    z = vae.draw_latents(50, seed=0)
    np.testing.assert_allclose(z, 9, atol=0.1)
    np.testing.assert_array_equal(vae.sample(50, seed=0), vae.decode(z))
    x = tiny.images(5)
    mean, log_var = vae.encode(x)
    p = vae.prior.distribution(vae)
    # KL of two normals in closed form: both estimates are far from that to N(0, I).
    exact = ops.convert_to_numpy(
        kg.losses.kl_between_normals(
            *(ops.convert_to_tensor(v, "float32") for v in (mean, log_var, 9.0, -9.0))
        )
    )
    kl = vae.anomaly_score(x, num_samples=200) - vae.anomaly_score(x, "distortion", num_samples=200)
    np.testing.assert_allclose(kl, exact, rtol=0.1)
    surgery = kg.metrics.elbo_surgery(mean, log_var, num_samples=50, prior=p)
    assert surgery["rate"] == pytest.approx(exact.mean(), rel=0.05)
    assert surgery["rate"] == surgery["aggregate_kl"] + surgery["mutual_information"]
    plain = kg.metrics.elbo_surgery(mean, log_var)
    assert plain == kg.metrics.elbo_surgery(mean, log_var, prior=kg.priors.UnitNormal(3))
