"""Which of Keras's optimizers a fused kernel can stand for, and where their state is."""

import keras


def is_plain(optimizer, variables):
    """Return whether an update is Adam's of the paper and nothing more.

    Clipping, weight decay, averages, accumulation and constraints are left to Keras.
    """
    return (
        _is_keras_s(type(optimizer))
        and optimizer.built
        and not any(
            getattr(optimizer, name)
            for name in (
                *("amsgrad", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm"),
                *("use_ema", "gradient_accumulation_steps", "loss_scale_factor"),
            )
        )
        # A method that somebody has replaced on the instance.
        and not any(callable(getattr(type(optimizer), name, None)) for name in vars(optimizer))
        and all(variable.constraint is None for variable in variables)
    )


def _is_keras_s(kind):
    # On torch `keras.optimizers.Adam()` is of a subclass of Keras's own, with the same name.
    # Keras 3.15.1: its module is private. A public name of that subclass would replace it.
    of_keras = kind.__module__.startswith("keras.src.")
    return issubclass(kind, keras.optimizers.Adam) and kind.__name__ == "Adam" and of_keras


def moments(optimizer, variables):
    """Return the lists of m and v of the variables, Keras variables."""
    # Keras 3.15.1: `optimizer.variables` holds them too, without saying which is whose. A public
    # way from a variable to its state would replace these four.
    optimizer._check_variables_are_known(variables)
    # Keras 3.15.1: as above, until replaced.
    places = [optimizer._get_variable_index(variable) for variable in variables]
    m, v = optimizer._momentums, optimizer._velocities  # Keras 3.15.1: as above, until replaced.
    return [m[place] for place in places], [v[place] for place in places]
