"""Models with priors: bounds, gradients and likelihoods that are known from elsewhere."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import keras_gen as kg
from keras_gen import distribution
from keras_gen.priors import Flow, Mixture, NormalMixture, Prior, VampPrior
from tests.helpers import in_precision
from tests.models import tiny

PRIORS = {
    "mixture": lambda: Mixture(3),
    "vamp": lambda: VampPrior(4),
    "flow": lambda: Flow(couplings=2, hidden=8),
}
# The mean losses of the first two and three steps of SGD, as PyTorch computes them.
GOLDEN = {
    ("mixture", tiny.vae): [45.484753, 45.194103],
    ("vamp", tiny.dreg_iwae): [45.592113, 45.558502],
    ("flow", tiny.vae): [46.028614, 45.338825],
}


def weights_of(model):
    return [np.array(ops.convert_to_numpy(w)) for w in model.trainable_weights]


def draw_weights(model, scale=0.3):
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(scale * random.standard_normal(weight.shape))


def log_normal(z, mean, log_var):
    return stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)).sum(axis=-1)


def log_prior(model, z):
    """log p(z) by NumPy: the mixtures' sums, and the couplings one after the other."""
    prior = model.prior
    if isinstance(prior, Mixture):
        logits, mean, log_var = prior.get_weights()
        parts = special.log_softmax(logits) + log_normal(z[..., None, :], mean, log_var)
        return special.logsumexp(parts, axis=-1)
    if isinstance(prior, VampPrior):
        u = np.clip(prior.get_weights()[0], 0, 1)
        parts = log_normal(z[..., None, :], *model.encode(u))
        return special.logsumexp(parts, axis=-1) - np.log(len(u))
    weights, log_det = iter(prior.get_weights()), 0.0
    for _ in range(prior.couplings):
        h, z_b = z[..., :1], z[..., 1:]
        for last in (False, False, True):
            h = h @ next(weights) + next(weights)
            h = h if last else np.maximum(h, 0)
        t, s = h[..., :2], 2 * np.tanh(h[..., 2:] / 2)
        z = np.concatenate([(z_b - t) * np.exp(-s), z[..., :1]], axis=-1)
        log_det = log_det - s.sum(axis=-1)
    return log_normal(z, 0, 0) + log_det


def loss_by_hand(model, x, noise):
    """-ELBO, or -L_k with k the noise's first size, by NumPy from the networks' outputs."""
    mean, log_var = model.encode(x)
    z = mean + np.exp(0.5 * log_var) * noise
    logits = ops.convert_to_numpy(model.decoder(z.reshape(-1, 3).astype("float32")))
    logits = logits.reshape(*z.shape[:-1], *x.shape[1:])
    log_p_x = (x * logits - np.logaddexp(0, logits)).sum(axis=(-3, -2, -1))
    kl = log_normal(z, mean, log_var) - log_prior(model, z)
    if noise.ndim == 3:
        return -np.mean(special.logsumexp(log_p_x - kl, axis=0) - np.log(len(noise)))
    return np.mean(-log_p_x + model.beta * kl)


def give_noise(model, noise):
    model.sampling.noise = lambda shape: ops.convert_to_tensor(noise, "float32")


@pytest.mark.once
def test_beta_weights_the_estimate_of_the_kl():
    model, x = tiny.vae(prior=Mixture(3), beta=2.0), tiny.images(6)
    noise = np.random.default_rng(5).standard_normal((6, 3))
    give_noise(model, noise)
    _, terms = model.objective(ops.convert_to_tensor(x), ops.ones(1), training=True)
    loss, reconstruction, kl, _ = (float(ops.convert_to_numpy(v)) for v in terms.values())
    assert loss == pytest.approx(loss_by_hand(model, x, noise), rel=1e-5)
    assert loss == pytest.approx(reconstruction + 2 * kl, rel=1e-6)
    assert abs(kl) > 0.1


@pytest.mark.parametrize("kind, build", GOLDEN, ids=lambda v: getattr(v, "__name__", v))
def test_three_steps_have_the_same_losses_on_every_backend_and_move_every_weight(kind, build):
    model, x = build(prior=PRIORS[kind]()), tiny.images(6)
    model.prior.initialize_from_data(x)
    draw_weights(model)
    before = weights_of(model)
    noise = np.random.default_rng(5).standard_normal((5, 6, 3))  # The same in each step.
    noise = noise if build is tiny.dreg_iwae else noise[0]
    give_noise(model, noise)
    first = loss_by_hand(model, x, noise)
    model.compile(keras.optimizers.SGD(0.05))
    losses = [model.train_on_batch(x)[0] for _ in range(3)]
    np.testing.assert_allclose(losses, [first, *GOLDEN[kind, build]], rtol=1e-5)
    for old, new in zip(before, weights_of(model), strict=True):
        assert np.abs(new - old).max() > 1e-6


BUILDERS = [tiny.vae, tiny.iwae, tiny.dreg_iwae, tiny.two_layer_iwae]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_activity_regularisers_are_of_the_data_and_not_of_pseudo_inputs(build):
    model, x = build(prior=VampPrior(4)), ops.convert_to_tensor(tiny.images(6))
    model.encoder.layers[-1].activity_regularizer = keras.regularizers.L2(0.1)
    model.objective(x, ops.ones(1), training=False)
    (added,) = map(ops.convert_to_numpy, model.losses)
    model.encoder(x)
    (expected,) = map(ops.convert_to_numpy, model.losses)
    assert added == pytest.approx(expected, rel=1e-6)
    assert added > 0


def test_a_model_in_float64_takes_a_prior_in_float32():
    prior = Mixture(3)
    with in_precision("float64"):
        model = tiny.vae(prior=prior)
        x = ops.convert_to_tensor(tiny.images(2), "float64")
        loss, _ = model.objective(x, ops.ones(1, "float64"), training=False)
        assert keras.backend.standardize_dtype(loss.dtype) == "float64"
        assert model.draw_latents(2).dtype == "float64"
    assert prior.variable_dtype == "float32"


def test_a_named_prior_has_the_policy_of_its_model():
    policy = tiny.vae(prior="mixture", dtype="mixed_bfloat16").prior.dtype_policy
    assert policy.name == "mixed_bfloat16"


@pytest.mark.once
def test_a_config_from_before_there_were_priors_has_the_standard_normal():
    config = tiny.vae().get_config()
    del config["prior"]
    assert isinstance(kg.VAE.from_config(config).prior, kg.priors.StandardNormal)


@pytest.mark.once
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


@pytest.mark.once
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


def pseudo_inputs(vae):
    return np.array(ops.convert_to_numpy(vae.prior.pseudo_inputs))


def test_pseudo_inputs_start_once_at_the_mean_of_the_first_data_that_are_trained_on():
    vae, x = tiny.vae(prior=VampPrior(4, seed=0)), tiny.images(8)
    vae.check_input_data(x)
    vae.compile(keras.optimizers.SGD(0.0))
    with pytest.raises(ValueError, match="nothing"):
        vae.fit(x, callbacks=[keras.callbacks.EarlyStopping("nothing")], verbose=0)
    assert vae.prior.needs_data()
    vae.fit(x, batch_size=4, validation_split=0.5, verbose=0)
    first = pseudo_inputs(vae)
    assert 0 < np.abs(first - x[:4].mean(axis=0)).max() < 0.05
    assert np.abs(first[0] - first[1]).max() > 1e-3
    vae.fit(np.ones_like(x), batch_size=4, verbose=0)
    np.testing.assert_array_equal(pseudo_inputs(vae), first)


@pytest.mark.once
def test_of_a_stream_the_first_batch_is_the_start_and_stays_in_it():
    vae, x = tiny.vae(prior=VampPrior(4, seed=0)), tiny.images(8)
    read = []

    def batches():
        for batch in (x[:4], x[4:]):
            read.append(batch)
            yield batch

    arguments = {"x": batches()}
    vae.initialize_from_data(vae.admit_arguments(arguments, "fit"))
    assert len(read) == 1
    assert len(list(arguments["x"])) == 2
    assert 0 < np.abs(pseudo_inputs(vae) - x[:4].mean(axis=0)).max() < 0.05


@pytest.mark.once
def test_in_several_processes_the_mean_is_given(monkeypatch):
    monkeypatch.setattr(distribution, "processes", lambda: 2)
    x = tiny.images(4)
    with pytest.raises(ValueError, match="each of 2 processes .* Pass `data_mean=x.mean"):
        tiny.vae(prior=VampPrior(4)).initialize_from_data(x)
    vae = tiny.vae(prior=VampPrior(4, data_mean=x.mean(axis=0)))
    before = pseudo_inputs(vae)
    vae.initialize_from_data(x + 1)
    np.testing.assert_array_equal(pseudo_inputs(vae), before)


@pytest.mark.once
def test_a_mean_that_is_given_is_the_start():
    mean = tiny.images(1)[0]
    vae = tiny.vae(prior=VampPrior(3, data_mean=mean))
    assert not vae.prior.needs_data()
    assert 0 < np.abs(pseudo_inputs(vae) - mean).max() < 0.05
    clone = kg.priors.VampPrior.from_config(vae.prior.get_config())
    np.testing.assert_array_equal(clone.data_mean, mean)


@pytest.mark.once
def test_samples_scores_and_surgery_are_of_the_prior():
    vae = tiny.vae(prior=Mixture(1))
    vae.prior.set_weights([np.zeros(1), np.full((1, 3), 9.0), np.full((1, 3), -9.0)])
    z = vae.draw_latents(50, seed=0)
    np.testing.assert_allclose(z, 9, atol=0.1)
    np.testing.assert_array_equal(vae.sample(50, seed=0), vae.decode(z))
    x = tiny.images(5)
    mean, log_var = vae.encode(x)
    p = vae.prior_of_z()
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
    parts = surgery["aggregate_kl"] + surgery["mutual_information"]
    assert surgery["rate"] == pytest.approx(parts)
    with pytest.raises(ValueError, match=r"`prior` is <Mixture .* Pass .* `vae.prior_of_z\(\)`"):
        kg.metrics.elbo_surgery(mean, log_var, prior=vae.prior)
    plain = kg.metrics.elbo_surgery(mean, log_var)
    assert plain == kg.metrics.elbo_surgery(mean, log_var, prior=kg.priors.UnitNormal(3))


class Narrow(Prior):
    """N(9, exp(-9)), as a mixture of one."""

    def distribution(self, model):
        mean = ops.full((1, 3), 9.0)
        return NormalMixture(ops.zeros(1), mean, -mean)


@pytest.mark.once
def test_how_much_noise_makes_a_z_is_said_by_the_distribution_alone():
    vae = tiny.vae(prior=Narrow())
    assert vae.noise_size == 5
    z = vae.draw_latents(50, seed=0)
    assert z.shape == (50, 3)
    np.testing.assert_allclose(z, 9, atol=0.1)
    assert vae.signatures()["latents"].inputs[0].shape == (None, 5)
