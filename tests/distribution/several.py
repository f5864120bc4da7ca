"""Trains on several devices, then on one, and prints what is found as one line of JSON.

Run as a program, in every process there is, once for each backend: `launch.py` starts it.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import keras_gen as kg
from keras_gen.backend import replicas
from tests.models import tiny

BATCH, EXAMPLES = 8, 24
NOISE = np.random.default_rng(9).standard_normal((BATCH, 8)).astype("float32")
UNIFORM = np.random.default_rng(9).random((BATCH, 8), dtype="float32")


def vae():
    """With a regulariser, and free bits, which are compared with a mean over the batch."""
    x = keras.Input(tiny.IMAGE_SHAPE)
    h = keras.layers.Flatten()(x)
    h = keras.layers.Dense(6, activation="relu", kernel_regularizer="l2")(h)
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    return kg.VAE(encoder, decoder, free_bits=0.05, seed=1)


def gan():
    """Batch norm in both players, under a penalty; layers that compare a batch's examples."""
    z = keras.Input((2,))
    h = kg.layers.BatchNormalization()(keras.layers.Dense(6)(z))
    generator = keras.Model(z, keras.layers.Dense(8)(keras.layers.ReLU()(h)))
    x = keras.Input((8,))
    h = kg.layers.BatchNormalization()(keras.layers.Dense(6)(x))
    h = kg.layers.MinibatchStdDev()(keras.layers.LeakyReLU(0.2)(h))
    h = kg.layers.MinibatchDiscrimination(3, 2)(h)
    discriminator = keras.Model(x, keras.layers.Dense(1)(h))
    penalties = [kg.losses.GradientPenalty(0.5)]
    return kg.GAN(generator, discriminator, 2, penalties=penalties, d_steps=2, seed=1)


def give_noise(model):
    """Every stream gives the rows of one array, each replica those of its examples."""
    streams = (
        [model.noise, model.evaluation_noise]
        if isinstance(model, kg.GAN)
        else [model.sampling, model.evaluation_sampling]
    )
    for stream in streams:
        stream.normal = rows_of(NOISE)
        stream.uniform = rows_of(UNIFORM)


def rows_of(array):
    def draw(shape):
        start = replicas.replica() * shape[0]
        columns = ops.convert_to_tensor(array[:, : int(np.prod(shape[1:]))])
        return ops.reshape(ops.slice(columns, (start, 0), (shape[0], columns.shape[1])), shape)

    return draw


def train(build, noise_is_given, optimizer=tiny.sgd):
    """Two epochs: the logs and the weights that they end with."""
    keras.utils.set_random_seed(3)
    model = build()
    if noise_is_given:
        give_noise(model)
    tiny.compile_model(model, optimizer)
    x = tiny.examples(model, EXAMPLES)
    data = kg.data.ArrayDataset(x, batch_size=BATCH, seed=4)
    held_out = kg.data.ArrayDataset(x[::-1], batch_size=BATCH, shuffle=False)
    history = model.fit(data, validation_data=held_out, epochs=2, verbose=0).history
    logs = {name: values[-1] for name, values in history.items()}
    logs.update(model.evaluate(held_out, return_dict=True, verbose=0))
    return logs, [np.array(ops.convert_to_numpy(w)) for w in model.weights]


def difference(one, other):
    """The greatest, of logs and of weights."""
    (logs, weights), (other_logs, other_weights) = one, other
    assert logs.keys() == other_logs.keys()
    return {
        "logs": max(abs(logs[name] - other_logs[name]) for name in logs),
        "weights": max(
            float(np.abs(a - b).max()) for a, b in zip(weights, other_weights, strict=True)
        ),
    }


class Draws(kg.VAE):
    """Logs how far apart two halves of a batch, alike, are in noise and in dropout."""

    logged = (*kg.VAE.logged, "noise_apart", "dropout_apart")

    def objective(self, x, sample_weight, y=None, *, training=True):
        noise = self.sampling.normal((4, 1000))
        masks = self.encoder.get_layer("dropout")(ops.ones((4, 1000)), training=True)
        loss, terms = super().objective(x, sample_weight, y, training=training)
        return loss, {**terms, "noise_apart": _apart(noise), "dropout_apart": _apart(masks)}


def _apart(mine):
    """The variance over all that the replicas drew of the mean over a place: 1 / their number."""
    mean = replicas.mean_over_replicas(mine)
    return ops.mean(ops.square(mean - ops.mean(mean))) / ops.mean(ops.square(mine - ops.mean(mine)))


def draws():
    keras.utils.set_random_seed(3)
    x = keras.Input(tiny.IMAGE_SHAPE)
    h = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten()(x))
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    model = Draws(encoder, decoder, seed=1)
    model.compile(tiny.sgd())
    data = kg.data.ArrayDataset(tiny.images(EXAMPLES), batch_size=BATCH)
    history = model.fit(data, epochs=1, verbose=0).history
    return {name: history[name][0] for name in ("noise_apart", "dropout_apart")}


def main(folder):
    found = {}
    with kg.distribution.data_parallel() as devices:
        found["devices"] = devices.count
        together = {build.__name__: train(build, True) for build in (vae, gan)}
        found["apart"] = draws()
    alone = {build.__name__: train(build, True) for build in (vae, gan)}
    for name in together:
        found[name] = difference(together[name], alone[name])
    (folder / f"{devices.process}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
