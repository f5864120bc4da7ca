"""The parts of training that `keras_gen.accelerate` replaces by faster ones of the same result."""

PARTS = ("apply", "program", "compiled", "callbacks")


def apply(optimizer, gradients, variables):
    """Make an optimizer's update, as Keras does."""
    optimizer.apply(gradients, variables)


def program(model, step, training):
    """Return `step`, a bound method; `accelerate` returns a program if the model is compiled."""
    return step


def compiled(model):
    """Do nothing to a model that has just been compiled."""


def callbacks(model, method, arguments):
    """Return the callbacks that `method`, "fit" or "evaluate", was called with."""
    return arguments.get("callbacks")


def use(**faster):
    """Replace parts by name; `keras_gen.accelerate` does so when it is imported.

    Raises:
        ValueError: If a name is not in `PARTS`.
    """
    for name, part in faster.items():
        if name not in PARTS:
            raise ValueError(f"There is no part {name!r}. Pass {', '.join(PARTS)}.")
        globals()[name] = part
