"""Densities of z given x: Jacobians, closed forms and formulas by hand. Nothing is trained."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import keras_gen as kg
from keras_gen.layers import Sampling
from keras_gen.posteriors import (
    DiagonalNormal,
    FullCovariance,
    InverseAutoregressiveFlow,
    Normal,
    Posterior,
)
from keras_gen.posteriors.made import MADE
from tests.helpers import in_precision
from tests.models import tiny
from tests.priors.test_priors import randomised

POSTERIORS = {
    "diagonal": DiagonalNormal,
    "full": FullCovariance,
    "autoregressive": lambda: InverseAutoregressiveFlow(steps=3, hidden=6, seed=0),
}
every_kind = pytest.mark.parametrize("kind", POSTERIORS)


def make(kind, d, batch=1):
    """q(z|x) of `batch` x whose parameters are drawn, and these, NumPy."""
    posterior = POSTERIORS[kind]()
    posterior.build((None, d))
    randomised(posterior, 0.6)
    random = np.random.default_rng(1)
    parameters = [0.5 * random.standard_normal((batch, n)) for n in posterior.outputs(d).values()]
    dtype = keras.config.floatx()
    return posterior.distribution(
        *(ops.convert_to_tensor(p, dtype) for p in parameters)
    ), parameters


def draw(q, noise):
    return map(ops.convert_to_numpy, q.draw(ops.convert_to_tensor(noise, keras.config.floatx())))


def covariance(log_var, lower):
    """L and L L' by loops."""
    d = len(log_var)
    L, numbers = np.zeros((d, d)), iter(lower)
    for i in range(d):
        for j in range(i):
            L[i, j] = next(numbers)
        L[i, i] = np.exp(0.5 * log_var[i])
    return L, L @ L.T


@pytest.mark.parametrize("hidden", [3, 8])  # Fewer units than latents, and more.
def test_m_and_s_of_a_latent_depend_on_those_before_it_and_on_h(hidden):
    d = 4
    made = MADE(hidden, seed=0)
    made.build((None, d), (None, 2))
    randomised(made, 1.0)
    random = np.random.default_rng(2)
    z, h = (random.standard_normal((1, n)).astype("float32") for n in (d, 2))
    moved = np.repeat(z, d + 1, axis=0)
    moved[np.arange(1, d + 1), np.arange(d)] += 0.5
    inputs = moved, np.repeat(h, d + 1, axis=0)
    for of_z in map(ops.convert_to_numpy, made(*map(ops.convert_to_tensor, inputs))):
        change = np.abs(of_z[1:] - of_z[0]).T  # (of, by)
        assert change[np.triu_indices(d)].max() < 1e-6  # Rounding: rows are summed in other orders.
        assert change[1:].max(axis=1).min() > 1e-5
    first, other = (ops.convert_to_numpy(made(z, v)[0]) for v in (h, h + 1))
    assert np.all(first != other)


@every_kind
def test_log_q_of_a_draw_is_that_of_the_change_of_variables(kind):
    """log q(z|x) = log N(eps; 0, I) - log |det dz/deps|, by differences in float64."""
    with in_precision("float64"):
        d, step = 3, 1e-5
        q, _ = make(kind, d)
        eps = np.random.default_rng(3).standard_normal((4, d))
        z, log_q = draw(q, eps)
        ends = eps[:, None] + step * np.concatenate([np.eye(d), -np.eye(d)])  # (4, 2 d, d)
        # h has the leading axes of z.
        z_of_ends, _ = draw(q, ends.reshape(-1, d))
        forward, backward = np.split(z_of_ends.reshape(4, 2 * d, d), 2, axis=1)
        jacobian = (forward - backward) / (2 * step)
        _, log_det = np.linalg.slogdet(jacobian)
        np.testing.assert_allclose(log_q, stats.norm.logpdf(eps).sum(-1) - log_det, rtol=1e-8)
        depends = np.abs(jacobian[0][~np.eye(d, dtype=bool)]).max()
        assert depends == 0 if kind == "diagonal" else depends > 0.01


@every_kind
def test_draws_come_from_the_density(kind):
    """E_q[p(z) / q(z)] is the integral of p, 1, with p a narrower normal, at draws of q."""
    q, _ = make(kind, 3)
    z, log_q = draw(q, np.random.default_rng(4).standard_normal((20_000, 3)))
    p = stats.multivariate_normal(z.mean(axis=0), 0.5 * np.cov(z.T))
    ratio = np.exp(p.logpdf(z) - log_q)
    error = ratio.std() / np.sqrt(len(z))
    assert error < 0.02
    assert abs(ratio.mean() - 1) < 4 * error


def test_a_full_covariance_is_the_normal_of_L():
    q, parameters = make("full", 4, batch=3)
    mean, log_var, lower = parameters
    noise = np.random.default_rng(5).standard_normal((3, 4))
    z, log_q = draw(q, noise)
    kl = ops.convert_to_numpy(q.kl_to_standard_normal())
    at_z = ops.convert_to_numpy(q.log_prob(ops.convert_to_tensor(z)))
    for i in range(3):
        L, C = covariance(log_var[i], lower[i])
        np.testing.assert_allclose(z[i], mean[i] + L @ noise[i], rtol=1e-5, atol=1e-6)
        expected = stats.multivariate_normal(mean[i], C).logpdf(z[i])
        np.testing.assert_allclose([log_q[i], at_z[i]], expected, rtol=1e-5)
        _, log_det = np.linalg.slogdet(C)
        expected = 0.5 * (np.trace(C) + mean[i] @ mean[i] - 4 - log_det)
        np.testing.assert_allclose(kl[i], [expected], rtol=1e-5)
    # And the mean of one-draw estimates is that closed form.
    q, _ = make("full", 4)
    z, log_q = draw(q, np.random.default_rng(6).standard_normal((20_000, 4)))
    draws = log_q - stats.norm.logpdf(z).sum(axis=-1)
    exact = ops.convert_to_numpy(q.kl_to_standard_normal()).item()
    assert abs(draws.mean() - exact) < 4 * draws.std() / np.sqrt(len(draws))


def test_a_lower_part_of_zero_is_the_diagonal_normal():
    diagonal, (mean, log_var) = make("diagonal", 3, batch=2)
    lower = np.zeros((2, 3))
    tensors = (ops.convert_to_tensor(v, "float32") for v in (mean, log_var, lower))
    full = FullCovariance().distribution(*tensors)
    noise = np.random.default_rng(7).standard_normal((2, 3))
    for a, b in zip(draw(diagonal, noise), draw(full, noise), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    kls = [ops.convert_to_numpy(q.kl_to_standard_normal()).sum(axis=-1) for q in (diagonal, full)]
    np.testing.assert_allclose(*kls, rtol=1e-6)


def test_a_draw_of_the_default_is_that_of_the_layer_sampling_to_the_bit():
    model = tiny.vae()
    assert isinstance(model.posterior, DiagonalNormal)
    mean, log_var = model.encode(tiny.images(5))
    tensors = map(ops.convert_to_tensor, (mean, log_var))
    expected = ops.convert_to_numpy(Sampling(seed=4)(list(tensors)))
    z, _ = model.draw(model.distribution_of((mean, log_var)), Sampling(seed=4))
    np.testing.assert_array_equal(ops.convert_to_numpy(z), expected)


def test_a_flow_starts_near_the_normal_draw_with_gates_nearly_open():
    flow = InverseAutoregressiveFlow(steps=2, hidden=4)
    flow.build((None, 3))
    mean, log_var, h = (np.full((2, n), v, "float32") for n, v in ((3, 0.4), (3, -0.2), (4, 1.0)))
    q = flow.distribution(*map(ops.convert_to_tensor, (mean, log_var, h)))
    noise = np.random.default_rng(8).standard_normal((2, 3))
    z, log_q = draw(q, noise)
    gate = 1 / (1 + np.exp(-2.0))
    z_0 = mean + np.exp(0.5 * log_var) * noise
    np.testing.assert_allclose(z, gate**2 * z_0[:, ::-1], rtol=1e-5)
    log_q_0 = stats.norm.logpdf(z_0, mean, np.exp(0.5 * log_var)).sum(axis=-1)
    np.testing.assert_allclose(log_q, log_q_0 - 2 * 3 * np.log(gate), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(q.center), gate**2 * mean, rtol=1e-5)


class Wide(Posterior):
    """A user's own: the variance is twice what the encoder says."""

    def outputs(self, size):
        return {"mean": size, "log_var": size}

    def distribution(self, mean, log_var):
        return Normal(mean, log_var + np.log(2))


def test_one_of_your_own_needs_no_more_than_outputs_and_a_distribution():
    model, plain = tiny.vae(posterior=Wide()), tiny.vae()
    model.set_weights(plain.get_weights())
    x = ops.convert_to_tensor(tiny.images(5))
    q, p = model.posterior_of(x), plain.posterior_of(x)
    ratio = ops.convert_to_numpy(q.log_var - p.log_var)
    np.testing.assert_allclose(ratio, np.log(2), rtol=1e-5)
    assert model.reconstruct(tiny.images(5), sample=True).shape == (5, 8, 8, 1)


def with_outputs(sizes, **kwargs):
    """A VAE of z of 3 whose encoder has outputs of these sizes."""
    x = keras.Input(tiny.IMAGE_SHAPE)
    h = keras.layers.Flatten()(x)
    encoder = keras.Model(x, [keras.layers.Dense(n)(h) for n in sizes])
    _, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(4,))
    return kg.VAE(encoder, decoder, **kwargs)


def of_full(kind, **kwargs):
    return tiny.of_posterior(kind, "full_covariance", **kwargs)


def of_flow(kind, **kwargs):
    return tiny.of_posterior(kind, tiny.autoregressive(), **kwargs)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: tiny.vae(posterior="full"), "`posterior` is 'full'. Pass a posterior object"),
        (
            lambda: tiny.vae(posterior="full_covariance"),
            r"the posterior FullCovariance of this VAE gives mean \(3\), log_var \(3\), "
            r"lower \(3\), and this one gives 2 tensors of shape \(3,\), \(3,\). End it in a "
            r"Dense layer for each",
        ),
        (lambda: with_outputs((3, 3, 4), posterior="full_covariance"), "gives 3 tensors of shape"),
        (
            lambda: with_outputs((3, 3, 6), posterior=tiny.autoregressive()),
            r"InverseAutoregressiveFlow of this VAE gives .* context \(5\), and this one gives 3",
        ),
        (
            lambda: kg.networks.mlp_vae((4,), 1, posterior="full_covariance"),
            "is of two latents and more, and z has size 1. Use DiagonalNormal",
        ),
        (lambda: InverseAutoregressiveFlow(steps=0), "`steps` is 0. Pass an integer, at least 1"),
        (
            lambda: of_full(kg.VAE, free_bits=0.1),
            'under the posterior FullCovariance these have .* `posterior="diagonal_normal"`',
        ),
        (lambda: of_flow(kg.VAE, free_bits=0.1), "`free_bits` are of single latents"),
        (
            lambda: of_flow(kg.VAE, prior="vamp_prior"),
            "A VampPrior needs log q.* at any z, and Inverse.* knows it only at its own draws",
        ),
        (lambda: of_flow(kg.DReGIWAE), "DReGIWAE needs log q.* at any z"),
        (
            lambda: tiny.two_layer_iwae(posterior=tiny.autoregressive()),
            "A TwoLayerIWAE works only with diagonal normals .* is Inverse",
        ),
        (
            lambda: tiny.two_layer_iwae(posterior=Wide()),
            "A TwoLayerIWAE works only with diagonal normals .* is Wide. Train a model without",
        ),
        (
            lambda: of_full(kg.VAE).fit_prior(tiny.images(4)),
            "`fit_prior` works only with diagonal normals",
        ),
        (
            lambda: kg.metrics.elbo_surgery(*of_flow(kg.VAE).encode(tiny.images(4))),
            "`elbo_surgery` works only with diagonal normals.* three arrays",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(build, match):
    with pytest.raises(ValueError, match=match):
        build()
