"""Densities of z: integrals, closed forms and formulas written by hand. Nothing is trained."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import keras_gen as kg
from keras_gen.losses import divergences
from keras_gen.posteriors import Normal
from keras_gen.priors import Flow, Mixture, StandardNormal, UnitNormal, VampPrior
from tests.models import tiny

KINDS = ("mixture", "vamp", "flow")


def randomised(layer, scale, seed=0):
    random = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(scale * random.standard_normal(weight.shape))
    return layer


def make(kind, size):
    """A prior of z of this size whose weights are drawn, and a model that it may be of."""
    model = SimpleNamespace(prior_size=size, num_classes=None, value_bounds=lambda: None)
    if kind == "vamp":
        # An encoder by hand: u -> mean u, log_var sin(u) - 1.
        model.example_shape = (size,)
        model.prior_posterior = lambda u, y: Normal(1.0 * u, ops.sin(u) - 1)
    prior = {
        "mixture": lambda: Mixture(3),
        "vamp": lambda: VampPrior(4),
        "flow": lambda: Flow(couplings=3, hidden=5),
    }[kind]()
    prior.build(prior.shape_in(model))
    return randomised(prior, 0.3 if kind == "flow" else 0.5), model


def distribution(kind, size):
    prior, model = make(kind, size)
    return prior.distribution(model)


def log_prob(distribution, z):
    return ops.convert_to_numpy(distribution.log_prob(ops.convert_to_tensor(z, "float32")))


def log_normal(z, mean, log_var):
    return stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)).sum(axis=-1)


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_a_density_of_the_plane_integrates_to_one(kind):
    line = np.linspace(-10, 10, 301)
    z = np.stack(np.meshgrid(line, line), axis=-1)  # (301, 301, 2)
    density = np.exp(log_prob(distribution(kind, 2), z))
    assert density.shape == (301, 301)
    assert density.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=1e-3)


@pytest.mark.once
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_z_of_another_width_is_refused(kind):
    p_z = UnitNormal(3) if kind is None else distribution(kind, 3)
    for z in (np.zeros((4, 1), "float32"), np.zeros((4, 5), "float32"), np.float32(0)):
        with pytest.raises(ValueError, match=r"Pass z of this prior, \(..., 3\)"):
            p_z.log_prob(z)


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_samples_in_ten_dimensions_come_from_the_density(kind):
    """E_p[q(z) / p(z)] is the integral of q, 1, with q a narrower normal, at samples of p."""
    p = distribution(kind, 10)
    z = ops.convert_to_numpy(p.sample(40_000, seed=1))
    assert z.shape == (40_000, 10)
    centre, log_var = z.mean(axis=0), np.log(0.5 * z.var(axis=0))
    ratio = np.exp(log_normal(z, centre, log_var) - log_prob(p, z))
    error = ratio.std() / np.sqrt(len(z))
    assert error < 0.05
    assert abs(ratio.mean() - 1) < 4 * error


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_z_may_be_wider_than_the_weights(kind):
    p = distribution(kind, 2)
    z = np.random.default_rng(0).standard_normal((3, p.noise_size))  # float64
    for function, argument in ((p.log_prob, z[:, :2]), (p.from_noise, z)):
        narrow = function(ops.convert_to_tensor(argument, "float32"))
        wide = ops.convert_to_numpy(function(argument))
        np.testing.assert_allclose(wide, ops.convert_to_numpy(narrow), rtol=1e-4)


def test_weights_start_where_they_are_made(monkeypatch):
    """`tf.distribute` gives all processes the same initial values, and none that are assigned."""
    monkeypatch.setattr(keras.Variable, "assign", None)
    prior, model = Mixture(3, seed=0), SimpleNamespace(prior_size=2)
    prior.build(prior.shape_in(model))
    assert np.abs(prior.get_weights()[1]).min() > 0
    vae = tiny.vae(prior=VampPrior(3, data_mean=tiny.images(1)[0]))
    assert np.abs(vae.prior.get_weights()[0] - tiny.images(1)).max() < 0.05


@pytest.mark.once
def test_samples_of_a_seed_are_the_same_and_of_none_are_not():
    p = distribution("mixture", 3)
    first, same, other, fresh = (ops.convert_to_numpy(p.sample(5, s)) for s in (0, 0, 1, None))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.1 < np.abs(first - fresh).max()


def test_a_mixture_is_the_formula_and_draws_components_by_their_weights():
    prior, model = make("mixture", 2)
    logits, mean, log_var = prior.get_weights()
    p = prior.distribution(model)
    z = np.random.default_rng(2).standard_normal((6, 2))
    weights = special.log_softmax(logits)
    parts = [w + log_normal(z, m, v) for w, m, v in zip(weights, mean, log_var, strict=True)]
    np.testing.assert_allclose(log_prob(p, z), special.logsumexp(parts, axis=0), rtol=1e-5)
    # Of the first two numbers exp(-(a^2 + b^2) / 2) chooses, and the others move the mean.
    edges = np.cumsum(np.exp(weights))
    for k, u in enumerate((edges[0] / 2, edges[:2].mean(), (1 + edges[1]) / 2)):
        noise = np.array([[np.sqrt(-2 * np.log(u)), 0, 0.3, -0.2]], "float32")
        expected = mean[k] + np.exp(0.5 * log_var[k]) * noise[0, 2:]
        z = ops.convert_to_numpy(p.from_noise(ops.convert_to_tensor(noise)))
        np.testing.assert_allclose(z[0], expected, rtol=1e-5)


@pytest.mark.once
def test_one_standard_component_is_the_standard_normal():
    prior = Mixture(1)
    prior.build((None, 3))
    prior.mean.assign(np.zeros((1, 3)))
    p, normal = prior.distribution(None), UnitNormal(3)
    z = np.random.default_rng(0).standard_normal((5, 4, 3))
    np.testing.assert_allclose(log_prob(p, z), log_prob(normal, z), rtol=1e-6)
    noise = ops.convert_to_tensor(np.ones((2, 5)), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(p.from_noise(noise)), 1, rtol=1e-6)

    # And the mean of one-draw estimates is the closed form of the KL.
    mean, log_var = np.array([0.5, -1.0, 0.0]), np.array([0.3, -0.5, 0.0])
    z = mean + np.exp(log_var / 2) * np.random.default_rng(1).standard_normal((50_000, 3))
    mean, log_var, z = (ops.convert_to_tensor(v, "float32") for v in (mean, log_var, z))
    q = Normal(mean, log_var)
    draws = ops.convert_to_numpy(p.kl_of_latents(q, z, q.log_prob(z)))
    assert draws.shape == (50_000, 1)
    exact = float(divergences.kl_to_standard_normal(mean, log_var))
    assert abs(draws.mean() - exact) < 4 * draws.std() / np.sqrt(len(draws))
    parts = ops.convert_to_numpy(normal.kl_of_latents(q, z, q.log_prob(z)))
    assert parts.shape == (3,) and parts.sum() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("size", [2, 5])
def test_a_flow_is_inverted_and_its_determinant_is_that_of_the_jacobian(size):
    p = distribution("flow", size)
    z = np.random.default_rng(3).standard_normal((4, size)).astype("float32")
    eps, log_det = map(ops.convert_to_numpy, p.to_noise(ops.convert_to_tensor(z)))
    assert np.abs(eps - z).max() > 0.1
    back = ops.convert_to_numpy(p.from_noise(ops.convert_to_tensor(eps)))
    np.testing.assert_allclose(back, z, atol=1e-5)
    step = 1e-3
    moved = z[:, None] + step * np.concatenate([np.eye(size), -np.eye(size)])  # (4, 2 size, size)
    ends, _ = p.to_noise(ops.convert_to_tensor(moved, "float32"))
    forward, backward = np.split(ops.convert_to_numpy(ends), 2, axis=1)
    _, expected = np.linalg.slogdet((forward - backward) / (2 * step))
    np.testing.assert_allclose(log_det, expected, atol=5e-3)


@pytest.mark.once
def test_a_flow_starts_at_the_standard_normal():
    flow = Flow(couplings=2, hidden=4)
    flow.build((None, 3))
    z = np.random.default_rng(0).standard_normal((5, 3))
    p = flow.distribution(SimpleNamespace(prior_size=3))
    np.testing.assert_allclose(log_prob(p, z), log_prob(UnitNormal(3), z), rtol=1e-6)


@pytest.mark.once
def test_a_vamp_prior_with_the_data_as_pseudo_inputs_is_the_aggregate_posterior():
    x = tiny.images(7)
    vae = tiny.vae(prior=VampPrior(7))
    vae.prior.pseudo_inputs.assign(x)
    z = np.random.default_rng(0).standard_normal((5, 3))
    mean, log_var = vae.encode(x)
    density = np.zeros(5)
    for i in range(7):
        density += np.exp(log_normal(z, mean[i], log_var[i])) / 7
    np.testing.assert_allclose(log_prob(vae.prior.distribution(vae), z), np.log(density), rtol=1e-5)
    vae.prior.pseudo_inputs.assign(3 * x)  # Beyond the pixels of Bernoulli, which are clipped.
    vae_of_clipped = tiny.vae(prior=VampPrior(7))
    vae_of_clipped.set_weights(vae.get_weights())
    vae_of_clipped.prior.pseudo_inputs.assign(np.minimum(3 * x, 1))
    assert np.any(3 * x > 1)
    one, other = (log_prob(v.prior.distribution(v), z) for v in (vae, vae_of_clipped))
    np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_pseudo_inputs_have_fixed_labels_and_no_noise():
    x, z = tiny.images(5), np.random.default_rng(0).standard_normal((4, 3))
    for model in (
        tiny.conditional_denoising_vae(prior=VampPrior(5)),
        tiny.two_layer_iwae(prior=VampPrior(5)),
    ):
        model.prior.pseudo_inputs.assign(x)
        labels = None if model.num_classes is None else [0, 1, 2, 0, 1]
        mean, log_var = model.encode(x, y=labels)
        if isinstance(model, kg.TwoLayerIWAE):
            mean, log_var = model.encode_top(mean)
        d = mean.shape[1]
        parts = log_normal(z[:, None, :d], mean, log_var)
        p = model.prior.distribution(model)
        expected = special.logsumexp(parts, axis=1) - np.log(5)
        np.testing.assert_allclose(log_prob(p, z[:, :d]), expected, rtol=1e-4)


@pytest.mark.once
def test_names_are_of_the_classes_and_others_are_refused():
    assert isinstance(kg.priors.get("vamp_prior"), VampPrior)
    assert isinstance(tiny.vae().prior, StandardNormal)
    with pytest.raises(ValueError, match="`prior` is 'vamp'. Pass a prior object such as Vamp.*"):
        tiny.vae(prior="vamp")


@pytest.mark.once
@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Mixture(0), "`k` is 0. Pass an integer, at least 1"),
        (lambda: Flow(couplings=1.5), "`couplings` is 1.5"),
        (
            lambda: Flow().build((None, 1)),
            "couples one half .* and z has size 1",
        ),
        (lambda: tiny.vae(prior="mixture", free_bits=0.1), "`free_bits` are of single latents"),
        (
            lambda: tiny.vae(prior=VampPrior(data_mean=np.zeros(64))),
            r"`data_mean` has shape \(64,\), and an example has \(8, 8, 1\)",
        ),
        (
            lambda: tiny.vae(prior=VampPrior(data_mean=np.full(tiny.IMAGE_SHAPE, 127))),
            r"`data_mean` lies in \[127, 127\], and this model's data are in \[0, 1\]. Pass",
        ),
        (
            lambda: tiny.vae(
                likelihood="gaussian", prior=VampPrior(data_mean=np.full((8, 8, 1), np.nan))
            ),
            r"`data_mean` lies in \[nan, nan\], and this model's data are finite. Pass",
        ),
        (
            lambda: tiny.vae(prior=make("mixture", 2)[0]),
            r"a Mixture, was built for \(None, 2\), and this VAE needs \(None, 3\)",
        ),
    ],
)
def test_what_makes_no_prior_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()


@pytest.mark.once
def test_free_bits_that_come_later_are_refused_too():
    vae = tiny.vae(prior="mixture")
    vae.compile("sgd")
    vae.free_bits = 0.1
    with pytest.raises(ValueError, match="under the prior Mixture these have no KL of their own"):
        vae.train_on_batch(tiny.images(2))


@pytest.mark.once
def test_the_density_follows_its_weights_and_holds_no_encoder():
    vae = tiny.vae(prior=VampPrior(2))
    assert [w.name for w in vae.prior.weights] == ["pseudo_inputs", "initialized"]
    z = np.zeros((1, 3))
    before = log_prob(vae.prior.distribution(vae), z)
    randomised(vae.encoder, 0.5)
    assert np.abs(log_prob(vae.prior.distribution(vae), z) - before).max() > 1e-3
