"""How sure a classifier of real images is about samples, and which classes it sees."""

import numpy as np


def confident_share(fake_probabilities, real_probabilities, share=0.9):
    """Measure how many samples a classifier is as sure of as it is of most real images.

    A sample is confident if its largest class probability exceeds the value that `share` of the
    held-out real images exceed. So real images have a confident share of `share`. It says nothing
    of variety: a generator with one perfect image has 1.

    Args:
        fake_probabilities: (n_fake, classes), such as `kg.features.Classifier.probabilities`
            gives, for samples.
        real_probabilities: (n_real, classes) for images that the classifier was not trained on.
        share: Share of the real images that are confident.

    Returns:
        A dictionary of `confident`; `threshold`, the value; `class_shares`, (classes,), how the
        samples are shared out among the predicted classes; `least_class` and `most_class`, the
        smallest and largest of these; `n_real` and `n_fake`.

    Example:

    ```python
    real, fake = np.random.default_rng(0).dirichlet(np.full(10, 0.1), size=(2, 1000))
    kg.metrics.confident_share(fake, real)["confident"]  # 0.9, give or take: the same law
    ```
    """
    fake, real = (np.asarray(p, "float64") for p in (fake_probabilities, real_probabilities))
    if fake.ndim != 2 or fake.shape[1:] != real.shape[1:] or not len(fake) or not len(real):
        raise ValueError(
            f"`fake_probabilities` has shape {fake.shape} and `real_probabilities` {real.shape}. "
            f"Pass (n, classes) for each, with the same classes and n at least 1."
        )
    if not 0 < share < 1:
        raise ValueError(f"`share` is {share}. Pass a number between 0 and 1, such as 0.9.")
    threshold = np.quantile(real.max(axis=1), 1 - share)
    class_shares = np.bincount(fake.argmax(axis=1), minlength=fake.shape[1]) / len(fake)
    return {
        "confident": float(np.mean(fake.max(axis=1) > threshold)),
        "threshold": float(threshold),
        "class_shares": class_shares,
        "least_class": float(class_shares.min()),
        "most_class": float(class_shares.max()),
        "n_real": len(real),
        "n_fake": len(fake),
    }
