"""What several devices are to do as one does. Run as a program, it writes what it found.

`test_distribution.py` starts it, once for each backend, in every process there is, as imports take
longer than all of it.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import keras_gen as kg
from keras_gen.backend import mean_over_replicas
from tests.faults import devices as training


class Draws(kg.VAE):
    """Logs how much of their variance is left of noise and dropout in a mean over devices."""

    logged = (*kg.VAE.logged, "noise_left", "dropout_left")

    def objective(self, x, sample_weight, y=None, *, training=True):
        noise = self.sampling.normal((4, 1000))
        masks = self.encoder.get_layer("dropout")(ops.ones((4, 1000)), training=True)
        loss, terms = super().objective(x, sample_weight, y, training=training)
        return loss, {**terms, "noise_left": _left(noise), "dropout_left": _left(masks)}


def _left(drawn):
    return ops.var(mean_over_replicas(drawn)) / ops.var(drawn)


def draws():
    keras.utils.set_random_seed(3)
    x = keras.Input(training.IMAGE_SHAPE)
    h = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten()(x))
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(training.IMAGE_SHAPE, 3, hidden=(6,))
    model = Draws(encoder, decoder, seed=1)
    model.compile(keras.optimizers.SGD(0.01))
    history = model.fit(kg.data.ArrayDataset(training.images(), batch_size=8), verbose=0).history
    return {name: history[name][0] for name in ("loss", "noise_left", "dropout_left")}


def bad_part():
    """A NaN in the part of the last device: the updates left out, and how far weights moved."""
    model = training.vae()
    data = kg.data.ArrayDataset(training.images(8), batch_size=8, shuffle=False)
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    spoil = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: data.x[6].fill(np.nan))
    model.fit(data, verbose=0, callbacks=[spoil])
    moved = max(_apart(a, b) for a, b in zip(before, model.trainable_weights, strict=True))
    return int(ops.convert_to_numpy(model.skipped_updates)[0]), moved


def adaptive():
    """The p of an augmentation on each device, after three steps of 8 of 100 images.

    Every image of the first device has an output above 0, and every one of the second below: r is
    0 among both, above the target, and on the second alone it is -1, below.
    """
    x = keras.Input(training.IMAGE_SHAPE)
    h = keras.layers.GlobalAveragePooling2D()(x)
    judge = keras.layers.Dense(
        1, kernel_initializer="ones", bias_initializer=keras.initializers.Constant(-0.5)
    )
    generator, _ = kg.networks.mlp_gan(training.IMAGE_SHAPE, 2, (4,), (4,))
    augment = kg.augment.Adaptive(target=-0.5, transforms="flip", ramp_images=100)
    gan = kg.GAN(generator, keras.Model(x, judge(h)), latent_dim=2, augment=augment, seed=1)
    gan.compile(keras.optimizers.SGD(1e-6), keras.optimizers.SGD(1e-6))
    images = np.zeros((24, *training.IMAGE_SHAPE), "float32")
    images[np.arange(24) % 8 < 4] = 1.0
    gan.fit(kg.data.ArrayDataset(images, batch_size=8, shuffle=False), verbose=0)
    p = gan.augment.p.value
    copies = {
        "tensorflow": lambda: p.values,
        "jax": lambda: [shard.data for shard in p.addressable_shards],
        "torch": lambda: [p],
    }[keras.config.backend()]()
    return [float(ops.convert_to_numpy(copy)) for copy in copies]


def refusals():
    """The first words of each error, or None."""

    def refused(call):
        try:
            call()
        except ValueError as error:
            return str(error)

    x, model, codes = training.images(), training.vae(), training.vqvae()
    sgd = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    return {
        "odd batch": refused(lambda: model.fit(kg.data.ArrayDataset(x, batch_size=7))),
        "odd rest": refused(lambda: model.fit(kg.data.ArrayDataset(x[:19], batch_size=8))),
        "arrays": refused(lambda: model.fit(x, batch_size=8, verbose=0)),
        "predict": refused(lambda: model.predict(x, verbose=0)),
        "jit_compile": refused(lambda: model.compile("sgd", jit_compile=True)),
        "fit_prior": refused(lambda: codes.fit_prior(x, verbose=0)),
        "gradient_accumulation": refused(lambda: model.compile(sgd)),
    }


def uses(vae, folder, devices):
    """A trained model at work; what comes of it."""
    path = folder / f"{devices.process}.keras"
    keras.Model.save(vae, path)  # Not the model's own: here each process has a file.
    loaded = keras.saving.load_model(path)
    x = training.images(6)
    reconstructions = vae.reconstruct(x, batch_size=2)
    in_processes = devices.processes > 1 and keras.config.backend() == "jax"
    predict = vae.predict_on_batch if in_processes else vae.predict
    predictions = predict(x)
    found = {
        "loaded": _apart(loaded.reconstruct(x), reconstructions),
        "predict": _apart(predictions, reconstructions),
        "sample": vae.sample(5).shape,
        "log_likelihood": loaded.log_likelihood(x, num_samples=4, verbose=0).shape,
    }
    # A batch holds 2 examples for each of 2 devices, and 1 of 5 is left out.
    data = kg.data.ArrayDataset(training.images(5), batch_size=4)
    data.multiple_of = devices.count
    found["steps"] = [len(data), float(loaded.fit(data, verbose=0).history["loss"][0])]
    return path, reconstructions, found


def _apart(a, b):
    return float(np.abs(a - ops.convert_to_numpy(b)).max())


def main(folder, *models):
    folder = pathlib.Path(folder)
    builders = {name: training.MODELS[name] for name in models}
    with kg.distribution.data_parallel() as devices:
        pictures = folder / "pictures"
        together = {name: training.train(b, pictures) for name, b in builders.items()}
        path, reconstructions, used = uses(together["vae"][0], folder, devices)
        found = {
            "devices": devices.count,
            "uses": used,
            "draws": draws(),
            "bad_part": bad_part(),
            "adaptive": adaptive(),
            "refusals": refusals(),
        }
    if keras.config.backend() == "jax":
        found["draws_alone"] = draws()
    alone = {name: training.train(build) for name, build in builders.items()}
    for name in alone:
        found[name] = training.differences(together[name], alone[name])
    # Elsewhere, and after: the file on one device.
    x = training.images(6)
    found["uses"]["file"] = _apart(keras.saving.load_model(path).reconstruct(x), reconstructions)
    found["uses"]["after"] = _apart(together["vae"][0].reconstruct(x), reconstructions)
    (folder / f"{devices.process}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
