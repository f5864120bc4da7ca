import keras
import numpy as np

from keras_gen import backend, settings
from keras_gen.arguments import check_integer


def predict(
    network, inputs, batch_size=128, finish=lambda outputs: outputs, next_to=(), compare=True
):
    """Return the outputs of a Keras model for NumPy arrays, in compiled calls of one size.

    `network.predict` itself draws from the global generator on PyTorch: a picture drawn while
    training would change the order of the data. `finish` is applied to the outputs of each batch,
    and to the same rows of the arrays `next_to`, so that large outputs never exist for all.
    `compare=False` is for later calls of one use, which leave out `use_changes(network)`.
    """
    batch_size = check_integer("batch_size", batch_size)
    if compare:
        use_changes(network)
    n = len(keras.tree.flatten(inputs)[0])
    outputs = []
    for start in range(0, n, batch_size):
        batch = backend.predict_on_batch(network, filled_batch(inputs, start, batch_size))
        # Under `tf.distribute` each replica computes the whole batch, and Keras joins all outputs.
        batch = keras.tree.map_structure(lambda a: a[:batch_size], batch)
        outputs.append(finish(batch, *filled_batch(list(next_to), start, batch_size)))
    return keras.tree.map_structure(lambda *batches: np.concatenate(batches)[:n], *outputs)


def use_changes(network):
    """Let the next prediction use what has changed in a network's configs since the last."""
    if settings.has_changed(network, "predict"):
        network.predict_function = None


def filled_batch(inputs, start, batch_size):
    """Return a batch filled up by repetition: every other size would be compiled once more."""
    return keras.tree.map_structure(
        lambda a: np.resize(a[start : start + batch_size], (batch_size, *a.shape[1:])), inputs
    )
