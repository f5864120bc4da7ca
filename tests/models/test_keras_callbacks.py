"""Keras's callbacks on the models: directions of logs, two learning rates, names of files."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.models.monitors import DIRECTIONS
from tests.helpers import every_mode, numpy
from tests.models import tiny

ROWS = np.random.default_rng(0).random((8, 8), dtype="float32")


class Steps(keras.callbacks.Callback):
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


def compiled_vae(**kwargs):
    vae = tiny.vae(**kwargs)
    vae.compile(tiny.sgd())
    return vae


def compiled_gan(generator_rate=0.5, discriminator_rate=0.25, **kwargs):
    gan = kg.GAN(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2, seed=1)
    generator, discriminator = (
        keras.optimizers.Adam(rate, **kwargs) for rate in (generator_rate, discriminator_rate)
    )
    gan.compile(generator, discriminator)
    return gan


def rates(gan):
    return [float(numpy(player.learning_rate)) for player in gan.optimizer.optimizers]


def check_refused_before_training(model, x, callback, words):
    steps = Steps()
    with pytest.raises(ValueError, match=words):
        model.fit(x, verbose=0, callbacks=[callback, steps])
    assert not steps.count


def test_a_plateau_lowers_both_rates_of_a_gan():
    gan = compiled_gan()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)
    logs = gan.fit(ROWS, epochs=3, verbose=0, callbacks=[plateau]).history
    assert logs["learning_rate_generator"] == logs["learning_rate"] == [0.5, 0.5, 0.25]
    assert logs["learning_rate_discriminator"] == [0.25, 0.25, 0.125]
    assert rates(gan) == [0.125, 0.0625]
    assert 0.0 not in np.concatenate([v for k, v in logs.items() if "rate" in k])
    assert float(numpy(gan.optimizer.learning_rate)) == 0.125


def test_a_scheduler_scales_both_rates_or_is_refused():
    gan = compiled_gan()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    gan.fit(ROWS, epochs=2, verbose=0, callbacks=[scheduler])
    assert rates(gan) == [0.125, 0.0625]
    absolute = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    check_refused_before_training(gan, ROWS, absolute, "lambda epoch, rate: 0.95 . rate")
    same = compiled_gan(0.5, 0.5)
    same.fit(ROWS, verbose=0, callbacks=[absolute])
    np.testing.assert_allclose(rates(same), [0.1, 0.1])


def test_swapped_averages_are_those_of_the_validation():
    gan = compiled_gan(use_ema=True, ema_momentum=0.9)
    gan.fit(ROWS, epochs=3, verbose=0)
    raw = [numpy(weight) for weight in gan.generator.weights]
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append([numpy(weight) for weight in gan.generator.weights])

    gan.evaluate(ROWS, verbose=0, callbacks=[Look(), keras.callbacks.SwapEMAWeights()])
    for weight, before, swapped in zip(gan.generator.weights, raw, seen[0], strict=True):
        np.testing.assert_allclose(numpy(weight), before, atol=1e-6)
        assert np.abs(before - swapped).max() > 1e-3
    with pytest.raises(ValueError, match="use_ema=True"):
        compiled_gan().evaluate(ROWS, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])


@pytest.mark.once
@pytest.mark.parametrize("name", ["elbo", "val_elbo", "val_kl", "reconstruction", "loss"])
def test_a_log_of_the_library_has_a_direction(name, tmp_path):
    vae, x = compiled_vae(), tiny.images(8)
    stop = keras.callbacks.EarlyStopping(name, patience=1)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor=name, save_best_only=True
    )
    plateau = keras.callbacks.ReduceLROnPlateau(name, patience=1)
    callbacks = [stop, best, plateau]
    logs = vae.fit(x, epochs=3, validation_data=x, verbose=0, callbacks=callbacks).history
    extreme = max if DIRECTIONS.get(name.removeprefix("val_")) == "max" else min
    for callback in callbacks:
        assert float(callback.best) == pytest.approx(extreme(logs[name]))


def test_a_log_without_a_direction_is_refused_before_training():
    stop = keras.callbacks.EarlyStopping("p_real")
    check_refused_before_training(compiled_gan(), ROWS, stop, 'mode="max" or mode="min"')
    compiled_gan().fit(
        ROWS, verbose=0, callbacks=[keras.callbacks.EarlyStopping("p_real", mode="min")]
    )


@pytest.mark.parametrize("build", [compiled_vae, compiled_gan])
def test_a_whole_model_in_hdf5_is_refused_before_it_is_written(build, tmp_path):
    model, x = build(), tiny.images(8) if build is compiled_vae else ROWS
    name = str(tmp_path / "x.h5")
    with pytest.raises(ValueError, match="x.keras"):
        model.save(name)
    check_refused_before_training(model, x, keras.callbacks.ModelCheckpoint(name), "x.keras")
    weights = str(tmp_path / "x.weights.h5")
    only_weights = keras.callbacks.ModelCheckpoint(weights, save_weights_only=True)
    model.fit(x, verbose=0, callbacks=[only_weights])
    model.load_weights(weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.weights.h5"]


class Bright(kg.VAE):
    def objective(self, x, sample_weight, y=None, *, training=True):
        loss, terms = super().objective(x, sample_weight, y, training=training)
        own = {"brightness": ops.mean(x, axis=(1, 2, 3)), "pixels": x}
        return loss, {**terms, **own, **({"only_training": ops.max(x)} if training else {})}


class Loud(kg.GAN):
    def generator_objective(self, z, x_real, y=None, *, training=True):
        loss, terms = super().generator_objective(z, x_real, y, training=training)
        return loss, {**terms, "half": 0.5 * loss}


@every_mode
def test_scalars_of_ones_own_are_logged_without_being_named(mode):
    x = tiny.images(20)
    vae = Bright(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, (4,)))
    vae.compile(tiny.sgd(), **mode)
    logs = vae.fit(x, batch_size=8, epochs=2, validation_data=x[:8], verbose=0).history
    own = ["brightness", "only_training"]
    expected = [*kg.VAE.logged, *own, *(f"val_{name}" for name in [*kg.VAE.logged, own[0]])]
    assert sorted(logs) == sorted(expected)
    np.testing.assert_allclose(logs["brightness"], [x.mean()] * 2, rtol=1e-5)
    np.testing.assert_allclose(logs["val_brightness"], [x[:8].mean()] * 2, rtol=1e-5)
    gan = Loud(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2, seed=1)
    gan.compile(tiny.sgd(), tiny.sgd(), **mode)
    logs = gan.fit(ROWS, verbose=0).history
    np.testing.assert_allclose(2 * np.array(logs["half"]), logs["g_loss"], rtol=1e-5)


def test_a_penalty_added_after_compile_is_logged():
    gan = compiled_gan()
    gan.fit(ROWS, verbose=0)
    gan.penalties = [kg.losses.R1(5.0)]
    logs = gan.fit(ROWS, verbose=0).history
    assert logs["penalty"][0] > 0


def test_advice_on_weights_is_that_of_the_model():
    advice = "Draw examples as often as they shall count"
    for weights in ({"class_weight": {0: 5.0, 1: 1.0}}, {"sample_weight": np.ones(8)}):
        with pytest.raises(ValueError, match=advice):
            compiled_gan().fit(ROWS, verbose=0, **weights)
    with pytest.raises(ValueError, match="pass `sample_weight`"):
        compiled_vae().fit(tiny.images(8), verbose=0, class_weight={0: 5.0})


def test_an_epoch_without_an_update_is_told():
    table = 1e15 * np.random.default_rng(0).normal(size=(64, 6)).astype("float32")

    def vae():
        networks = kg.networks.mlp_vae((6,), 2, (8,))
        model = kg.VAE(*networks, likelihood="gaussian")
        model.compile("adam")
        return model

    with pytest.warns(UserWarning, match=r"Epoch 1: .* go up to \d.\de\+15: scale them"):
        vae().fit(table, verbose=0)
    stop = kg.callbacks.StopAtNonFinite()
    with pytest.warns(UserWarning, match="scale them"):
        vae().fit(table, verbose=0, callbacks=[stop])
    assert "scale them" in stop.message
    vae().fit(table / table.std(), verbose=0)  # As advised; a warning would be an error.
    gan = kg.GAN(*kg.networks.point_gan((6,), 2, (4,)), latent_dim=2)
    gan.compile(tiny.sgd(), tiny.sgd())
    with pytest.warns(UserWarning, match=r"data go up to [34].\d+e\+25: scale them"):
        gan.fit(1e10 * table, verbose=0)


def test_what_must_fail_after_the_first_epoch_is_refused_before_it():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    vae = tiny.vae()
    vae.compile(keras.optimizers.SGD(schedule))
    for callback, message in {
        keras.callbacks.EarlyStopping(monitor="val_elbow"): "monitors 'val_elbow', and `fit` logs",
        keras.callbacks.EarlyStopping: r"a class, EarlyStopping. Pass an object",
        print: r"holds <built-in function print>.*LambdaCallback\(on_epoch_end=function\)",
        "early_stopping": "holds 'early_stopping'. Pass an object",
        keras.callbacks.ReduceLROnPlateau(monitor="loss"): "which is a schedule already",
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate): "a schedule already",
    }.items():
        with pytest.raises(ValueError, match=message):
            vae.fit(tiny.images(8), verbose=0, callbacks=[callback])
    assert int(vae.optimizer.iterations) == 0
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        tiny.vae().fit(tiny.images(8), callbacks=[keras.callbacks.ReduceLROnPlateau("loss")])


@pytest.mark.parametrize("name", ["val_elbo_typo", "vall_loss", "my_loss", "d_loss"])
def test_a_misspelt_monitor_is_named_before_training(name, tmp_path):
    vae, x = compiled_vae(), tiny.images(8)
    for callback in (
        keras.callbacks.EarlyStopping(name, mode="max"),
        keras.callbacks.ReduceLROnPlateau(name, mode="min"),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "x.keras", name, mode="min", save_best_only=True
        ),
    ):
        words = f"monitors {name!r}, and `fit` logs loss, reconstruction, kl, elbo, and with"
        with pytest.raises(ValueError, match=words):
            vae.fit(x, verbose=0, callbacks=[callback])
    assert int(vae.optimizer.iterations) == 0


def test_a_monitor_that_somebody_may_log_is_left_to_keras():
    x, stop = tiny.images(8), keras.callbacks.EarlyStopping("figure", mode="max")

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["figure"] = epoch + 0.5

    compiled_vae().fit(x, verbose=0, callbacks=[Logs(), stop])
    assert stop.best == 0.5
    quality = kg.callbacks.SampleQuality(tiny.images(40), metrics="recall", samples=20)
    stop = keras.callbacks.EarlyStopping("recall", mode="max")
    history = compiled_vae().fit(x, verbose=0, callbacks=[quality, stop]).history
    assert stop.best == history["recall"][0]


def test_where_one_player_has_learned_the_rate_may_be_the_cause():
    gan = kg.GAN(tiny._player(2, 8), tiny._player(8, 1), latent_dim=2, loss="wasserstein")
    gan.compile(keras.optimizers.SGD(1e38), keras.optimizers.SGD(1e38))
    stop = kg.callbacks.StopAtNonFinite()
    with pytest.warns(UserWarning, match="of the generator.* Try a smaller learning rate"):
        gan.fit(ROWS, batch_size=2, verbose=0, callbacks=[stop])
    assert "Try a smaller learning rate" in stop.message


@pytest.mark.once
def test_a_tracker_that_replaces_fit_of_keras_finds_arguments_and_adds_its_callback(monkeypatch):
    # As `mlflow.keras.autolog` does: by name, and into the list of callbacks.
    steps, found, fit = Steps(), {}, keras.Model.fit

    @functools.wraps(fit)
    def tracked(self, *args, **kwargs):
        found.update(kwargs, types=[type(callback) for callback in kwargs["callbacks"]])
        kwargs["callbacks"].append(steps)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", tracked)
    stop = keras.callbacks.EarlyStopping("loss")
    vae = compiled_vae()
    vae.fit(tiny.images(8), None, 4, 3, 0, [stop])
    assert (found["batch_size"], found["epochs"]) == (4, 3)
    assert type(stop) in found["types"] and Steps not in found["types"]
    assert steps.count == 3 * 2 and steps.model is vae and steps.params["epochs"] == 3
