import keras
import numpy as np

from keras_gen import backend, configs


def predict(network, inputs, batch_size=128, finish=lambda outputs: outputs):
    """Return the outputs of a Keras model for NumPy arrays, in compiled calls of one size.

    `network.predict` itself draws from the global generator on PyTorch: a picture drawn while
    training would change the order of the data. `finish` is applied to the outputs of each batch,
    so that large outputs never exist for all.
    """
    if configs.has_changed(network, "predict"):
        network.predict_function = None
    n = len(keras.tree.flatten(inputs)[0])
    outputs = []
    for start in range(0, n, batch_size):
        batch = backend.predict_on_batch(network, filled_batch(inputs, start, batch_size))
        # Under `tf.distribute` each replica computes the whole batch, and Keras joins all outputs.
        outputs.append(finish(keras.tree.map_structure(lambda a: a[:batch_size], batch)))
    return keras.tree.map_structure(lambda *batches: np.concatenate(batches)[:n], *outputs)


def filled_batch(inputs, start, batch_size):
    """Return a batch filled up by repetition: every other size would be compiled once more."""
    return keras.tree.map_structure(
        lambda a: np.resize(a[start : start + batch_size], (batch_size, *a.shape[1:])), inputs
    )
