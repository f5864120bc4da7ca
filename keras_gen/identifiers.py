"""Objects from their names, as Keras makes an optimizer from "adam"."""

import re


def resolve(identifier, base, kinds, subject, example, **kwargs):
    """Return an object of the class `base` as it is, or make one from the name of its class.

    The name of `LeastSquares` is "least_squares". `subject` and `example` are parts of the error,
    `kwargs` the arguments of an object that is made.
    """
    named = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in kinds}
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, str) and identifier in named:
        return named[identifier](**kwargs)
    raise ValueError(
        f"{subject} is {identifier!r}. Pass a {example}, or one of the names "
        f"{', '.join(map(repr, named))}."
    )
