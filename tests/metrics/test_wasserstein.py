import numpy as np
import pytest

from keras_gen.metrics import sliced_wasserstein

pytestmark = pytest.mark.once


def test_unequal_numbers_by_hand():
    # The quantile functions differ by 1 on (1/3, 1/2) and on (2/3, 1).
    assert sliced_wasserstein([[0], [1]], [[0], [1], [2]]) ** 2 == pytest.approx(1 / 2)
    # One direction of the plane: two points at a distance of 1, seen under every angle.
    assert sliced_wasserstein([[0, 0]], [[1, 0]], 20_000) ** 2 == pytest.approx(1 / 2, rel=0.03)


def test_rows_that_are_repeated_change_nothing():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(12, 3)), random.normal(size=(20, 3))
    expected = sliced_wasserstein(real, fake)
    assert sliced_wasserstein(np.repeat(real, 5, axis=0), fake) == pytest.approx(expected)
    # 60 of each: sorted, and compared one by one.
    both = np.repeat(real, 5, axis=0), np.repeat(fake, 3, axis=0)
    assert sliced_wasserstein(*both) == pytest.approx(expected)


def test_gaussians_in_closed_form():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(6000, 4)), 2 * random.normal(size=(4000, 4)) + [2, 0, 0, 0]
    # |m|^2 / d + (s - t)^2
    assert sliced_wasserstein(real, fake) ** 2 == pytest.approx(4 / 4 + 1, rel=0.07)
    assert sliced_wasserstein(real, random.normal(size=(6000, 4))) < 0.04
