"""--examples: training on fewer of them."""


class Rows:
    """Some of the examples of a source that is read from disk."""

    def __init__(self, source, rows):
        self.source, self.rows = source, rows

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, indices):
        return self.source.__getitems__([int(self.rows[i]) for i in indices])


def first(data, count):
    """Keep `count` examples of a training set, the first of its seeded order; None keeps all."""
    import numpy as np

    if count is None:
        return data
    if not hasattr(data, "num_examples"):
        raise ValueError(
            "--examples picks examples by number, and this set is read as a stream. Prepare it as "
            "array_record: docs/data.md."
        )
    if count > data.num_examples:
        raise ValueError(f"--examples {count}: the training set holds {data.num_examples}.")
    rows = np.random.default_rng((data.seed, 0)).permutation(data.num_examples)[:count]
    y = getattr(data, "y", None)
    # Of all examples: a class may be missing among the first.
    if y is not None and getattr(data, "num_classes", None) is None:
        data.num_classes = int(y.max()) + 1
    # Images of one's own stay where they are: their rows say which of them are the set.
    for name in ("rows", "y") if hasattr(data, "rows") else ("x", "y", "parts"):
        if getattr(data, name, None) is not None:
            setattr(data, name, getattr(data, name)[rows])
    if hasattr(data, "source"):
        data.source = Rows(data.source, rows)
    data.num_examples = count
    return data
