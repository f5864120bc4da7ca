import itertools
import sys
import types

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.accelerate.callbacks import LazyCallbackList

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


class Counted:
    """A value of a step's logs that counts how often it becomes a number."""

    def __init__(self):
        self.reads = []

    def at(self, step):
        return _Read(self.reads, step)


class _Read:
    def __init__(self, reads, step):
        self.reads, self.step = reads, step

    def __float__(self):
        self.reads.append(self.step)
        return float(self.step)


def read_steps(callbacks, verbose=0, steps=10, epochs=1, **others):
    """Tell a list of callbacks of epochs of 10 steps, and return those whose logs were read."""
    callbacks = LazyCallbackList(
        callbacks, add_progbar=True, verbose=verbose, epochs=epochs, steps=steps, **others
    )
    train, test = Counted(), Counted()
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for step in range(10):
            callbacks.on_train_batch_begin(step)
            callbacks.on_train_batch_end(step, {"loss": train.at(step)})
        callbacks.on_test_begin()
        for step in range(10):
            callbacks.on_test_batch_end(step, {"loss": test.at(step)})
        callbacks.on_test_end({"loss": 0.0})
        callbacks.on_epoch_end(epoch, {"loss": 9.0, "val_loss": 9.0})
    callbacks.on_train_end()
    return train.reads, test.reads


@pytest.fixture
def clock(monkeypatch):
    """The clock by which it is decided when a bar draws: .02 s a look."""
    clock = itertools.count(1000.0, 0.02)
    steady = types.SimpleNamespace(time=lambda: next(clock))
    monkeypatch.setattr(sys.modules[LazyCallbackList.__module__], "time", steady)


@pytest.mark.parametrize("verbose", [0, 2])
def test_where_no_callback_listens_no_step_is_read(verbose):
    ends = []
    epochs = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(logs))
    assert read_steps([epochs], verbose) == ([], [])
    assert ends == [{"loss": 9.0, "val_loss": 9.0}]


def test_for_callbacks_that_listen_each_step_is_read_once_in_order():
    seen = []
    first, second = (
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: seen.append((step, logs))
        )
        for _ in range(2)
    )
    assert read_steps([first, second]) == (list(range(10)), [])
    assert seen == [(step, {"loss": float(step)}) for step in range(10) for _ in range(2)]
    listens = keras.callbacks.LambdaCallback()
    listens.on_test_batch_end = lambda step, logs: None
    assert read_steps([listens]) == ([], list(range(10)))


def test_one_that_listens_to_all_batches_is_told_of_those_of_training():
    class Batches(keras.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            assert logs == {"loss": float(batch)}

    assert read_steps([Batches()]) == (list(range(10)), [])


def test_a_progress_bar_reads_as_often_as_it_draws(clock, capsys):
    train, test = read_steps([], verbose=1, epochs=2)
    assert train == [0, 3, 6, 9] * 2  # Every .05 s, and in validation not at all.
    assert test == []
    bar = capsys.readouterr().out
    assert "Epoch 2/2" in bar and bar.count("10/10") == 2
    assert bar.rstrip().endswith("loss: 9.0000 - val_loss: 9.0000")


def test_a_progress_bar_in_evaluation_reads_as_often_as_it_draws(clock):
    callbacks = LazyCallbackList([], add_progbar=True, verbose=1, epochs=1, steps=10)
    counted = Counted()
    callbacks.on_test_begin()
    for step in range(10):
        callbacks.on_test_batch_end(step, {"loss": counted.at(step)})
    callbacks.on_test_end({"loss": 9.0})
    assert counted.reads == [0, 3, 6, 9]


def test_a_bar_that_does_not_know_the_number_of_steps_is_told_of_each(capsys):
    assert read_steps([], verbose=1, steps=None)[0] == list(range(10))
    assert "10/10" in capsys.readouterr().out


def test_a_bar_of_ones_own_is_told_of_every_step():
    class Bar(keras.callbacks.ProgbarLogger):
        def on_train_batch_end(self, batch, logs=None):
            pass

    assert read_steps([Bar()], verbose=1)[0] == list(range(10))


def test_what_is_no_number_is_left_as_it_is():
    seen = []
    listens = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(logs))
    callbacks = LazyCallbackList([listens], verbose=0, epochs=1, steps=1)
    pair = keras.ops.ones((2,))
    callbacks.on_train_batch_end(0, {"b": {"a": keras.ops.ones(())}, "pair": pair, "word": "up"})
    callbacks.on_train_batch_end(1, None)
    assert seen == [{"a": 1.0, "pair": pair, "word": "up"}, {}]
    assert seen[0]["pair"] is pair


def test_fit_and_evaluate_tell_a_callback_of_every_step(model):
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
    assert watching.params["steps"] == 5


def test_a_list_of_callbacks_is_used_as_it_is(model):
    watching = Watching()
    callbacks = keras.callbacks.CallbackList(
        [watching], add_history=True, model=model, verbose=0, epochs=7, steps=7
    )
    for _ in range(2):
        model.fit(X, batch_size=5, callbacks=callbacks, verbose=0)
    assert [batch for batch, _ in watching.train] == [0, 1, 0, 1]
    assert watching.params == {"verbose": 0, "epochs": 7, "steps": 7}
    assert len({type(callback) for callback in callbacks.callbacks}) == len(callbacks.callbacks)


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return X[:2]


def stream(filtered=False):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(X).batch(2)
    return data.filter(lambda x: True) if filtered else data


def loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X))
    return torch.utils.data.DataLoader(data, batch_size=2)


STEPS = {
    "arrays": (lambda: X, {}, 1),
    "arrays in batches": (lambda: X, {"batch_size": 4}, 3),
    "a split": (lambda: X, {"batch_size": 4, "validation_split": 0.25}, 2),
    "a split and data": (
        lambda: X,
        {"batch_size": 4, "validation_split": 0.3, "validation_data": X},
        3,
    ),
    "limited arrays": (lambda: X, {"batch_size": 2, "steps_per_epoch": 3}, 3),
    "a dataset": (lambda: kg.data.ArrayDataset(X, batch_size=4), {}, 3),
    "a PyDataset": (Generated, {}, 5),
    "tf.data": (stream, {}, 5),
    "tf.data of a length that nobody knows": (lambda: stream(filtered=True), {}, None),
    "torch's DataLoader": (loader, {}, 5),
    "a generator": (lambda: ((X[i : i + 2],) for i in (0, 2, 4)), {}, None),
    "a limited generator": (
        lambda: ((X[i : i + 2],) for i in (0, 2, 4)),
        {"steps_per_epoch": 2},
        2,
    ),
    "an endless PyDataset": (Endless, {"steps_per_epoch": 2}, 2),
}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("most", [None, 2], ids=["", "at most 2"])
@pytest.mark.filterwarnings("ignore:Limiting steps_per_epoch", "ignore:.*ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_callbacks_are_told_the_number_of_steps_that_keras_finds(model, kind, most):
    """Keras itself is asked, by a method of `keras.Model` that hands over no list."""
    data, options, steps = STEPS[kind]
    ours, keras_s = Watching(), Watching()
    keras.config.set_max_steps_per_epoch(most)
    try:
        model.fit(data(), callbacks=[ours], verbose=0, shuffle=False, **options)
        keras.Model.fit(model, data(), callbacks=[keras_s], verbose=0, shuffle=False, **options)
    finally:
        keras.config.set_max_steps_per_epoch(None)
    assert ours.params == keras_s.params
    if most is None:
        assert ours.params["steps"] == steps
    assert [batch for batch, _ in ours.train] == [batch for batch, _ in keras_s.train]


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
