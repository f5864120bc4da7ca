"""Private names of Keras that the library needs, except those of the engines, in one place."""

# Keras 3.15.1: a file holds the paths of classes that Keras does not export. Public paths for
# all of them would replace it.
SOURCE = "keras.src."


class BuiltByFit:
    """Mixin before `keras.Model`: `fit` has checked the data and built all, so Keras need not.

    It would call a GAN on data, or a model without its labels, and on several devices start a
    pass over the data.
    """

    # Keras 3.15.1: a public way to say that a model is built would replace both.
    def _symbolic_build(self, iterator=None, data_batch=None):
        pass

    _maybe_symbolic_build = _symbolic_build  # TensorFlow's trainer calls this one.


def all_layers(layer):
    """Return a list of `layer` and of all layers inside it, at any depth."""
    # Keras 3.15.1: `Model.layers` leaves out those inside a wrapper or inside a user's layer. A
    # public traversal would replace it.
    return list(layer._flatten_layers())


def replace_layer(model, name, layer):
    """Put another layer in the place of one of a model, which may be built."""
    # Keras 3.15.1: a replaced layer stays in `model.layers`, and what is built takes no other
    # layer. A public method that replaces a layer would replace it.
    tracker = model._tracker
    locked = tracker.locked
    tracker.unlock()
    tracker.untrack(getattr(model, name))
    setattr(model, name, layer)
    if locked:
        tracker.lock()


def variables_of(optimizer):
    """Return the variables that an optimizer was built for."""
    # Keras 3.15.1: a public `Optimizer.trainable_variables` would replace it.
    return optimizer._trainable_variables


def averages_of(optimizer):
    """Return the averages of an optimizer with `use_ema=True`, in the order of its variables."""
    # Keras 3.15.1: `optimizer.variables` holds them without saying which they are. A public list
    # would replace it.
    return optimizer._model_variables_moving_average


def start_fit_at(model, epoch):
    """Make the `fit` that has just begun start at an epoch; None leaves it to `fit`."""
    # Keras 3.15.1: BackupAndRestore sets it too. A public setter would replace it.
    model._initial_epoch = epoch
