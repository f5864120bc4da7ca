"""The share of samples that a classifier is as sure of as of most real images."""

import numpy as np
import pytest

from keras_gen import metrics

pytestmark = pytest.mark.once


def sure(top, classes):
    """Probabilities of two classes, the largest ones `top` at `classes`."""
    p = np.empty((len(top), 2))
    p[np.arange(len(top)), classes] = top
    p[np.arange(len(top)), 1 - np.asarray(classes)] = 1 - np.asarray(top)
    return p


def test_samples_are_held_to_the_tenth_least_sure_of_the_real_images():
    real = sure(np.linspace(0.6, 0.99, 11), [0] * 11)  # The tenth from below is .639.
    fake = sure([0.638, 0.64, 0.95, 0.55], [0, 1, 1, 1])
    found = metrics.confident_share(fake, real)
    assert found["threshold"] == pytest.approx(0.639)
    assert found["confident"] == 0.5
    np.testing.assert_array_equal(found["class_shares"], [0.25, 0.75])
    assert (found["least_class"], found["most_class"]) == (0.25, 0.75)
    assert (found["n_real"], found["n_fake"]) == (11, 4)


def test_real_images_have_the_share_that_is_named():
    real = np.random.default_rng(0).dirichlet(np.full(10, 0.1), size=2000)
    assert metrics.confident_share(real, real)["confident"] == pytest.approx(0.9)
    assert metrics.confident_share(real, real, share=0.5)["confident"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "fake, share", [(np.ones((4, 3)), 0.9), (np.ones(4), 0.9), (np.ones((4, 2)), 1.0)]
)
def test_what_does_not_fit_is_refused(fake, share):
    with pytest.raises(ValueError, match="Pass"):
        metrics.confident_share(fake, np.ones((5, 2)) / 2, share)
