import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

import keras_gen as kg
from keras_gen.inference.likelihood import log_mean, standard_error
from tests.models import tiny


def linear(n=40, latent_dim=2, variances=(4.0, 1.0, 0.1, 0.1, 0.1)):
    """Normal data, their PPCA and its VAE: log p(x) in closed form, q the exact posterior."""
    random = np.random.default_rng(0)
    x = random.normal(size=(max(n, 40), len(variances)), scale=np.sqrt(variances))
    ppca = kg.PPCA.fit(x, latent_dim)
    x = x[:n].astype("float32")
    return x, ppca.log_likelihood(x), ppca.to_vae(seed=0)


def with_wrong_q(vae):
    """q(z|x) is shifted by half of its deviation, and its variance is half too large."""
    kernel, bias, log_var = vae.encoder.get_weights()
    vae.encoder.set_weights([kernel, bias + 0.5 * np.exp(log_var / 2), log_var + np.log(1.5)])
    return vae


def test_one_draw_from_the_exact_posterior_gives_the_log_likelihood():
    x, expected, vae = linear()
    np.testing.assert_allclose(vae.log_likelihood(x, num_samples=1, verbose=0), expected, rtol=2e-5)
    values, errors = vae.log_likelihood(x, 10, return_standard_error=True, verbose=0)
    np.testing.assert_allclose(values, expected, rtol=2e-5)
    assert errors.max() < 1e-4  # Rounding: all weights are one.


def test_a_wrong_q_agrees_within_its_own_standard_error():
    x, expected, vae = linear()
    values, errors = with_wrong_q(vae).log_likelihood(
        x, 5000, return_standard_error=True, verbose=0
    )
    assert 0.001 < errors.min() and errors.max() < 0.03
    assert np.abs(values - expected).max() < 5 * errors.max()
    # Measured in its standard error, the error is standard normal.
    assert 0.7 < np.std((values - expected) / errors) < 1.4


def test_more_draws_come_nearer_from_below():
    x, expected, vae = linear(n=2000)
    with_wrong_q(vae)
    gaps = [np.mean(vae.log_likelihood(x, k, verbose=0) - expected) for k in (1, 2, 8)]
    # At one draw it is the ELBO: less log p(x) by KL(q || posterior), of both latents.
    assert gaps[0] == pytest.approx(-(0.5**2 + 1.5 - 1 - np.log(1.5)), abs=0.06)
    assert gaps[0] < gaps[1] < gaps[2] < 0.01


def test_the_naive_estimate_from_the_prior_is_far_too_low():
    variances = [9.0] * 8 + [0.1] * 8
    x, expected, vae = linear(latent_dim=8, variances=variances)
    values, errors = vae.log_likelihood(
        x, 5000, proposal="prior", return_standard_error=True, verbose=0
    )
    assert np.mean(values - expected) < -5
    # No figure says less than the truth: where it is far off, none is given.
    assert np.all(np.abs(values - expected) < 5 * errors) and np.isinf(errors).mean() > 0.5
    np.testing.assert_allclose(vae.log_likelihood(x, 1, verbose=0), expected, rtol=2e-5)


def test_the_naive_estimate_is_right_where_it_is_easy():
    x, expected, vae = linear(latent_dim=1, variances=(0.2, 0.1, 0.1))
    values, errors = vae.log_likelihood(
        x, 5000, proposal="prior", return_standard_error=True, verbose=0
    )
    assert np.all(np.abs(values - expected) < 5 * errors)
    assert errors.max() < 0.1


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 9, 10])
def test_parts_of_the_draws_give_what_all_at_once_give(chunk_size):
    x, _, vae = linear(n=1)
    with_wrong_q(vae)
    recorded = np.random.default_rng(1).normal(size=(20, 1, 2)).astype("float32")
    counter = keras.Variable(0, dtype="int32", trainable=False)
    vae.counter = counter  # A state of the model: JAX carries it from part to part.

    def replayed(shape):
        start = counter + 0
        counter.assign(start + shape[0])
        return ops.take(
            ops.convert_to_tensor(recorded), start + ops.arange(shape[0], dtype="int32"), axis=0
        )

    vae.evaluation_sampling.noise = replayed
    estimates = []
    for size in (chunk_size, 100):
        counter.assign(0)
        estimates.append(
            vae.log_likelihood(x, 10, chunk_size=size, return_standard_error=True, verbose=0)
        )
    np.testing.assert_allclose(*estimates, rtol=1e-5)


@pytest.mark.parametrize("num_samples, chunk_size", [(1, 4), (3, 7), (50, 7), (50, 1), (7, 1000)])
def test_no_more_draws_than_a_chunk_are_decoded_at_a_time(num_samples, chunk_size):
    seen = []

    @keras.saving.register_keras_serializable("keras_gen_tests")
    class Watcher(keras.layers.Layer):
        def call(self, z):
            seen.append(z.shape[0])
            return z

    x, expected, vae = linear(n=5)
    z = keras.Input((2,))
    decoder = keras.Model(z, vae.decoder(Watcher()(z)))
    vae = kg.VAE(vae.encoder, decoder, vae.likelihood)
    seen.clear()
    values = vae.log_likelihood(x, num_samples, chunk_size=chunk_size, verbose=0)
    assert seen and all(rows is None or rows <= chunk_size for rows in seen)
    np.testing.assert_allclose(values, expected, rtol=2e-5)  # Of all five, in their order.


def test_the_log_likelihood_given_a_label():
    # x = z + y + noise of deviation s: p(x|y) = N(y, 1 + s^2).
    s = 0.5
    inputs = [keras.Input((1,)), keras.Input((), dtype="int32")]
    y = keras.layers.Reshape((1,))(ops.cast(inputs[1], "float32"))
    mean = (inputs[0] - y) / (1 + s**2)
    encoder = keras.Model(inputs, [mean + 0.1, 0 * mean + float(np.log(0.3))])
    decoder = keras.Model(inputs, inputs[0] + y)
    vae = kg.VAE(encoder, decoder, num_classes=5, likelihood=kg.likelihoods.Gaussian(s))
    random = np.random.default_rng(0)
    y = random.integers(5, size=12)
    x = random.normal(loc=y[:, None], size=(12, 1)).astype("float32")
    expected = stats.norm.logpdf(x[:, 0], y, np.sqrt(1 + s**2))
    for chunk_size in (500, 5000):  # One example at a time, and five.
        values = vae.log_likelihood(x, 1000, chunk_size=chunk_size, verbose=0, y=y)
        np.testing.assert_allclose(values, expected, atol=0.1)
    np.testing.assert_allclose(
        vae.log_likelihood(x, 5000, proposal="prior", verbose=0, y=y), expected, atol=0.2
    )
    with pytest.raises(ValueError, match="The labels go from"):
        vae.log_likelihood(x, y=y + 1)


def test_estimating_leaves_training_alone():
    class Estimate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.log_likelihood(tiny.images(3), num_samples=2, verbose=0)

    weights = []
    for callbacks in ([], [Estimate()]):
        keras.utils.set_random_seed(0)
        vae = tiny.vae()
        vae.compile("sgd")
        vae.fit(tiny.images(), epochs=3, verbose=0, callbacks=callbacks)
        weights.append(vae.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_estimate_draws_fresh_noise():
    vae, x = tiny.vae(), tiny.images(2)
    first, second = (vae.log_likelihood(x, num_samples=2, verbose=0) for _ in range(2))
    assert np.all(first != second)


def test_a_likelihood_put_in_place_of_another_is_the_one_that_counts():
    values = []
    for at_once in (True, False):
        keras.utils.set_random_seed(0)
        model, x = tiny.vae(), tiny.images(3)
        for first in (True, False):
            if first == at_once:
                model.likelihood = kg.likelihoods.ContinuousBernoulli()
            values.append(model.log_likelihood(x, 4, verbose=0))
    np.testing.assert_allclose(values[1], values[3], rtol=1e-6)
    assert (np.abs(values[0] - values[2]) > 1).all()


def test_an_attribute_of_ones_own_that_changes_is_heeded():
    class Tempered(kg.VAE):
        temperature = 1.0

        def log_densities(self, *args, **kwargs):
            log_p_x, log_p_z, log_q_z = super().log_densities(*args, **kwargs)
            return self.temperature * log_p_x, log_p_z, log_q_z

    model, x = Tempered(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (4,))), tiny.images(3)
    once = model.log_likelihood(x, 4, verbose=0)
    model.temperature = 10.0
    tenfold = model.log_likelihood(x, 4, verbose=0)
    np.testing.assert_allclose(tenfold, 10 * once, rtol=0.1)
    model.decoder.set_weights([np.zeros_like(w) for w in model.decoder.get_weights()])
    of_halves = model.log_likelihood(x, 4, verbose=0)
    # p(x|z) is 1/2 for every pixel; the rest is log p(z) - log q(z|x).
    np.testing.assert_allclose(of_halves, 10 * np.log(0.5) * x[0].size, atol=10)


def test_an_attribute_of_the_likelihood_that_changes_is_heeded():
    class Tempered(kg.likelihoods.Bernoulli):
        history = None  # A model's is Keras's own; a likelihood's is not.

        def value_log_prob(self, x, parameters):
            return self.history * super().value_log_prob(x, parameters)

    model, x = tiny.vae(likelihood=Tempered()), tiny.images(3)
    model.likelihood.history = 1.0
    once = model.log_likelihood(x, 4, verbose=0)
    model.likelihood.history = 10.0
    tenfold = model.log_likelihood(x, 4, verbose=0)
    np.testing.assert_allclose(tenfold, 10 * once, rtol=0.1)


def test_the_draws_of_one_call_differ():
    vae, x = tiny.vae(), tiny.images(1)
    _, error = vae.log_likelihood(
        x, num_samples=4, chunk_size=1, return_standard_error=True, verbose=0
    )
    assert error > 1e-3


def test_the_mean_of_weights_of_any_size_and_its_error():
    log_w = np.random.default_rng(0).normal(size=(100, 3), scale=2.0) + [-1e5, 0.0, 1e5]
    expected = special.logsumexp(log_w, axis=0) - np.log(100)
    np.testing.assert_allclose(log_mean(log_w), expected, rtol=1e-12)
    w = np.exp(log_w - log_w.max(0))
    expected = w.std(0, ddof=1) / np.sqrt(100) / w.mean(0)
    np.testing.assert_allclose(standard_error(log_w), expected, rtol=1e-9)


def test_one_draw_tells_nothing_of_its_error():
    x, _, vae = linear(n=3)
    _, errors = vae.log_likelihood(x, 1, return_standard_error=True, verbose=0)
    assert np.isnan(errors).all()


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"num_samples": 0}, "`num_samples` is 0. Pass an integer, at least 1"),
        ({"num_samples": 2.5}, "`num_samples` is 2.5"),
        ({"chunk_size": 0}, "`chunk_size` is 0"),
        ({"proposal": "q"}, '`proposal` is .q.. Pass "posterior" or "prior"'),
        ({"x": tiny.images(2) * 255}, r"values in \[0, 1\]"),
        ({"x": tiny.images(0)}, "The data are empty"),
    ],
)
def test_what_cannot_be_estimated_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        tiny.vae().log_likelihood(**{"x": tiny.images(2), **arguments})


@pytest.mark.parametrize("build", [tiny.autoencoder, tiny.denoising_autoencoder, tiny.gan])
def test_a_model_has_only_the_methods_that_it_can_answer(build):
    model = build()
    assert not hasattr(model, "log_likelihood")  # It needs p(z) and p(x|z).
    assert hasattr(model, "sample") == isinstance(model, kg.GAN)
    absent = "encode" if isinstance(model, kg.GAN) else "sample"
    with pytest.raises(AttributeError, match=rf"has no `{absent}`: .*kg.VAE has"):
        getattr(model, absent)
    with pytest.raises(AttributeError, match="has no attribute 'smaple'"):
        getattr(model, "smaple")  # noqa: B009


MEASURE = """
import resource
import numpy as np
import keras_gen as kg

vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), 50, hidden=(200, 200), activation="tanh"))
x = np.random.default_rng(0).random((1000, 28, 28, 1)).astype("float32").round()
values = vae.log_likelihood(x, num_samples=5000, verbose=0)
assert values.shape == (1000,) and np.all(np.isfinite(values))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.study
def test_a_thousand_images_of_mnists_size_take_less_than_two_gigabytes():
    pytest.importorskip("resource")  # Not on Windows.
    output = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    assert int(output.split()[-1]) * (1 if sys.platform == "darwin" else 1024) < 2e9
