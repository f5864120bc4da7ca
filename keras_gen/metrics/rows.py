"""Checks of features that all distances between two sets of them share."""

import numpy as np

from keras_gen.arguments import check_unmasked, host


def as_features(least=1, **arrays):
    """Return each array as float64 (n, d), all of one width; ValueError for anything else."""
    for name, value in arrays.items():
        check_unmasked(name, value)
    arrays = {name: np.asarray(host(value)) for name, value in arrays.items()}
    for name, value in arrays.items():
        if value.ndim != 2 or not value.size or not np.issubdtype(value.dtype, np.number):
            raise ValueError(
                f"`{name}` has shape {value.shape} and type {value.dtype}. Pass features, one row "
                f"of numbers for each example: (n, d). Images become such rows by "
                f"`x.reshape(len(x), -1)`."
            )
        if not np.isfinite(value).all():
            bad = np.count_nonzero(~np.isfinite(value).all(axis=1))
            raise ValueError(
                f"`{name}` holds NaN or infinite values in {bad} of {len(value)} rows. If they "
                f"come from a model, it diverged."
            )
        if len(value) < least:
            raise ValueError(f"`{name}` has {len(value)} rows. Pass at least {least}.")
    widths = {name: value.shape[1] for name, value in arrays.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"The rows have different widths: {widths}. Take both from the same features."
        )
    return [value.astype("float64") for value in arrays.values()]


def needs_sklearn():
    return ImportError(
        "Neighbours, k-means and mixtures need scikit-learn. Install it with `pip install "
        "scikit-learn`, or as the extra `keras_gen[metrics]`."
    )
