import pathlib

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from sklearn.decomposition import PCA

import keras_gen as kg
from keras_gen.ppca import PPCA

pytestmark = pytest.mark.once

MNIST = pathlib.Path(__file__).parents[2] / "shared" / "data" / "tfds"
needs_mnist = pytest.mark.skipif(not MNIST.exists(), reason=f"MNIST is not in {MNIST}")


@pytest.fixture(scope="module")
def mnist():
    return kg.data.load("mnist", data_dir=MNIST, download=False)


def spectrum(n=1000, variances=(4.0, 1.0, 0.1, 0.1, 0.1), seed=0):
    """Normal data of a covariance with these eigenvalues, around the vector of ones."""
    random = np.random.default_rng(seed)
    rotation = stats.ortho_group(len(variances)).rvs(random_state=random)
    return 1 + random.normal(size=(n, len(variances)), scale=np.sqrt(variances)) @ rotation


def any_ppca(shape=(2, 2, 1), latent_dim=3):
    random = np.random.default_rng(0)
    W = random.normal(size=(np.prod(shape), latent_dim))  # Not orthogonal.
    return PPCA(W, sigma2=0.3, mean=random.normal(size=shape))


def exact_elbo(vae, x):
    """The ELBO without the error of draws, where the decoder is linear with orthogonal columns.

    log p(x|z) is quadratic in eps then, without products of two: its mean over eps = 1 and
    eps = -1 is its mean over N(0, I).
    """
    elbos = []
    for sign in (1.0, -1.0):
        vae.evaluation_sampling.noise = lambda shape, sign=sign: sign * ops.ones(shape)
        vae.compile("sgd")  # A step that is compiled already has the last noise in it.
        elbos.append(vae.evaluate(x, batch_size=1000, return_dict=True, verbose=0)["elbo"])
    return np.mean(elbos)


def elbo_deviation(vae, x):
    """Standard deviation of the evaluated ELBO of the exact posterior, over draws of z.

    log p(x|z) - KL differs from log p(x) by log q(z|x) / p(z) less its mean: for every latent
    the variance of ((mean + s eps)^2 - eps^2) / 2, with s^2 the variance of q.
    """
    mean, log_var = (array.astype("float64") for array in vae.encode(x))
    variances = np.expm1(log_var) ** 2 / 2 + mean**2 * np.exp(log_var)
    return np.sqrt(variances.sum(axis=1).mean() / len(x))


@needs_mnist
@pytest.mark.parametrize(
    "latent_dim, sigma2, train, test",
    [(2, 0.056096, 12.4277, 14.3601), (10, 0.034867, 182.1547, 186.0241)],
)
def test_the_closed_form_on_mnist_and_the_elbo_of_its_vae(mnist, latent_dim, sigma2, train, test):
    ppca = PPCA.fit(mnist[0].x, latent_dim)
    assert ppca.sigma2 == pytest.approx(sigma2, abs=5e-7)
    assert ppca.log_likelihood(mnist[0].x).mean() == pytest.approx(train, abs=5e-5)
    assert ppca.log_likelihood(mnist[1].x).mean() == pytest.approx(test, abs=5e-5)

    vae, x = ppca.to_vae(seed=0), mnist[1].x
    vae.compile("sgd")
    elbo = vae.evaluate(x, batch_size=1000, return_dict=True, verbose=0)["elbo"]
    deviation = elbo_deviation(vae, x)
    assert deviation < 0.03
    assert elbo == pytest.approx(test, abs=4 * deviation)
    assert exact_elbo(vae, x) == pytest.approx(test, abs=5e-4)  # Sums of float32.


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_the_fit_is_scikit_learns(latent_dim):
    x = spectrum(200)
    pca = PCA(latent_dim, svd_solver="full").fit(x)
    # The maximum of the likelihood divides by n, scikit-learn by n - 1.
    pca.explained_variance_ *= 199 / 200
    pca.noise_variance_ *= 199 / 200
    ppca = PPCA.fit(x, latent_dim)
    assert ppca.sigma2 == pytest.approx(pca.noise_variance_)
    np.testing.assert_allclose(ppca.W @ ppca.W.T + ppca.sigma2 * np.eye(5), pca.get_covariance())
    other = spectrum(50, seed=1)
    for data in (x, other):
        np.testing.assert_allclose(ppca.log_likelihood(data), pca.score_samples(data))
    assert ppca.log_likelihood(other).mean() == pytest.approx(pca.score(other))


def test_the_fit_is_a_maximum():
    x = spectrum(200)
    ppca = PPCA.fit(x, 2)
    best = ppca.log_likelihood(x).mean()
    random = np.random.default_rng(0)
    for scale in (0.9, 1.1):
        assert PPCA(ppca.W, scale * ppca.sigma2, ppca.mean).log_likelihood(x).mean() < best - 1e-3
    for _ in range(20):
        W = ppca.W + 0.05 * random.normal(size=ppca.W.shape)
        assert PPCA(W, ppca.sigma2, ppca.mean).log_likelihood(x).mean() < best
        mean = ppca.mean + 0.05 * random.normal(size=5)
        assert PPCA(ppca.W, ppca.sigma2, mean).log_likelihood(x).mean() < best


def test_the_log_likelihood_is_that_of_a_normal():
    ppca = any_ppca()
    x = np.random.default_rng(1).normal(size=(5000, 2, 2, 1))  # More than one chunk.
    covariance = ppca.W @ ppca.W.T + 0.3 * np.eye(4)
    expected = stats.multivariate_normal(ppca.mean.reshape(-1), covariance).logpdf(x.reshape(-1, 4))
    np.testing.assert_allclose(ppca.log_likelihood(x), expected)


def test_the_posterior_is_bayes_rule():
    """log p(z|x) = log p(x|z) + log p(z) - log p(x), at any z."""
    ppca = any_ppca()
    random = np.random.default_rng(1)
    x, z = random.normal(size=(6, 2, 2, 1)), random.normal(size=(6, 3))
    means, covariance = ppca.posterior(x)
    decoded = z @ ppca.W.T + ppca.mean.reshape(-1)
    log_joint = stats.norm.logpdf(x.reshape(-1, 4), decoded, np.sqrt(0.3)).sum(axis=1)
    log_joint += stats.norm.logpdf(z).sum(axis=1)
    for i in range(6):
        log_posterior = stats.multivariate_normal(means[i], covariance).logpdf(z[i])
        expected = log_joint[i] - ppca.log_likelihood(x)[i]
        assert log_posterior == pytest.approx(expected)


def test_samples_have_the_models_mean_and_covariance():
    ppca = any_ppca()
    x = ppca.sample(100_000, seed=0)
    assert x.shape == (100_000, 2, 2, 1)
    covariance = ppca.W @ ppca.W.T + 0.3 * np.eye(4)
    error = np.sqrt(np.diag(covariance) / len(x))
    assert np.all(np.abs(x.mean(0) - ppca.mean).reshape(-1) < 4 * error)
    np.testing.assert_allclose(np.cov(x.reshape(-1, 4).T), covariance, atol=0.15)
    np.testing.assert_array_equal(ppca.sample(3, seed=1), ppca.sample(3, seed=1))


def test_the_aggregate_posterior_of_the_fit_has_the_priors_covariance():
    """Means vary by 1 - sigma^2 / lambda_i over the data, and q adds sigma^2 / lambda_i."""
    x = spectrum(500)
    ppca = PPCA.fit(x, 2)
    means, covariance = ppca.posterior(x)
    np.testing.assert_allclose(means.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(means.T, bias=True) + covariance, np.eye(2), atol=1e-12)


def test_the_vae_of_the_closed_form_has_no_gap():
    x = spectrum().reshape(-1, 5, 1)
    ppca = PPCA.fit(x, 2)
    vae = ppca.to_vae()
    means, covariance = ppca.posterior(x)
    mean, log_var = vae.encode(x)
    np.testing.assert_allclose(mean, means, atol=1e-5)
    np.testing.assert_allclose(np.exp(log_var), np.tile(np.diag(covariance), (1000, 1)), rtol=1e-5)
    np.testing.assert_allclose(exact_elbo(vae, x), ppca.log_likelihood(x).mean(), rtol=1e-5)


def test_columns_that_are_not_orthogonal_cost_the_kl_to_the_diagonal():
    """KL(N(m, D) || N(m, S)) with D the inverse of S^-1's diagonal: log(|S| / |D|) / 2."""
    ppca = any_ppca()
    x = ppca.sample(20_000, seed=0)
    vae = ppca.to_vae(seed=0)
    vae.compile("sgd")
    elbo = vae.evaluate(x, batch_size=1000, return_dict=True, verbose=0)["elbo"]
    _, S = ppca.posterior(x)
    D = 1 / np.diag(np.linalg.inv(S))
    gap = 0.5 * (np.linalg.slogdet(S)[1] - np.log(D).sum())
    assert gap > 0.3
    assert elbo == pytest.approx(ppca.log_likelihood(x).mean() - gap, abs=0.06)


def test_gradient_descent_on_the_linear_vae_arrives_at_the_closed_form():
    x = spectrum()
    repeated = np.tile(x, (20, 1))  # An epoch has its price, however short it is.
    best = PPCA.fit(x, 2)
    likelihood = kg.likelihoods.Gaussian(learn_sigma=True)
    vae = kg.VAE(*kg.networks.linear_vae((5,), 2), likelihood, seed=0)
    decay = keras.optimizers.schedules.CosineDecay(0.03, 8 * 80)
    vae.compile(keras.optimizers.Adam(decay))
    vae.fit(repeated, batch_size=250, epochs=8, verbose=0)

    W, mean = vae.decoder.get_weights()
    sigma2 = float(np.exp(2 * ops.convert_to_numpy(likelihood.log_sigma)))
    assert sigma2 == pytest.approx(best.sigma2, rel=0.05)
    log_likelihood = best.log_likelihood(x).mean()
    learned = PPCA(W.T, sigma2, mean).log_likelihood(x).mean()
    assert log_likelihood - 0.03 < learned <= log_likelihood
    # And the bound is tight: the columns of W have turned orthogonal.
    elbo = vae.evaluate(repeated, batch_size=1000, return_dict=True, verbose=0)["elbo"]
    assert elbo == pytest.approx(log_likelihood, abs=0.05)


def test_equal_eigenvalues_leave_nothing_to_the_latents():
    x = np.concatenate([np.eye(3), -np.eye(3)])
    ppca = PPCA.fit(x, 2)
    np.testing.assert_allclose(ppca.W, 0, atol=1e-7)
    assert ppca.sigma2 == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "x, latent_dim, match",
    [
        (np.zeros(4), 1, "n at least 1"),
        (np.zeros((0, 4)), 1, "n at least 1"),
        (np.ones((5, 4)), 4, "less than 4"),
        (np.ones((5, 4)), 0, "at least 1"),
        (np.ones((5, 4)), 1, "vary along 1 directions or fewer"),
        (np.random.default_rng(0).normal(size=(3, 8)), 2, "Pass a smaller `latent_dim`"),
        (np.array([[0.0, np.nan], [1, 2]]), 1, "NaN"),
        (np.ma.masked_equal([[0.0, 9.0], [1.0, 2.0]], 9.0), 1, "masked values"),
        (np.ones((5, 4), object), 1, "type object. Pass"),
        (np.full((5, 4), "a"), 1, "type <U1"),
        (np.ones((5, 4), complex), 1, r"np.abs\(x\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, latent_dim, match):
    with pytest.raises(ValueError, match=match):
        PPCA.fit(x, latent_dim)


def test_streams_are_joined():
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    whole = PPCA.fit(x, 2)
    for stream in (lambda: kg.data.ArrayDataset(x, batch_size=16), lambda: iter([x[:20], x[20:]])):
        found = PPCA.fit(stream(), 2)
        assert found.sigma2 == whole.sigma2
        np.testing.assert_array_equal(found.log_likelihood(stream()), whole.log_likelihood(x))


def test_parameters_and_examples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="here 4"):
        PPCA(np.ones((3, 2)), 1.0, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`sigma2` is 0"):
        PPCA(np.ones((4, 2)), 0, np.zeros(4))
    with pytest.raises(ValueError, match=r"Pass \(n, 2, 2, 1\)"):
        any_ppca().log_likelihood(np.zeros((3, 4)))
    hidden = np.ma.masked_equal(np.zeros((3, 2, 2, 1)), 0)
    for use in (any_ppca().log_likelihood, any_ppca().posterior):
        with pytest.raises(ValueError, match="masked values"):
            use(hidden)
    with pytest.raises(ValueError, match="`seed` is 'a'"):
        any_ppca().sample(3, seed="a")
    with pytest.raises(ValueError, match="`num_samples` is 0"):
        any_ppca().sample(0)
