"""What holds for every likelihood: one row of the table each."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen import likelihoods
from tests.likelihoods.common import gradient, numpy, tensor

# Arguments that are not the defaults, of few levels as the networks here are tiny.
LIKELIHOODS = {
    "bernoulli": (likelihoods.Bernoulli, {}),
    "continuous_bernoulli": (likelihoods.ContinuousBernoulli, {}),
    "gaussian": (likelihoods.Gaussian, {"sigma": 0.5, "learn_sigma": True}),
    "heteroscedastic_gaussian": (likelihoods.HeteroscedasticGaussian, {"min_sigma": 0.1}),
    "discretized_logistic": (
        likelihoods.DiscretizedLogistic,
        {"num_levels": 6, "min_scale": 0.01},
    ),
    "categorical": (likelihoods.Categorical, {"num_classes": 6}),
}
EXTREMES = (-1e4, 0.0, 1e4)


@pytest.fixture(params=LIKELIHOODS)
def name(request):
    return request.param


@pytest.fixture
def likelihood(name):
    kind, arguments = LIKELIHOODS[name]
    return kind(**arguments, seed=3)


def images(n=40, shape=(4, 4, 2)):
    """Of six levels, which all likelihoods take: a ramp, its slope another in each image."""
    rng = np.random.default_rng(0)
    x = rng.random((n, 1, 1, 1)) * np.linspace(0, 1, shape[1])[:, None]
    return (np.round(5 * np.broadcast_to(x, (n, *shape))) / 5).astype("float32")


def parameters_for(likelihood, x, seed=1):
    rng = np.random.default_rng(seed)
    shape = (*x.shape[:-1], x.shape[-1] * likelihood.parameters_per_value)
    return rng.standard_normal(shape).astype("float32")


def test_the_name_gives_the_default_object(name, likelihood):
    kind, arguments = LIKELIHOODS[name]
    default = likelihoods.get(name)
    assert type(default) is kind
    assert likelihoods.get(likelihood) is likelihood
    assert default.get_config().keys() == likelihood.get_config().keys()


def test_every_kind_has_a_row():
    assert [kind for kind, _ in LIKELIHOODS.values()] == list(likelihoods.KINDS)


def test_an_unknown_name_is_told_the_names():
    with pytest.raises(ValueError, match="'nonsense'.*'bernoulli', .*'categorical'"):
        likelihoods.get("nonsense")
    assert likelihoods.get("gaussian").sigma == 1.0


def test_arguments_are_attributes_and_the_config(name, likelihood):
    arguments = {**LIKELIHOODS[name][1], "seed": 3}
    again = type(likelihood).from_config(likelihood.get_config())
    for argument, value in arguments.items():
        assert getattr(again, argument) == pytest.approx(value)  # A learned one is a float32.
        assert again.get_config()[argument] == value
    assert again.parameters_per_value == likelihood.parameters_per_value


@pytest.mark.parametrize("x", [0.0, 0.4, 1.0])
def test_log_prob_and_gradient_are_finite_at_extreme_parameters(likelihood, x):
    k = min(likelihood.parameters_per_value, 3)
    extremes = np.array(list(itertools.product(EXTREMES, repeat=k)))
    rest = np.zeros((len(extremes), likelihood.parameters_per_value - k))
    parameters = np.concatenate([extremes, rest], axis=1)
    data = tensor(np.full((len(parameters), 1), x))
    assert np.all(np.isfinite(numpy(likelihood.log_prob(data, tensor(parameters)))))
    assert np.all(np.isfinite(gradient(lambda p: likelihood.log_prob(data, p), parameters)))
    assert np.all(np.isfinite(numpy(likelihood.mean(tensor(parameters)))))
    assert np.all(np.isfinite(gradient(likelihood.mean, parameters)))


@pytest.mark.once
def test_log_prob_sums_over_channels_that_take_their_own_parameters(likelihood):
    """Those of one kind lie together: channel c of C has the outputs c, c + C, c + 2 C, ..."""
    x = images()
    parameters = parameters_for(likelihood, x)
    whole = numpy(likelihood.log_prob(tensor(x), tensor(parameters)))
    mean = numpy(likelihood.mean(tensor(parameters)))
    assert whole.shape == (40,)
    assert mean.shape == numpy(likelihood.sample(tensor(parameters))).shape == x.shape
    by_channel = [
        likelihood.log_prob(tensor(x[..., c : c + 1]), tensor(parameters[..., c::2]))
        for c in (0, 1)
    ]
    np.testing.assert_allclose(whole, numpy(by_channel[0] + by_channel[1]), rtol=1e-5)
    for c in (0, 1):
        one = numpy(likelihood.mean(tensor(parameters[..., c::2])))
        np.testing.assert_allclose(mean[..., c : c + 1], one, rtol=1e-6)


def test_samples_are_data_and_follow_the_seed(name, likelihood):
    parameters = tensor(parameters_for(likelihood, images()))
    kind, arguments = LIKELIHOODS[name]
    draws = [numpy(kind(**arguments, seed=seed).sample(parameters)) for seed in (3, 3, 4)]
    likelihood.check_data(draws[0])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.mean(draws[0] != draws[2]) > 0.2
    assert np.mean(draws[0] != numpy(kind(**arguments, seed=None).sample(parameters))) > 0.2


def test_samples_have_the_mean_that_is_said(likelihood):
    parameters = parameters_for(likelihood, images(1))
    repeated = tensor(np.repeat(parameters, 4000, axis=0))
    samples = numpy(likelihood.sample(repeated)).astype("float64")
    error = samples.std(axis=0) / np.sqrt(4000)
    mean = numpy(likelihood.mean(tensor(parameters)))[0]
    assert np.all(np.abs(samples.mean(axis=0) - mean) < 5 * error)


def test_a_vae_trains_saves_and_loads(likelihood, tmp_path):
    x = images()
    networks = kg.networks.mlp_vae(
        x.shape[1:], 2, hidden=(16,), parameters_per_value=likelihood.parameters_per_value
    )
    vae = kg.VAE(*networks, likelihood, seed=0)
    vae.compile(keras.optimizers.Adam(0.01))
    first = vae.evaluate(x, batch_size=20, return_dict=True, verbose=0)["elbo"]
    history = vae.fit(x, epochs=10, batch_size=20, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    last = vae.evaluate(x, batch_size=20, return_dict=True, verbose=0)["elbo"]
    assert last - first > 2  # Nats; of 32 values.
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras", safe_mode=True)
    assert loaded.likelihood.get_config() == likelihood.get_config()
    np.testing.assert_allclose(loaded.reconstruct(x), vae.reconstruct(x), rtol=1e-5, atol=1e-6)
    # The states of the seeds are in the file: the same noise comes next.
    pixels = [model.sample(50, draw_pixels=True) for model in (vae, loaded)]
    np.testing.assert_allclose(*pixels, rtol=1e-5, atol=1e-5)
    assert pixels[0].shape == (50, 4, 4, 2)


def test_parameters_that_do_not_fit_are_refused(likelihood):
    k = likelihood.parameters_per_value
    wrong = ops.ones((3, 4, 4, 2 * k + 1))
    kind = type(likelihood).__name__
    match = rf"\(4, 4, {2 * k + 1}\).*{kind} takes \(4, 4, {2 * k}\): {k} output"
    with pytest.raises(ValueError, match=match):
        likelihood.log_prob(ops.ones((3, 4, 4, 2)), wrong)


@pytest.mark.parametrize("name", ["discretized_logistic", "categorical"])
def test_fit_refuses_grey_values_that_are_no_levels(name):
    likelihood = likelihoods.get(name)
    k = likelihood.parameters_per_value
    networks = kg.networks.mlp_vae((4, 4, 1), 2, hidden=(4,), parameters_per_value=k)
    vae = kg.VAE(*networks, likelihood)
    vae.compile("sgd")
    x = np.random.default_rng(0).random((8, 4, 4, 1)).astype("float32")
    with pytest.raises(ValueError, match="takes the 256 values k / 255"):
        vae.fit(x, verbose=0)
    vae.fit(np.round(255 * x) / 255, verbose=0)  # As the message says.


def test_log_prob_is_the_sum_over_values_in_their_places(likelihood):
    x = images(n=3)
    parameters = parameters_for(likelihood, x)
    values = likelihood.value_log_prob(tensor(x), tensor(parameters))
    assert values.shape == x.shape
    for rows in (slice(None), slice(1)):  # One example beside the parameters of several, too.
        wanted = likelihood.value_log_prob(tensor(x[rows]), tensor(parameters))
        np.testing.assert_allclose(
            numpy(likelihood.log_prob(tensor(x[rows]), tensor(parameters))),
            numpy(wanted).sum((1, 2, 3)),
            rtol=1e-5,
        )


def test_a_value_log_prob_of_ones_own_finds_the_values_in_their_places():
    class LowerHalf(likelihoods.Bernoulli):
        def value_log_prob(self, x, parameters):
            mask = np.repeat([[[0.0]], [[1.0]]], 2, axis=0)  # (4, 1, 1)
            return tensor(mask) * super().value_log_prob(x, parameters)

    class OneLogitAnImage(likelihoods.Bernoulli):
        def check_shapes(self, x_shape, parameters_shape):
            pass

    x = np.ones((4, 4, 2, 1))
    np.testing.assert_allclose(
        numpy(LowerHalf().log_prob(tensor(x), tensor(0 * x))), [4 * np.log(0.5)] * 4, rtol=1e-6
    )
    logits = np.arange(4.0).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(
        numpy(OneLogitAnImage().log_prob(tensor(x), tensor(logits))),
        -8 * np.log1p(np.exp(-np.arange(4.0))),
        rtol=1e-5,
    )
