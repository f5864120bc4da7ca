import numpy as np
import pytest

from keras_gen import metrics

pytestmark = pytest.mark.once

X = np.random.default_rng(0).normal(size=(8, 3))
PAIRS = (
    *(metrics.frechet_distance, metrics.kernel_distance, metrics.mmd, metrics.sliced_wasserstein),
    *(metrics.precision_recall, metrics.density_coverage, metrics.ndb),
)


@pytest.mark.parametrize("metric", PAIRS)
def test_bad_features_are_refused(metric):
    with pytest.raises(ValueError, match=r"`fake` has shape \(8, 2, 2, 1\).*x.reshape"):
        metric(X, np.ones((8, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"widths: {'real': 3, 'fake': 2}"):
        metric(X, X[:, :2])
    broken = X.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="`fake` holds NaN or infinite values in 1 of 8 rows"):
        metric(X, broken)
    with pytest.raises(ValueError, match="`real` has shape"):
        metric(X[:0], X)
    with pytest.raises(ValueError, match="`real` holds no real numbers but type <U1"):
        metric(np.array([["a"]]), X)
    with pytest.raises(ValueError, match=r'`fake` holds .*`np.asarray\(fake, "float32"\)`'):
        metric(X, X.astype(object))
    with pytest.raises(ValueError, match="`fake` has masked values"):
        metric(X, np.ma.masked_greater(X, 0))


def test_too_few_rows_are_refused():
    for metric, least in (
        (metrics.frechet_distance, 2),
        (metrics.kernel_distance, 3),
        (metrics.mmd, 3),
        (metrics.precision_recall, 4),
    ):
        with pytest.raises(ValueError, match=f"`fake` has {least - 1} rows. Pass at least {least}"):
            metric(X, X[: least - 1])
    with pytest.raises(ValueError, match="`real` has 5 rows. Pass at least 6"):
        metrics.density_coverage(X[:5], X)
    with pytest.raises(ValueError, match="`real` has 8 rows. Pass at least 100"):
        metrics.ndb(X, X)
    with pytest.raises(ValueError, match="`k` is 0. Pass an integer, at least 1"):
        metrics.precision_recall(X, X, k=0)


def test_float32_and_integers_are_computed_in_float64():
    far = (X + 1000).astype("float32")
    for metric in PAIRS[:-1]:
        expected = metric(far.astype("float64"), far[:7].astype("float64"))
        assert metric(far, far[:7]) == pytest.approx(expected, rel=1e-12)
    assert metrics.frechet_distance([[0], [2]], [[1], [3]]) == pytest.approx(1)


def test_numbers_of_pandas_that_may_be_missing_are_features():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X).astype("Float64")
    expected = metrics.frechet_distance(X, X + 1)
    assert metrics.frechet_distance(table, X + 1) == pytest.approx(expected, rel=1e-12)
    twice, fake = pd.concat([table] * 6), np.tile(X, (6, 1)) + 1
    assert metrics.quality(twice, fake, metrics=("frechet",))["frechet"] == pytest.approx(
        metrics.quality(np.tile(X, (6, 1)), fake, metrics=("frechet",))["frechet"]
    )
    table.iloc[0, 0] = pd.NA
    with pytest.raises(ValueError, match="`real` holds NaN or infinite values in 1 of 8 rows"):
        metrics.frechet_distance(table, X)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    for module in ("sklearn.neighbors", "sklearn.metrics", "sklearn.cluster"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    for metric in (metrics.precision_recall, metrics.density_coverage, metrics.ndb):
        with pytest.raises(ImportError, match=r"keras_gen\[metrics\]"):
            metric(X, X)
