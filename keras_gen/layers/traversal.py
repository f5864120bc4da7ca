"""List the layers inside a layer."""


def all_layers(layer):
    """Return a list of `layer` and of all layers inside it, at any depth."""
    # Keras 3.15.1: `Model.layers` leaves out those inside a wrapper or inside a user's layer.
    return list(layer._flatten_layers())
