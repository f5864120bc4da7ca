"""p(c) of sequences of codes: a density, causal, and drawn from as it says."""

import itertools

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.helpers import numpy

K, LENGTH, CLASSES = 3, 3, 2
SEQUENCES = np.array(list(itertools.product(range(K), repeat=LENGTH)), "int32")


@pytest.fixture(scope="module", params=[None, CLASSES], ids=["plain", "labels"])
def prior(request):
    keras.utils.set_random_seed(0)
    sizes = {"width": 8, "depth": 2, "heads": 2, "num_classes": request.param}
    prior = kg.priors.CodePrior(kg.networks.code_transformer(K, LENGTH, **sizes))
    random = np.random.default_rng(0)  # As if trained: far from equal probabilities.
    prior.set_weights([w + 0.5 * random.standard_normal(w.shape) for w in prior.get_weights()])
    return prior


def labels(prior, n, y=1):
    return np.full(n, y, "int32") if prior.takes_labels else None


def log_factors(prior, y, temperature=1.0):
    """log p(c_i | c_1, ..., c_{i-1}) of all sequences, NumPy (27, 3), by the logits alone."""
    logits = numpy(prior(SEQUENCES, y)).astype("float64") / temperature
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return np.take_along_axis(log_p, SEQUENCES[..., None], axis=-1)[..., 0]


def test_the_probabilities_of_all_sequences_add_up_to_1(prior):
    for y in range(CLASSES):
        y = labels(prior, 27, y)
        log_p = numpy(prior.log_prob(SEQUENCES, y))
        np.testing.assert_allclose(log_p, log_factors(prior, y).sum(axis=1), rtol=1e-5, atol=1e-5)
        assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
        assert np.exp(log_p).max() > 3 / 27
    if prior.takes_labels:
        other = numpy(prior.log_prob(SEQUENCES, labels(prior, 27, 0)))
        assert np.abs(log_p - other).max() > 0.1


def test_a_later_code_changes_no_earlier_logits(prior):
    y = labels(prior, 27)
    logits = numpy(prior(SEQUENCES, y))
    for i in range(LENGTH):
        changed = SEQUENCES.copy()
        changed[:, i] = (changed[:, i] + 1) % K
        moved = np.abs(numpy(prior(changed, y)) - logits).max(axis=(0, 2))
        assert moved[: i + 1].max() < 1e-6
        assert np.all(moved[i + 1 :] > 1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_are_as_frequent_as_they_are_probable(prior, temperature):
    n = 4_000
    y = labels(prior, n)
    draws = prior.sample(n, y, temperature, seed=0, batch_size=n)
    assert draws.shape == (n, LENGTH) and draws.dtype == np.int32
    p = np.exp(log_factors(prior, labels(prior, 27), temperature).sum(axis=1))
    counts = np.bincount(draws @ [K**2, K, 1], minlength=27)
    # 4.5 standard errors of each of 27 numbers, and 6 where few are expected.
    assert np.all(np.abs(counts - n * p) < 4.5 * np.sqrt(n * p * (1 - p)) + 6)


def test_a_seed_gives_the_same_draws_whatever_the_batches_are(prior):
    y = labels(prior, 10)
    draws = [prior.sample(10, y, seed=3, batch_size=size) for size in (3, 10)]
    np.testing.assert_array_equal(*draws)
    assert not np.array_equal(draws[0], prior.sample(10, y, seed=4, batch_size=10))


def test_a_config_makes_the_same_prior(prior):
    config = keras.saving.serialize_keras_object(prior)
    twin = keras.saving.deserialize_keras_object(config)
    twin.set_weights(prior.get_weights())
    y = labels(prior, 27)
    np.testing.assert_array_equal(*(numpy(p.log_prob(SEQUENCES, y)) for p in (prior, twin)))


def test_what_is_no_network_of_codes_is_refused():
    with pytest.raises(ValueError, match=r"from codes \(None, length\) to logits"):
        kg.priors.CodePrior(kg.networks.mlp_vae((8, 8, 1), 3)[0])
    with pytest.raises(ValueError, match="`network` is a int"):
        kg.priors.CodePrior(5)
    with pytest.raises(ValueError, match="Pass a multiple of `heads`, 4"):
        kg.networks.code_transformer(5, 4, width=6)
    prior = kg.priors.CodePrior(kg.networks.code_transformer(2, 1, width=4, depth=1, heads=2))
    with pytest.raises(ValueError, match="`temperature` is 0"):
        prior.sample(2, temperature=0)


def test_labels_that_are_not_the_networks_are_refused(prior):
    given = 1 if prior.takes_labels else None
    with pytest.raises(ValueError, match="needs labels. Pass|has no labels. Leave `y` out"):
        prior.sample(2, y=None if prior.takes_labels else 1)
    if prior.takes_labels:
        np.testing.assert_array_equal(prior.sample(3, 1, seed=0), prior.sample(3, [1] * 3, seed=0))
        with pytest.raises(ValueError, match=r"`y` has shape \(2,\) and type int64. Pass integers"):
            prior.sample(4, y=np.array([0, 1]))
        assert prior.num_classes == CLASSES
    else:
        assert prior.num_classes is None and prior.sample(2, y=given).shape == (2, LENGTH)
