"""A loss that is not finite destroys nothing, and is named."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

BUILDERS = [tiny.regular_vae, tiny.scheduled_vae, tiny.gan, tiny.r3gan, tiny.wgan]


def compiled(build, **kwargs):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01), **kwargs)
    return model


def batches(model, bad):
    """Three batches; of the second a number is NaN, if `bad`."""
    data = [tiny.examples(model, 24)[8 * k : 8 * (k + 1)].copy() for k in range(3)]
    if bad:
        data[1].reshape(-1)[5] = np.nan
    return data


def train_behind_the_door(model, batch):
    """The door would look at the data and refuse them."""
    keras.Model.train_on_batch(model, batch)


def skipped(model):
    return dict(zip(model.players, values([model.skipped_updates])[0], strict=True))


def values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def learned(model):
    """Weights and optimizer, without the noise and the count of updates left out."""
    return values(
        variable
        for variable in [*model.weights, *model.optimizer.variables]
        if "seed" not in variable.path and variable is not model.skipped_updates
    )


@pytest.mark.parametrize(
    "build, eagerly",
    [*[(build, False) for build in BUILDERS], (tiny.gan, True)],
    ids=lambda value: getattr(value, "__name__", "eager" if value else "compiled"),
)
def test_an_update_that_is_not_finite_is_left_out(build, eagerly):
    model = compiled(build, run_eagerly=eagerly)
    good, bad, _ = batches(model, bad=True)
    model.train_on_batch(good)
    before = learned(model)
    train_behind_the_door(model, bad)
    after = learned(model)
    assert all(np.all(np.isfinite(value)) for value in after)
    # The loss of the generator alone may not see the real examples, and then it moves.
    if build not in (tiny.gan, tiny.wgan):
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b)
    else:  # Of two steps on two parts of each batch, one was left out.
        assert values([model.optimizer.discriminator.iterations])[0] == 2 + 1
    if build in (tiny.gan, tiny.wgan):  # Two steps of the discriminator on each batch.
        assert skipped(model) == {"generator": 0, "discriminator": 1}
    else:
        assert set(skipped(model).values()) == {1}
    train_behind_the_door(model, bad)
    assert skipped(model)[model.players[-1]] == 2


def test_moving_statistics_survive_a_bad_batch():
    """Batch norm averages its input into its state before any loss is known."""
    model = compiled(tiny.regular_vae)
    good, bad, _ = batches(model, bad=True)
    model.train_on_batch(good)
    norm = next(layer for layer in model.encoder.layers if "batch_norm" in layer.name)
    before = values(norm.non_trainable_variables)
    train_behind_the_door(model, bad)
    for a, b in zip(before, values(norm.non_trainable_variables), strict=True):
        np.testing.assert_array_equal(a, b)
    model.train_on_batch(good)
    assert np.abs(values(norm.non_trainable_variables)[0] - before[0]).max() > 1e-6


def test_after_a_divergence_the_model_is_as_before_the_last_finite_epoch():
    """The weights from which the loss was not finite are of no use themselves."""
    keras.utils.set_random_seed(3)
    model = tiny.vae()
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([6], [0.01, 1e6]))
    )
    data = kg.data.ArrayDataset(tiny.images(24), batch_size=8, shuffle=False)
    beginnings = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: beginnings.append(values(model.trainable_variables))
    )
    stop = kg.callbacks.StopAtNonFinite()
    with pytest.warns(UserWarning, match="updates were left out"):
        history = model.fit(data, epochs=9, verbose=0, callbacks=[note, stop])
    assert stop.message and len(history.epoch) > 2
    for a, b in zip(beginnings[-2], values(model.trainable_variables), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(np.isfinite(model.evaluate(data, verbose=0)))


def test_a_gradient_whose_square_overflows_does_not_spoil_the_optimizer():
    model = compiled(tiny.vae)
    x = tiny.images(8)
    model.train_on_batch(x)
    model.train_on_batch(x, sample_weight=np.full(8, 1e20, "float32"))
    assert skipped(model) == {"model": 1}
    for _ in range(3):
        model.train_on_batch(x)
    assert all(np.all(np.isfinite(v)) for v in learned(model))


def test_averages_of_no_update_are_the_weights_themselves():
    keras.utils.set_random_seed(3)
    model = tiny.vae()
    model.compile(keras.optimizers.Adam(0.01, use_ema=True))
    before = values(model.trainable_variables)
    bad = tiny.images(8) * np.nan
    keras.Model.fit(model, bad, batch_size=8, epochs=2, verbose=0)
    for a, b in zip(before, values(model.trainable_variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_callback_stops_at_the_end_of_the_epoch_and_names_the_player(capsys):
    model = compiled(tiny.gan)
    stop = kg.callbacks.StopAtNonFinite()
    data = kg.data.ArrayDataset(tiny.examples(model, 24), batch_size=8, shuffle=False)
    model.fit(data, epochs=2, verbose=0, callbacks=[stop])
    assert stop.message is None
    # The door looks at all of an array: the number goes bad behind it.
    spoiled = _Spoiled(batches(model, bad=False), batches(model, bad=True))
    spoil = keras.callbacks.LambdaCallback(on_epoch_begin=spoiled.begin)
    with pytest.warns(UserWarning, match="Epoch 2: updates were left out.*: 1 of the discrim"):
        history = model.fit(spoiled, epochs=5, shuffle=False, verbose=0, callbacks=[spoil, stop])
    assert len(history.epoch) == 2
    # One of two steps on one batch.
    assert stop.message.startswith("Epoch 2: a loss or gradient of the discriminator was not fin")
    assert "generator" not in stop.message
    assert stop.message in capsys.readouterr().out
    assert np.all(np.isfinite(model.sample(20)))
    model.fit(data, epochs=1, verbose=0, callbacks=[stop])
    assert stop.message is None


class _Spoiled(keras.utils.PyDataset):
    """Batches that are others from the second epoch on."""

    def __init__(self, *batches):
        super().__init__()
        self.batches = batches
        self.epoch = 0

    def begin(self, epoch, logs=None):
        self.epoch = epoch

    def __len__(self):
        return len(self.batches[0])

    def __getitem__(self, index):
        return self.batches[min(self.epoch, 1)][index]


def test_overflow_under_loss_scaling_is_no_fault():
    """The scale is too large at first on purpose, and halves until gradients are finite."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(tiny.vae)
    finally:
        keras.config.set_dtype_policy(before)
    model.optimizer.dynamic_scale.assign(2.0**40)
    weights = values(model.trainable_variables)
    good, bad, _ = batches(model, bad=True)
    model.train_on_batch(good)
    assert skipped(model) == {"model": 0}
    assert values([model.optimizer.dynamic_scale])[0] == 2.0**39
    for a, b in zip(weights, values(model.trainable_variables), strict=True):
        np.testing.assert_array_equal(a, b)
    train_behind_the_door(model, bad)
    assert skipped(model) == {"model": 1}


def test_before_any_update_the_advice_is_to_scale_the_data():
    model = compiled(tiny.vae)
    stop = kg.callbacks.StopAtNonFinite()
    with pytest.warns(UserWarning, match="3 of the model"):
        keras.Model.fit(
            model,
            tiny.images(24) * np.nan,
            batch_size=8,
            verbose=0,
            callbacks=[stop, kg.models.base.ReportSkippedUpdates()],
        )
    assert "No update was made yet" in stop.message and "scale" in stop.message
    assert skipped(model) == {"model": 3}  # Weights go back, the count does not.
