import itertools
import time
import types

import keras
import numpy as np
import pytest

import keras_gen as kg

X = np.random.default_rng(0).random((10, 4, 4, 1), "float32")


class Seen(kg.VAE):
    """Logs the means of the first pixel, weighted, over the epoch's training batches."""

    logged = ("loss", "pixel")

    @kg.backend.step
    def train_step(self, data):
        x, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        pixels = x[:, 0, 0, 0] if weights is None else x[:, 0, 0, 0] * weights
        return self.update_metrics({"loss": pixels[0], "pixel": keras.ops.mean(pixels)}, x)

    test_step = train_step


class Generated(keras.utils.PyDataset):
    def __init__(self, **workers):
        super().__init__(**workers)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[2 * index : 2 * index + 2]


@pytest.fixture
def model():
    model = Seen(*kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(4,)))
    model.compile("adam")
    return model


@pytest.mark.parametrize("kind", ["arrays", "weighted arrays", "dataset", "generated"])
def test_every_example_is_read_with_its_weight(model, kind):
    datasets = {"dataset": kg.data.ArrayDataset(X, batch_size=4), "generated": Generated()}
    dataset, weighted = kind in datasets, kind == "weighted arrays"
    weights = np.arange(10, dtype="float32") if weighted else None
    wanted = (X[:, 0, 0, 0] * (weights if weighted else 1)).mean()
    data = {"x": datasets[kind]} if dataset else {"x": X, "batch_size": 4}
    if weighted:
        data["sample_weight"] = weights
    history = model.fit(**data, epochs=3, verbose=0).history
    np.testing.assert_allclose(history["pixel"], [wanted] * 3, rtol=1e-5)
    np.testing.assert_allclose(
        model.evaluate(**data, return_dict=True, verbose=0)["pixel"], wanted, rtol=1e-5
    )
    validation = data["x"] if dataset else (X, None, weights) if weighted else X
    history = model.fit(X, validation_data=validation, validation_batch_size=3, verbose=0).history
    np.testing.assert_allclose(history["val_pixel"], [wanted], rtol=1e-5)


def test_steps_and_a_split_are_kept(model):
    history = model.fit(
        X, batch_size=2, steps_per_epoch=2, validation_split=0.2, shuffle=False, verbose=0
    ).history
    np.testing.assert_allclose(history["pixel"], [X[:4, 0, 0, 0].mean()], rtol=1e-5)
    np.testing.assert_allclose(history["val_pixel"], [X[8:, 0, 0, 0].mean()], rtol=1e-5)
    history = model.fit(
        X, batch_size=2, shuffle=False, validation_data=X, validation_steps=1, verbose=0
    ).history
    np.testing.assert_allclose(history["val_pixel"], [X[:2, 0, 0, 0].mean()], rtol=1e-5)


def test_one_model_takes_data_in_all_forms_and_sizes(model, backend):
    in_memory = kg.data.ArrayDataset(X, batch_size=4, shuffle=False)
    pairs = kg.data.ArrayDataset(X, np.arange(10), batch_size=4, shuffle=False)
    wanted = X[:, 0, 0, 0].mean()
    for data in (X, in_memory, pairs, X, Generated(), in_memory):
        arrays = {"batch_size": 4, "shuffle": False} if data is X else {}
        history = model.fit(data, verbose=0, **arrays).history
        np.testing.assert_allclose(history["pixel"], [wanted], rtol=1e-5)
        arrays.pop("shuffle", None)
        logs = model.evaluate(data, return_dict=True, verbose=0, **arrays)
        np.testing.assert_allclose(logs["pixel"], wanted, rtol=1e-5)
    for size in range(1, 11 if backend == "tensorflow" else 3):  # Of eight, each has a trace there.
        model.reset_metrics()
        logs = model.train_on_batch(X[:size], return_dict=True)
        np.testing.assert_allclose(logs["pixel"], X[:size, 0, 0, 0].mean(), rtol=1e-5)


def test_validation_comes_in_a_list_too(model):
    weights = np.arange(10, dtype="float32")
    wanted = X[:, 0, 0, 0].mean(), (X[:, 0, 0, 0] * weights).mean()
    for validation, mean in (([X], wanted[0]), ([X, None, weights], wanted[1])):
        history = model.fit(X, validation_data=validation, verbose=0).history
        np.testing.assert_allclose(history["val_pixel"], [mean], rtol=1e-5)


def test_a_generator_is_read_to_its_end(model):
    halves = ((X[i : i + 5],) for i in (0, 5))
    history = model.fit(halves, steps_per_epoch=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["pixel"], [X[:, 0, 0, 0].mean()], rtol=1e-5)


class Watching(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.train, self.test = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.train.append((batch, logs["pixel"]))

    def on_test_batch_end(self, batch, logs=None):
        self.test.append((batch, logs["pixel"]))


class Counted(keras.metrics.Metric):
    """A stand-in for a step's logs that counts how often it becomes a number."""


def test_a_callback_that_listens_hears_of_every_step(model):
    watching = Watching()
    ends = []
    also = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    history = model.fit(
        X, batch_size=5, epochs=2, callbacks=[watching, also], validation_data=X, verbose=0
    )
    assert [batch for batch, _ in watching.train] == ends == [0, 1, 0, 1]
    assert [batch for batch, _ in watching.test] == [0, 1, 0, 1]
    assert watching.train[3][1] == pytest.approx(history.history["pixel"][1])
    assert watching.test[3][1] == pytest.approx(history.history["val_pixel"][1])
    assert history is model.history
    assert history.params == watching.params == {"verbose": 0, "epochs": 2, "steps": 2}
    model.evaluate(X, batch_size=2, callbacks=[watching], verbose=0)
    assert [batch for batch, _ in watching.test[4:]] == [0, 1, 2, 3, 4]


def test_one_that_listens_to_all_batches_hears_of_those_of_training(model, told):
    class Batches(keras.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            assert np.isfinite(logs["pixel"])

    model.fit(X, batch_size=5, callbacks=[Batches()], validation_data=X, verbose=0)
    assert told == {"train": [0, 1], "test": []}


@pytest.mark.parametrize("verbose", [0, 2])
def test_where_none_listens_no_step_is_told_of(model, told, verbose):
    ends = []
    epochs = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(logs))
    history = model.fit(
        X, batch_size=1, epochs=2, callbacks=[epochs], validation_data=X, verbose=verbose
    ).history
    assert told == {"train": [], "test": []}
    assert [logs["pixel"] for logs in ends] == history["pixel"]


def test_a_list_of_callbacks_is_left_as_it_is(model, told):
    callbacks = keras.callbacks.CallbackList(
        add_history=True, model=model, verbose=0, epochs=1, steps=2
    )
    model.fit(X, batch_size=5, callbacks=callbacks, verbose=0)
    assert told["train"] == [0, 1]


def test_a_progress_bar_shows_the_steps_and_the_last_numbers(model, told, monkeypatch, capsys):
    clock = itertools.count(1000.0, 0.02)
    steady = types.SimpleNamespace(time=lambda: next(clock))
    monkeypatch.setattr("keras_gen.models.fitting.time", steady)
    logs = model.fit(X, batch_size=1, epochs=2, verbose=1).history
    assert told["train"] == [0, 3, 6, 9] * 2  # As often as it draws: every .05 s.
    bar = capsys.readouterr().out
    assert "Epoch 2/2" in bar and bar.count("10/10") >= 2
    assert f"pixel: {logs['pixel'][1]:.4f}" in bar
    halves = ((X[i : i + 5],) for i in (0, 5))  # How many there are is seen at the end.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(halves, shuffle=False, verbose=1)
    assert "2/2" in capsys.readouterr().out


def test_of_steps_whose_number_is_not_known_the_bar_is_told_in_their_order(model, monkeypatch):
    seen = []

    def update(bar, current, *args, **kwargs):
        time.sleep(0.05 if current == 1 else 0)
        seen.append(current)

    monkeypatch.setattr(keras.utils.Progbar, "update", update)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(((X,) for _ in range(3)), shuffle=False, verbose=1)
    assert seen == [1, 2, 3, 3]


def test_a_bar_of_ones_own_hears_of_every_step(model, told):
    class Bar(keras.callbacks.ProgbarLogger):
        def on_epoch_begin(self, epoch, logs=None):
            pass

        def on_train_batch_end(self, batch, logs=None):
            pass

        on_epoch_end = on_train_batch_end

    model.fit(X, batch_size=5, callbacks=[Bar()], verbose=1)
    assert told["train"] == [0, 1]


def test_limits_of_a_trial_are_told_to_callbacks(model):
    watching = Watching()
    data = kg.data.ArrayDataset(X, batch_size=2)
    keras.config.set_max_steps_per_epoch(3)
    keras.config.set_max_epochs(1)
    try:
        with pytest.warns(UserWarning, match="Limiting"):
            model.fit(data, epochs=2, callbacks=[watching], verbose=0)
    finally:
        keras.config.set_max_steps_per_epoch(None)
        keras.config.set_max_epochs(None)
    assert watching.params == {"verbose": 0, "epochs": 1, "steps": len(watching.train)}
    assert len(watching.train) == 3


def test_a_model_that_is_not_compiled_is_refused_before_its_callbacks_know_it():
    model = Seen(*kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(4,)))
    watching = Watching()
    with pytest.raises(ValueError, match="compile"):
        model.fit(X, callbacks=[watching], verbose=0)
    assert watching.model is None
