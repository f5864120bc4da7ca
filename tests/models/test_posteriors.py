"""Models with posteriors: bounds, updates and likelihoods that are known from elsewhere."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import keras_gen as kg
from keras_gen.posteriors import DiagonalNormal
from tests.helpers import in_precision
from tests.models import tiny


def rotated_ppca():
    """PPCA whose columns are not orthogonal, so that p(z|x) is no diagonal normal."""
    random = np.random.default_rng(0)
    W = random.standard_normal((4, 2)) @ np.array([[1.0, 0.9], [0.0, 0.6]])
    return kg.PPCA(W, 0.3, random.standard_normal(4)), random.standard_normal((8, 4))


def linear_vae(ppca, posterior, kind=kg.VAE, **kwargs):
    """The linear VAE with p(x|z) of a PPCA and the best q(z|x) of its kind."""
    x, z = keras.Input((4,)), keras.Input((2,))
    encoder = keras.Model(x, kg.networks.posterior_outputs(x, 2, posterior))
    decoder = keras.Model(z, keras.layers.Dense(4, dtype=keras.config.floatx())(z))
    likelihood = kg.likelihoods.Gaussian(float(np.sqrt(ppca.sigma2)))
    vae = kind(encoder, decoder, likelihood, posterior=posterior, seed=0, **kwargs)
    decoder.set_weights([ppca.W.T, ppca.mean])
    V = np.linalg.solve(ppca.M, ppca.W.T)
    S = ppca.sigma2 * np.linalg.inv(ppca.M)
    L = np.diag(1 / np.sqrt(np.diag(np.linalg.inv(S))))  # Of least KL(q || p(z|x)).
    if posterior == "full_covariance":
        L = np.linalg.cholesky(S)
    biases = [2 * np.log(np.diag(L)), L[np.tril_indices(2, -1)]]
    values = [V.T, -V @ ppca.mean]
    for bias in biases[: len(encoder.outputs) - 1]:
        values += [np.zeros((4, len(bias))), bias]
    encoder.set_weights(values)
    return vae


def exact_elbo(vae, x):
    """The ELBO of one example: +-sqrt(d) e_i have the mean of a square under N(0, I), exactly."""
    noise = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])
    vae.evaluation_sampling.noise = lambda shape: ops.convert_to_tensor(noise, vae.variable_dtype)
    batch = ops.convert_to_tensor(np.repeat(x[None], 4, axis=0), vae.variable_dtype)
    weight = ops.ones(1, vae.variable_dtype)
    _, terms = vae.objective(batch, weight, training=False)
    return ops.convert_to_numpy(terms["elbo"]).item()


@pytest.mark.once
def test_a_full_covariance_reaches_the_likelihood_of_a_linear_model_and_a_diagonal_does_not():
    ppca, x = rotated_ppca()
    expected = ppca.log_likelihood(x)
    with in_precision("float64"):
        full = linear_vae(ppca, "full_covariance")
        found = [exact_elbo(full, one) for one in x]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        # KL(q || p(z|x)) of the best diagonal, the same for all x.
        P = ppca.M / ppca.sigma2
        gap = 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1])
        assert gap > 0.3
        diagonal = linear_vae(ppca, "diagonal_normal")
        found = [exact_elbo(diagonal, one) for one in x]
        np.testing.assert_allclose(found, expected - gap, rtol=1e-9)
    # With q = p(z|x) each single draw says log p(x), in float32 too.
    full = linear_vae(ppca, "full_covariance")
    found = full.log_likelihood(x.astype("float32"), num_samples=1, verbose=0, seed=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.once
def test_where_q_is_exact_the_doubly_reparameterised_gradient_of_the_encoder_has_no_noise():
    """log w is constant in z; the usual gradient is 0 on average alone."""
    ppca, x = rotated_ppca()
    moves = {}
    with in_precision("float64"):
        for kind in (kg.IWAE, kg.DReGIWAE):
            vae = linear_vae(ppca, "full_covariance", kind, num_samples=4)
            before = vae.encoder.get_weights()
            vae.compile(keras.optimizers.SGD(1.0))
            vae.train_on_batch(x)
            after = vae.encoder.get_weights()
            moves[kind] = max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))
    assert moves[kg.IWAE] > 0.01
    assert moves[kg.DReGIWAE] < 1e-12


def dense(x, kernel, bias):
    return x @ kernel + bias


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def log_normal(z, mean, log_var):
    return stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)).sum(axis=-1)


def draw_by_hand(posterior, weights, mean, log_var, other, noise):
    """z, log q(z|x) and, where it is known, KL(q || N(0, I)), latent after latent."""
    log_q = log_normal(noise, 0, 0) - 0.5 * log_var.sum(axis=-1)
    d = mean.shape[-1]
    if posterior == "full_covariance":
        z = mean + np.exp(0.5 * log_var) * noise
        rows, columns = np.tril_indices(d, -1)
        for n, (i, j) in enumerate(zip(rows, columns, strict=True)):
            z[..., i] += other[..., n] * noise[..., j]
        kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(-1) + 0.5 * (other**2).sum(-1)
        return z, log_q, kl
    z = mean + np.exp(0.5 * log_var) * noise
    width = weights[0].shape[1]
    number = [n * d // width for n in range(width)]
    for step in range(len(weights) // 7):
        K1, b1, K2, b2, K3, b3, H = (w.copy() for w in weights[7 * step : 7 * step + 7])
        for n in range(width):
            K1[[i for i in range(d) if i + 1 > number[n]], n] = 0
            K2[[m for m in range(width) if number[m] > number[n]], n] = 0
            K3[n, [i for i in range(2 * d) if i % d + 1 <= number[n]]] = 0
        z = z[..., ::-1] if step else z
        unit = elu(dense(elu(dense(z, K1, b1) + other @ H), K2, b2))
        m, s = np.split(dense(unit, K3, b3), 2, axis=-1)
        gate = special.expit(s + 2)
        z = gate * z + (1 - gate) * m
        log_q = log_q - np.log(gate).sum(axis=-1)
    return z, log_q, None


def loss_by_hand(posterior, encoder, flow, decoder, x, noise):
    """-ELBO, or -L_k with k the first size of the noise: the networks too by NumPy."""
    h = np.tanh(dense(x, *encoder[:2]))
    parameters = [dense(h, *encoder[i : i + 2]) for i in (2, 4, 6)]
    z, log_q, kl = draw_by_hand(posterior, flow, *parameters, noise)
    logits = dense(np.tanh(dense(z, *decoder[:2])), *decoder[2:])
    log_p_x = (x * logits - np.logaddexp(0, logits)).sum(axis=-1)
    if noise.ndim == 3:
        log_w = log_p_x + log_normal(z, 0, 0) - log_q
        return -np.mean(special.logsumexp(log_w, axis=0) - np.log(len(noise)))
    return np.mean((log_q - log_normal(z, 0, 0) if kl is None else kl) - log_p_x)


def descent_by_hand(loss, weights, rate, steps):
    """Losses before each step of SGD and weights after them, by differences in float64."""
    weights, losses = [w.copy() for w in weights], []
    for _ in range(steps):
        losses.append(loss(weights))
        moves = [np.empty_like(w) for w in weights]
        for w, move in zip(weights, moves, strict=True):
            for i in np.ndindex(w.shape):
                value = w[i]
                w[i] = value + 1e-5
                above = loss(weights)
                w[i] = value - 1e-5
                move[i] = (above - loss(weights)) / 2e-5
                w[i] = value
        for w, move in zip(weights, moves, strict=True):
            w -= rate * move
    return losses, weights


@pytest.mark.parametrize("kind", [kg.VAE, kg.IWAE], ids=["vae", "iwae"])
@pytest.mark.parametrize("posterior", ["full_covariance", "autoregressive"])
def test_three_steps_are_those_of_numpy_on_every_backend(posterior, kind):
    random = np.random.default_rng(0)
    x = random.random((5, 3))
    noise = random.standard_normal((2, 5, 2) if kind is kg.IWAE else (5, 2))
    settings = {"num_samples": 2} if kind is kg.IWAE else {}
    with in_precision("float64"):
        q = posterior
        if posterior == "autoregressive":
            q = kg.posteriors.InverseAutoregressiveFlow(steps=2, hidden=3, seed=0)
        sizes = {"hidden": (3,), "activation": "tanh", "posterior": q}
        model = kind(*kg.networks.mlp_vae((3,), 2, **sizes), posterior=q, seed=0, **settings)
        parts = (model.encoder, model.posterior, model.decoder)
        for weight in (w for part in parts for w in part.weights):
            weight.assign(0.5 * random.standard_normal(weight.shape))
        model.sampling.noise = lambda shape: ops.convert_to_tensor(noise)
        before = [w for part in parts for w in part.get_weights()]
        first, last = 8, len(before) - 4

        def loss(weights):
            networks = weights[:first], weights[first:last], weights[last:]
            return loss_by_hand(posterior, *networks, x, noise)

        expected, after = descent_by_hand(loss, before, 0.1, 3)
        model.compile(keras.optimizers.SGD(0.1))
        losses = [model.train_on_batch(x)[0] for _ in range(3)]
        np.testing.assert_allclose(losses, expected, rtol=1e-8)
        found = [w for part in parts for w in part.get_weights()]
        for a, b in zip(found, after, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)


@pytest.mark.once
def test_a_vamp_prior_is_the_mixture_of_full_covariances():
    model = tiny.full_vamp_dreg_iwae()
    u = tiny.images(4)
    model.prior.pseudo_inputs.assign(u)
    mean, log_var, lower = model.encode(u)
    z = np.random.default_rng(0).standard_normal((5, 3))
    parts = []
    for m, v, rest in zip(mean, log_var, lower, strict=True):
        L = np.diag(np.exp(0.5 * v))
        L[np.tril_indices(3, -1)] = rest
        parts.append(stats.multivariate_normal(m, L @ L.T).logpdf(z))
    p = model.prior_of_z()
    found = ops.convert_to_numpy(p.log_prob(ops.convert_to_tensor(z, "float32")))
    np.testing.assert_allclose(found, special.logsumexp(parts, axis=0) - np.log(4), rtol=1e-4)
    # The first two numbers choose the last component: exp(-0 / 2) = 1 is above all edges.
    noise = ops.convert_to_tensor([[0, 0, 0.3, -0.2, 0.5]], "float32")
    expected = mean[-1] + L @ [0.3, -0.2, 0.5]
    found = ops.convert_to_numpy(p.from_noise(noise))[0]
    # The first is a difference of numbers a hundred times its size.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def flow_vae():
    """With an autoregressive posterior far from its start, and what its encoder gives."""
    model = tiny.of_posterior(kg.DenoisingVAE, tiny.autoregressive(), stddev=0.3)
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(0.5 * random.standard_normal(weight.shape))
    return model, tiny.images(6)


@pytest.mark.once
def test_the_code_of_a_flow_is_where_it_takes_noise_of_zero(flow_vae):
    model, x = flow_vae
    mean, log_var, context = parameters = model.encode(x)
    assert context.shape == (6, 5)
    weights = [w.astype("float64") for w in model.posterior.get_weights()]
    z, _, _ = draw_by_hand("", weights, mean, log_var, context, np.zeros((6, 3)))
    np.testing.assert_allclose(model.code_of(parameters), z, rtol=1e-4, atol=1e-5)
    assert np.abs(z - mean).max() > 0.1
    images = model.decode(z)
    np.testing.assert_allclose(model.reconstruct(x), images, atol=1e-5)
    np.testing.assert_allclose(model.denoise(x), images, atol=1e-5)
    np.testing.assert_allclose(model.interpolate(x, x[::-1])[:, 0], images, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(model(x)), images, atol=1e-5)
    drawn = model.reconstruct(x, sample=True, seed=0)
    np.testing.assert_array_equal(drawn, model.reconstruct(x, sample=True, seed=0))
    assert np.abs(drawn - images).max() > 1e-3


@pytest.mark.once
def test_scores_of_a_flow_are_the_bound_at_its_draws(flow_vae):
    model, x = flow_vae
    noise = np.random.default_rng(7).standard_normal((2, 1, 3))  # Of `anomaly_score(seed=7)`.
    weights = [w.astype("float64") for w in model.posterior.get_weights()]
    expected = np.zeros(6)
    for eps in noise:
        eps = np.repeat(eps, 6, axis=0)
        z, log_q, _ = draw_by_hand("", weights, *model.encode(x), eps)
        logits = ops.convert_to_numpy(model.decoder(z.astype("float32")))
        log_p_x = (x * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
        expected += (log_q - log_normal(z, 0, 0) - log_p_x) / 2
    found = model.anomaly_score(x, num_samples=2, seed=7, batch_size=4)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.once
def test_the_likelihood_is_the_same_with_draws_of_a_flow_and_of_the_prior(flow_vae):
    trained, x = flow_vae
    model = tiny.of_posterior(kg.VAE, tiny.autoregressive())  # Without noise in the encoder.
    model.set_weights(trained.get_weights())
    settings = {"num_samples": 4000, "return_standard_error": True, "verbose": 0, "seed": 0}
    model.encoder.set_weights([0.2 * w for w in model.encoder.get_weights()])  # A wide q.
    a, a_error = model.log_likelihood(x, proposal="posterior", **settings)
    b, b_error = model.log_likelihood(x, proposal="prior", **settings)
    assert max(a_error.max(), b_error.max()) < 0.3
    assert np.all(np.abs(a - b) < 4.5 * np.sqrt(a_error**2 + b_error**2))


def test_a_flow_inpaints_by_every_method(flow_vae):
    model, x = flow_vae
    hidden = np.zeros(x.shape, bool)
    hidden[:, 4:] = True
    for method in ("elbo", "map", "chains"):
        whole = model.inpaint(x, hidden, method, steps=3, seed=0)
        np.testing.assert_array_equal(whole[~hidden], x[~hidden])
        assert np.all((whole > 0) & (whole < 1))


@pytest.mark.once
def test_a_config_from_before_there_were_posteriors_has_the_diagonal_normal():
    config = tiny.vae().get_config()
    del config["posterior"]
    assert isinstance(kg.VAE.from_config(config).posterior, DiagonalNormal)
