import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import keras_gen as kg
from keras_gen.networks.burda import normal_network
from keras_gen.networks.linear import Constant
from tests.models import tiny

SLOPE, S_Z, S_X = 1.5, 0.7, 0.4  # z = SLOPE z_top + S_Z noise, x = z + S_X noise.


def affine(slope, shift, variance):
    """z -> (slope z + shift, log variance), one number each."""
    z = keras.Input((1,))
    return keras.Model(z, [slope * z + shift, 0.0 * z + float(np.log(variance))])


def linear(shift=0.0, stretch=1.0):
    """All normal, so that p(x) = N(0, SLOPE^2 + S_Z^2 + S_X^2); q exact, but for the arguments."""
    v_z = SLOPE**2 + S_Z**2  # Of z.
    v_x = v_z + S_X**2
    z = keras.Input((1,))
    return kg.TwoLayerIWAE(
        encoder=affine(v_z / v_x, shift, stretch * v_z * S_X**2 / v_x),
        decoder=keras.Model(z, 1.0 * z),
        top_encoder=affine(SLOPE / v_z, shift, stretch * S_Z**2 / v_z),
        top_decoder=affine(SLOPE, 0.0, S_Z**2),
        likelihood=kg.likelihoods.Gaussian(S_X),
        num_samples=3,
        seed=0,
    )


def data(n):
    deviation = np.sqrt(SLOPE**2 + S_Z**2 + S_X**2)
    x = np.random.default_rng(0).normal(scale=deviation, size=(n, 1)).astype("float32")
    return x, stats.norm.logpdf(x[:, 0], scale=deviation)


@pytest.mark.once
def test_one_draw_from_the_exact_posterior_gives_the_log_likelihood():
    x, expected = data(20)
    values = linear().log_likelihood(x, num_samples=1, verbose=0)
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    model = linear()
    model.compile("sgd")
    logs = model.evaluate(x, return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(-expected.mean(), rel=1e-4)
    assert logs["elbo"] == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.once
def test_many_draws_from_a_wrong_q_agree_within_their_standard_error():
    x, expected = data(20)
    values, errors = linear(shift=0.2, stretch=1.5).log_likelihood(
        x, num_samples=5000, return_standard_error=True, verbose=0
    )
    assert errors.max() < 0.05
    assert np.abs((values - expected) / errors).max() < 4.5


@pytest.mark.once
def test_draws_from_the_prior_of_both_layers_agree_too():
    x, expected = data(20)
    values, errors = linear().log_likelihood(
        x, num_samples=5000, proposal="prior", return_standard_error=True, verbose=0
    )
    assert 0.01 < errors.min()
    assert np.abs((values - expected) / errors).max() < 4.5


@pytest.mark.once
def test_samples_have_the_variance_of_both_layers():
    model = linear()
    v_z = SLOPE**2 + S_Z**2
    assert np.var(model.sample(20_000)) == pytest.approx(v_z, rel=0.05)
    assert np.var(model.sample(20_000, draw_pixels=True)) == pytest.approx(v_z + S_X**2, rel=0.05)


@pytest.mark.once
def test_encoding_and_decoding_are_of_the_layer_beside_x():
    x, _ = data(5)
    v_z = SLOPE**2 + S_Z**2
    mean, _ = linear().encode(x)
    np.testing.assert_allclose(mean, x * v_z / (v_z + S_X**2), rtol=1e-5)
    np.testing.assert_allclose(linear().reconstruct(x), mean, rtol=1e-5)
    top_mean, top_log_var = linear().encode_top(mean)
    np.testing.assert_allclose(top_mean, mean * SLOPE / v_z, rtol=1e-5)
    np.testing.assert_allclose(top_log_var, np.log(S_Z**2 / v_z), rtol=1e-5)


@pytest.mark.once
def test_gradient_descent_reaches_the_entropy():
    # No normal is better on average than the one with the mean and variance of the data.
    def learned_normal():
        z = keras.Input((1,))
        return keras.Model(z, [keras.layers.Dense(1)(z), Constant()(z)])

    x, _ = data(2000)
    z = keras.Input((1,))
    model = kg.TwoLayerIWAE(
        encoder=learned_normal(),
        decoder=keras.Model(z, keras.layers.Dense(1)(z)),
        top_encoder=learned_normal(),
        top_decoder=learned_normal(),
        likelihood=kg.likelihoods.Gaussian(1.0, learn_sigma=True),
        num_samples=2,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, epochs=15, batch_size=100, verbose=0)
    best = stats.norm.logpdf(x, x.mean(), x.std()).mean()
    found = model.log_likelihood(x, num_samples=100, verbose=0).mean()
    assert found == pytest.approx(best, abs=0.02)


@pytest.mark.once
def test_networks_that_do_not_fit_one_another_are_refused():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    for sizes, match in (
        (((4, 2), (2, 3)), "`top_encoder` expects .4,., but is given .3,."),
        (((3, 2), (5, 3)), "`top_decoder` expects .5,., but is given .2,."),
        (((3, 2), (2, 4)), "gives a z of shape .4,., but the `decoder` expects .3,."),
    ):
        top = [normal_network(*size, (4,), "tanh", "top") for size in sizes]
        with pytest.raises(ValueError, match=match):
            kg.TwoLayerIWAE(*networks, *top)
    z = keras.Input((3,))
    with pytest.raises(ValueError, match="`top_encoder` gives one tensor. End it in two Dense"):
        kg.TwoLayerIWAE(
            *networks, keras.Model(z, 1.0 * z), normal_network(2, 3, (), None, "top_decoder")
        )
    with pytest.raises(ValueError, match="`top_decoder` is a NoneType. Pass a Keras model"):
        kg.TwoLayerIWAE(*networks, keras.Model(z, 1.0 * z), None)


def test_the_paper_s_networks_train():
    model = kg.TwoLayerIWAE(*kg.networks.burda_two_layer_vae((4, 4, 1)), num_samples=5)
    model.compile(keras.optimizers.Adam(1e-3))
    x = tiny.images(64, shape=(4, 4, 1)).round()
    loss = model.fit(x, epochs=10, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    assert model.sample(3).shape == model.reconstruct(x[:3]).shape == (3, 4, 4, 1)
    assert np.all(np.isfinite(ops.convert_to_numpy(model(x))))
