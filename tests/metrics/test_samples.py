import warnings

import numpy as np
import pytest

from keras_gen.data import ArrayDataset
from keras_gen.data.ordered import OrderedDataset
from keras_gen.metrics import frechet_distance, quality, samples

pytestmark = pytest.mark.once


def law(n, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, size=(n, 2, 2, 1))


class Halves:
    """Features of a classifier with two classes: is the first pixel positive?"""

    accuracy = 0.75

    def __call__(self, images):
        return images.reshape(len(images), -1)[:, :3]

    def probabilities(self, images):
        p = 1 / (1 + np.exp(-5 * images[:, 0, 0, 0]))
        return np.stack([p, 1 - p], axis=1)


def test_each_figure_is_a_mean_over_splits_and_samples_of_equal_size():
    real, fake = law(200), law(350, seed=1, shift=1.0)
    result = quality(real, fake, seed=3)
    assert (result.n_real, result.n_fake, result.draws) == (100, 100, 3)
    x, y = real.reshape(200, 4), fake.reshape(350, 4)
    random = np.random.default_rng(3)
    orders = [random.permutation(200) for _ in range(3)]
    found = [
        frechet_distance(x[order[:100]], y[100 * i : 100 * i + 100])
        for i, order in enumerate(orders)
    ]
    floors = [frechet_distance(x[order[:100]], x[order[100:]]) for order in orders]
    assert result.figures["frechet"] == pytest.approx((np.mean(found), np.std(found, ddof=1)))
    assert result.floors["frechet"] == pytest.approx((np.mean(floors), np.std(floors, ddof=1)))
    assert result["frechet_ratio"] == pytest.approx(np.mean(found) / np.mean(floors))
    # Means that differ by 1 in four pixels.
    assert result["frechet"] == pytest.approx(4, rel=0.2)


def test_samples_of_the_law_have_the_floors_and_others_do_not():
    real = law(800)
    same = quality(real, law(2000, seed=1))
    other = quality(real, law(2000, seed=1, shift=0.5))
    for name, (floor, sd) in same.floors.items():
        if name != "frechet_ratio":
            # Of five draws: the figures of one law differ by chance alone.
            assert abs(same[name] - floor) <= 5 * (sd + same.figures[name][1]) / 5**0.5, name
        higher = name in ("precision", "recall", "density", "coverage")
        assert (other[name] < same[name]) if higher else (other[name] > same[name]), name
    assert same["frechet_ratio"] == pytest.approx(1, abs=0.5)
    # |m|^2 = 4 * .5^2, and of unit normals E[x] along a direction moves by |m| cos.
    assert other["frechet"] == pytest.approx(1, rel=0.2)
    assert other["sliced_wasserstein"] == pytest.approx(0.5, rel=0.2)


def test_a_classifier_adds_what_it_is_sure_of_and_its_accuracy():
    result = quality(law(400), law(1000, seed=1), Halves(), metrics=("recall", "confident"))
    assert list(result.figures) == ["recall", "confident"]
    assert result["confident"] == pytest.approx(0.9, abs=0.05)
    assert result.provenance() == {
        **{"features": "Halves", "feature_accuracy": 0.75},
        **{"n_real": 200, "n_fake": 200, "draws": 5},
    }
    # Samples that lie between the classes.
    unsure = quality(law(400), 0.01 * law(1000, seed=1), Halves(), metrics="confident")
    assert unsure["confident"] == 0


def test_copies_of_training_images_are_counted():
    train, real = law(300), law(200, seed=1)
    result = quality(real, train[:100], train=train, metrics=("copies", "nearer"))
    assert (result["copies"], result["nearer"]) == (1, 1)
    assert result.floors["copies"][0] < 0.05 and 0.4 < result.floors["nearer"][0] < 0.6


def test_of_a_set_no_more_is_read_than_needed_and_training_images_in_parts(monkeypatch):
    class Counted(ArrayDataset):
        x = property(lambda self: pytest.fail("All images are read."))

        def __init__(self, x):
            self.all, self.read = x, []
            OrderedDataset.__init__(self, len(x), 10, True, 0, False)

        def examples(self, rows):
            self.read.append(np.arange(len(self.all))[rows])
            return self.all[rows]

    monkeypatch.setattr(samples, "PART", 120)
    train, real, fake = Counted(law(300)), Counted(law(200, seed=1)), law(30, seed=2)
    result = quality(real, fake, train=train, metrics=("frechet", "nearer"), seed=3)
    (rows,) = real.read
    assert len(np.unique(rows)) == 60 and result.n_real == 30
    assert [len(part) for part in train.read] == [120, 120, 60]
    of_arrays = quality(
        law(200, seed=1), fake, train=law(300), metrics=("frechet", "nearer"), seed=3
    )
    assert result.as_dict() == pytest.approx(of_arrays.as_dict(), nan_ok=True)


def test_the_table_and_the_numbers_for_a_file():
    result = quality(law(200), law(60, seed=1), metrics=("frechet", "recall"))
    assert (result.n_real, result.draws) == (60, 1)
    assert np.isnan(result.as_dict()["recall_sd"])
    assert set(result.as_dict()) == {
        f"{name}{end}"
        for name in ("frechet", "recall", "frechet_ratio")
        for end in ("", "_sd", "_floor")
    }
    lines = str(result).splitlines()
    assert lines[2].split()[:4] == [
        *("recall", f"{result['recall']:.4g}", "-", f"{result.floors['recall'][0]:.4g}")
    ]
    assert lines[-1] == "features pixels, n_real 60, n_fake 60, draws 1"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match=r"`fake` has shape \(19, 2, 2, 1\). Pass at least 20"):
        quality(law(40), law(19))
    broken = law(30)
    broken[3] = np.nan
    with pytest.raises(ValueError, match="`fake` holds NaN or infinite.*diverged"):
        quality(law(40), broken)
    with pytest.raises(ValueError, match="`metrics` is .*'fid'.*Pass some of frechet, kid"):
        quality(law(40), law(40), metrics=("fid",))
    with pytest.raises(ValueError, match="confident, copies cannot be measured.*`train=`"):
        quality(law(40), law(40), metrics=("recall", "confident", "copies"))
    with pytest.raises(ValueError, match="`real` is uint8 and `fake` float64. Pass both as floats"):
        quality((255 * law(40)).astype("uint8"), law(40))


@pytest.mark.parametrize("scale, shift", [(255.0, 0.0), (2.0, -1.0)])
def test_ranges_that_differ_are_told(scale, shift):
    x = 0.8 * np.random.default_rng(0).random((60, 2, 2, 1))
    with pytest.warns(UserWarning, match="The mean of `real` is 0.4.*`fake`.* in one range"):
        quality(x, scale * x + shift, metrics=("recall",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = np.random.default_rng(1).standard_normal(x.shape)
        quality(x, x + noise, metrics=("recall",))  # As a Gaussian's draws may be.
