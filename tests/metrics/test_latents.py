import math
import tracemalloc

import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen.losses import divergences
from keras_gen.metrics import active_units, elbo_surgery, kl_per_latent, latents

# Three posteriors of one latent that overlap.
MEAN, LOG_VAR = np.array([[-1.0], [0.2], [1.5]]), np.log([[0.3], [0.5], [0.1]])


def integrated(mean, log_var):
    """I(i; z) and KL(q(z) || p(z)) of posteriors of one latent, on a grid."""
    z = np.linspace(-12, 12, 200_001)
    q_i = stats.norm.pdf(z, mean, np.exp(0.5 * log_var))  # (n, points)
    q = q_i.mean(axis=0)
    information = stats.entropy(q_i, q[None], axis=1).mean()
    # As densities, not normalised again: the grid is fine enough.
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(q > 0, q * (np.log(q) - stats.norm.logpdf(z)), 0)
    return information, distance.sum() * (z[1] - z[0])


def posteriors(n=40, latent_dim=3, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, latent_dim)), random.normal(size=(n, latent_dim)) - 1


def test_kl_per_latent_is_the_closed_form_and_sums_to_the_rate():
    mean, log_var = [[1.0, 0.0], [-2.0, 0.0]], [[math.log(4), 0.0], [math.log(0.25), 0.0]]
    # KL(N(mu, s^2) || N(0, 1)) = (mu^2 + s^2 - 1 - log s^2) / 2.
    by_hand = (1 + 4 - 1 - math.log(4)) / 2, (4 + 0.25 - 1 - math.log(0.25)) / 2
    np.testing.assert_allclose(kl_per_latent(mean, log_var), [np.mean(by_hand), 0])
    mean, log_var = (array.astype("float32") for array in posteriors())
    kl = divergences.kl_to_standard_normal(*map(ops.convert_to_tensor, (mean, log_var)))
    assert kl_per_latent(mean, log_var).sum() == pytest.approx(
        float(ops.convert_to_numpy(kl).mean()), rel=1e-5
    )


def test_a_unit_is_active_where_its_mean_varies_by_more_than_a_hundredth():
    signs = np.array([[1.0], [-1.0]])
    # Variances .0099, .0101, 1 and 0, around any centre.
    mean = 7 + signs * np.sqrt([0.0099, 0.0101, 1.0, 0.0])
    assert active_units(mean) == 2
    assert active_units(mean, threshold=0.0) == 3
    assert active_units(mean, threshold=1.5) == 0


def test_equal_posteriors_tell_nothing_about_the_example():
    mean, log_var = np.full((50, 2), 0.7), np.full((50, 2), -1.0)
    surgery = elbo_surgery(mean, log_var)
    rate = 2 * (0.7**2 + math.exp(-1) - 1 + 1) / 2
    assert surgery["rate"] == pytest.approx(rate)
    assert surgery["mutual_information"] == pytest.approx(0, abs=1e-12)
    assert surgery["aggregate_kl"] == pytest.approx(rate)
    assert surgery["standard_error"] == pytest.approx(0, abs=1e-12)


def test_separated_posteriors_identify_the_example():
    mean = 100.0 * np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(20, 2)
    surgery = elbo_surgery(mean, np.zeros((20, 2)))
    assert surgery["mutual_information"] == pytest.approx(math.log(20), abs=1e-12)
    assert surgery["standard_error"] == pytest.approx(0, abs=1e-12)


def test_half_of_the_examples_alike():
    """Two clouds of 3 and 5 equal posteriors: z tells the cloud, H(3/8) nats, and no more."""
    mean = np.repeat([[-50.0], [50.0]], [3, 5], axis=0)
    surgery = elbo_surgery(mean, np.zeros((8, 1)))
    assert surgery["mutual_information"] == pytest.approx(stats.entropy([3, 5]), abs=1e-12)


def test_both_parts_are_the_integrals():
    information, distance = integrated(MEAN, LOG_VAR)
    surgery = elbo_surgery(MEAN, LOG_VAR, num_samples=20_000)
    error = surgery["standard_error"]
    assert error < 0.004
    assert surgery["mutual_information"] == pytest.approx(information, abs=4 * error)
    assert surgery["aggregate_kl"] == pytest.approx(distance, abs=4 * error)
    # The identity of the two integrals, which the estimates have to the last digit.
    assert surgery["rate"] == pytest.approx(information + distance, abs=1e-8)
    total = surgery["mutual_information"] + surgery["aggregate_kl"]
    assert surgery["rate"] == pytest.approx(total, rel=1e-14)


def test_independent_latents_add_up():
    """Examples (i, j): one latent for i, one for j. Then both parts are sums over latents."""
    i, j = (index.reshape(-1) for index in np.indices((3, 3)))
    mean = np.concatenate([MEAN[i], 2 * MEAN[j]], axis=1)
    log_var = np.concatenate([LOG_VAR[i], LOG_VAR[j]], axis=1)
    parts = np.add(integrated(MEAN, LOG_VAR), integrated(2 * MEAN, LOG_VAR))
    surgery = elbo_surgery(mean, log_var, num_samples=5000)
    for name, expected in zip(("mutual_information", "aggregate_kl"), parts, strict=True):
        assert surgery[name] == pytest.approx(expected, abs=4 * surgery["standard_error"])


def test_an_aggregate_posterior_that_is_the_prior_leaves_all_rate_to_information():
    """Means of variance 3/4, posteriors of variance 1/4: I = log(1 / (1/4)) / 2 = log 2."""
    n = 4000
    mean = np.sqrt(0.75) * stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    surgery = elbo_surgery(mean, np.full((n, 1), math.log(0.25)))
    error = surgery["standard_error"]
    assert error < 0.01
    assert surgery["mutual_information"] == pytest.approx(math.log(2), abs=4 * error)
    assert surgery["aggregate_kl"] == pytest.approx(0, abs=4 * error)


def test_the_standard_error_is_the_spread_over_seeds():
    runs = [elbo_surgery(*posteriors(), num_samples=5, seed=seed) for seed in range(200)]
    spread = np.std([run["mutual_information"] for run in runs], ddof=1)
    # 200 runs know their spread to 5%.
    assert np.mean([run["standard_error"] for run in runs]) == pytest.approx(spread, rel=0.2)
    assert elbo_surgery(*posteriors(), seed=3) == elbo_surgery(*posteriors(), seed=3)


def test_the_mutual_information_never_leaves_its_bounds():
    for seed in range(20):
        mean, log_var = posteriors(seed=seed)
        for scale in (1e-3, 1.0, 30.0):
            information = elbo_surgery(scale * mean, log_var)["mutual_information"]
            assert 0 <= information <= math.log(40) + 1e-12


def test_memory_does_not_grow_with_the_square_of_the_examples(monkeypatch):
    mean, log_var = posteriors(n=1500)
    whole = elbo_surgery(mean, log_var)
    monkeypatch.setattr(latents, "CHUNK", 2**15)
    tracemalloc.start()
    try:
        chunked = elbo_surgery(mean, log_var)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert chunked == pytest.approx(whole, rel=1e-12)
    assert peak < 2e6  # n^2 numbers are 18e6 bytes.


@pytest.mark.parametrize(
    "mean, log_var, match",
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), r"`log_var` \(4, 3\)"),
        (np.zeros(4), np.zeros(4), "n, latent_dim"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "n at least 1"),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), "diverged"),
        (np.zeros((4, 2)), np.full((4, 2), -np.inf), "diverged"),
    ],
)
def test_what_are_no_posteriors_is_refused(mean, log_var, match):
    for measure in (kl_per_latent, elbo_surgery):
        with pytest.raises(ValueError, match=match):
            measure(mean, log_var)


def test_one_draw_has_no_standard_error():
    with pytest.raises(ValueError, match="`num_samples` is 1. Pass an integer, at least 2"):
        elbo_surgery(MEAN, LOG_VAR, num_samples=1)


def test_a_pair_of_arrays_is_no_mean():
    mean, log_var = posteriors()
    for pair in ((mean, log_var), [mean, log_var]):
        with pytest.raises(ValueError, match="`mean` is a pair of arrays"):
            active_units(pair)
    assert active_units(list(mean)) == active_units(mean) == 3
