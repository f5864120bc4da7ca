"""A run that is stopped and goes on ends as the run that was never stopped, to the bit."""

import functools
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen import files
from keras_gen.callbacks import Checkpoint, StopAtNonFinite
from keras_gen.data import ArrayDataset, loading

# Registers "tiny_images".
from tests.data import test_loading  # noqa: F401
from tests.helpers import put_back, state_of
from tests.models import tiny


class Killed(Exception):
    """Stands for a signal: it leaves `fit` without any of its endings."""


class KillAt(keras.callbacks.Callback):
    def __init__(self, epoch, batch=1):
        super().__init__()
        self.where = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.where:
            raise Killed


def compiled(build, **kwargs):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01, **kwargs))
    return model


def dataset(model, seed=4, **kwargs):
    n = 24 if isinstance(model, kg.GAN) else 20
    x, y = tiny.examples(model, n), tiny.labels(model, n)
    return ArrayDataset(x, y, batch_size=8, seed=seed, **kwargs)


def fit(model, epochs, callbacks, **kwargs):
    kwargs = {"x": dataset(model), "validation_data": dataset(model, seed=5), **kwargs}
    return model.fit(epochs=epochs, verbose=0, callbacks=callbacks, **kwargs).history


def assert_state(model, expected):
    for a, b in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(a, b)


class Whole:
    """A run that nothing stops: its logs, and its state before it and after each epoch."""

    def __init__(self, model, epochs, callbacks=(), **kwargs):
        self.model, self.states = model, [state_of(model)]
        note = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self.states.append(state_of(model))
        )
        self.history = fit(model, epochs, [*callbacks, note], **kwargs)
        self.end = state_of(model)

    def restarted(self):
        """Return the model as it was before: to be stopped, where another goes on."""
        put_back(self.model, self.states[0])
        return self.model


@pytest.fixture(scope="module")
def whole():
    """Five epochs of a `regular_vae`."""
    return Whole(compiled(tiny.regular_vae), 5, [StopAtNonFinite()])


@pytest.fixture(scope="module")
def stopped_once(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    interrupted(whole.restarted(), folder, callbacks=[StopAtNonFinite()])
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """Checkpoints of the epochs 2 and 3 of a `regular_vae`."""
    return pathlib.Path(shutil.copytree(stopped_once, tmp_path / "stopped"))


@pytest.fixture
def vae():
    return compiled(tiny.regular_vae)


def interrupted(model, folder, epoch=3, callbacks=(), **kwargs):
    """Leaves the checkpoints of a run that was stopped within an epoch, counted from 0."""
    with pytest.raises(Killed):
        fit(model, 5, [KillAt(epoch), *callbacks, Checkpoint(folder, every=1)], **kwargs)


# One for each kind of state: dropout and statistics, a schedule, two optimizers, a penalty's noise.
RESUMED = [tiny.regular_vae, tiny.scheduled_vae, tiny.denoising_vae, tiny.gan, tiny.conditional_gan]


@pytest.mark.parametrize("build", RESUMED, ids=lambda build: build.__name__)
def test_resumed_is_as_if_never_stopped(build, tmp_path):
    whole = Whole(compiled(build), 5, [StopAtNonFinite()])
    for epoch in (0, 3):  # Before there is a checkpoint, and after.
        interrupted(whole.restarted(), tmp_path, epoch, [StopAtNonFinite()])
    resumed = compiled(build)
    assert fit(resumed, 5, [StopAtNonFinite(), Checkpoint(tmp_path, every=1)]) == whole.history
    assert resumed.history.epoch == [0, 1, 2, 3, 4]
    assert_state(resumed, whole.end)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"epoch_{number:04d}.{kind}" for number in (4, 5) for kind in ("json", "keras", "npz")
    }


def test_averages_that_are_put_into_the_weights_at_the_end(tmp_path):
    options = {"use_ema": True, "ema_momentum": 0.9}
    whole = Whole(compiled(tiny.vae, **options), 3)
    with pytest.raises(Killed):
        fit(whole.restarted(), 3, [KillAt(2), Checkpoint(tmp_path)])
    resumed = compiled(tiny.vae, **options)
    fit(resumed, 3, [Checkpoint(tmp_path)])
    assert_state(resumed, whole.end)


@pytest.mark.once
def test_callbacks_go_on_where_they_were(tmp_path):
    """Early stopping, a rate that is cut on a plateau, and a user's own counter."""

    class Counter(keras.callbacks.Callback):
        checkpointed = ("count",)
        count = 0

        def on_epoch_end(self, epoch, logs=None):
            self.count += 1

    def callbacks():
        return [
            keras.callbacks.EarlyStopping(
                "val_loss", min_delta=100, patience=3, restore_best_weights=True
            ),
            keras.callbacks.ReduceLROnPlateau("val_loss", min_delta=100, patience=2, mode="min"),
            Counter(),
        ]

    resumed, again = (compiled(tiny.regular_vae) for _ in range(2))
    expected = callbacks()
    whole = Whole(compiled(tiny.regular_vae), 9, expected)
    history = whole.history
    assert len(history["loss"]) == 4  # No epoch is better by 100 nats than the first.
    interrupted(whole.restarted(), tmp_path, epoch=3, callbacks=callbacks())
    came = callbacks()
    assert fit(resumed, 9, [*came, Checkpoint(tmp_path)]) == history
    assert_state(resumed, whole.end)
    assert came[2].count == expected[2].count == 4
    assert came[0].best == expected[0].best
    # Nor does it go on where it was stopped for good.
    came = callbacks()
    assert fit(again, 9, [*came, Checkpoint(tmp_path)]) == history
    assert_state(again, whole.end)
    assert came[0].stopped_epoch == 3


def test_a_bad_epoch_after_the_resume_goes_back_as_far(tmp_path):
    """To the beginning of the last finite epoch, which was before the checkpoint."""

    class Spoiled(ArrayDataset):
        def examples(self, rows):
            x = super().examples(rows)
            return x * np.nan if self.epoch == 3 else x

    def data():
        return Spoiled(tiny.images(24), batch_size=8, seed=4)

    ends = []
    stopped = compiled(tiny.vae)
    start = state_of(stopped)
    interrupted(stopped, tmp_path / "b", callbacks=[StopAtNonFinite()], x=data())
    put_back(stopped, start)
    for folder, model in (("a", stopped), ("b", compiled(tiny.vae))):
        guard = StopAtNonFinite()
        with pytest.warns(UserWarning, match="Epoch 4: updates were left out"):
            fit(model, 5, [guard, Checkpoint(tmp_path / folder, every=1)], x=data())
        assert guard.message.startswith("Epoch 4: a loss or gradient of the model was not finite")
        ends.append(state_of(model))
        assert not (tmp_path / folder / "epoch_0004.json").exists()
    np.testing.assert_equal(*ends)


def test_a_checkpoint_is_a_model_that_loads(vae, tmp_path):
    fit(vae, 2, [Checkpoint(tmp_path)])
    loaded = keras.saving.load_model(tmp_path / "epoch_0002.keras", safe_mode=True)
    assert_state(loaded, state_of(vae))


@pytest.mark.once
def test_more_epochs_go_on_and_fewer_are_refused(vae, whole, tmp_path, capsys):
    fit(whole.restarted(), 2, [Checkpoint(tmp_path)])
    history = {name: values[:4] for name, values in whole.history.items()}
    assert fit(vae, 4, [Checkpoint(tmp_path)]) == history
    assert f"Resumed from {tmp_path}, after epoch 2.\n" in capsys.readouterr().out
    assert_state(vae, whole.states[4])
    with pytest.raises(ValueError, match="is of epoch 4, and `fit` was given epochs=3"):
        fit(vae, 3, [Checkpoint(tmp_path)])
    fit(vae, 1, [])  # The next `fit` begins at its own beginning.
    assert len(vae.history.epoch) == 1


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "epoch_0003.keras": flip,
    "epoch_0003.npz": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "epoch_0003.json": lambda path: path.write_text(path.read_text()[:50]),
}


@pytest.mark.once
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_used(vae, stopped, name):
    DAMAGE[name](stopped / name)
    with pytest.warns(UserWarning, match="epoch_0003.keras is damaged: .*The one of epoch 2 is"):
        assert Checkpoint(stopped).last_epoch(vae) == 2


@pytest.mark.once
def test_from_the_one_before_it_ends_as_well(vae, whole, stopped):
    flip(stopped / "epoch_0003.keras")
    with pytest.warns(UserWarning, match="is damaged"):
        fit(vae, 5, [StopAtNonFinite(), Checkpoint(stopped, every=1)])
    assert_state(vae, whole.end)


@pytest.mark.once
def test_without_a_good_checkpoint_it_says_so_and_touches_nothing(vae, stopped):
    for path in stopped.glob("*.keras"):
        path.write_bytes(path.read_bytes()[:1000])
    before = {path: path.read_bytes() for path in stopped.iterdir()}
    with pytest.raises(ValueError, match="None of the checkpoints in .* can be used") as error:
        fit(vae, 5, [Checkpoint(stopped)])
    assert "epoch_0002.keras is damaged: its checksum is another." in str(error.value)
    for path, content in before.items():
        assert path.read_bytes() == content


OTHERS = {
    "architecture": lambda: compiled(tiny.vae),
    "optimizer": lambda: compiled(tiny.regular_vae, beta_1=0.5),
    "dropout": lambda: compiled(functools.partial(tiny.regular_vae, rate=0.4)),
}


@pytest.mark.once
@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_model_is_refused(stopped, other):
    with pytest.raises(ValueError, match="is of another model, or of this one compiled otherwise"):
        fit(OTHERS[other](), 5, [Checkpoint(stopped)])


def test_a_checkpoint_of_other_data_or_another_backend_is_refused(vae, stopped):
    with pytest.raises(ValueError, match="other training data: seed was 4, and is 6"):
        fit(vae, 5, [Checkpoint(stopped)], x=dataset(vae, seed=6))
    for path in stopped.glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "backend": "mxnet"}))
    with pytest.raises(ValueError, match="was written on mxnet, and this is"):
        fit(vae, 5, [Checkpoint(stopped)])


@pytest.mark.once
def test_a_checkpoint_of_more_devices_is_refused(vae, stopped):
    for path in stopped.glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "devices": 2}))
    with pytest.raises(ValueError, match="is of a run on 2 device"):
        fit(vae, 5, [Checkpoint(stopped)])


@pytest.mark.once
def test_the_names_of_layers_make_no_other_model(vae, stopped):
    keras.layers.Dense(1), keras.layers.Dense(1)  # Keras counts them.
    later = compiled(tiny.regular_vae)
    assert later.encoder.layers[2].name != vae.encoder.layers[2].name
    assert Checkpoint(stopped).last_epoch(later) == 3


@pytest.mark.once
def test_what_was_being_written_is_cleared(vae, stopped):
    left = ["epoch_0004.keras", "epoch_0004.npz", ".epoch_0004.tmp.keras"]
    for name in left:
        (stopped / name).write_text("part of it")
    (stopped / "notes.txt").write_text("not of a checkpoint")
    fit(vae, 3, [Checkpoint(stopped)])
    there = {path.name for path in stopped.iterdir()}
    assert there.isdisjoint(left)
    assert "notes.txt" in there


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": tiny.images(20), "batch_size": 8}, "training data, a ndarray, cannot be put back"),
        ({"steps_per_epoch": 2}, "With steps_per_epoch=2 an epoch ends within a pass"),
    ],
)
def test_data_whose_order_cannot_be_set_are_refused(vae, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(vae, 2, [Checkpoint(tmp_path)], **arguments)
    assert not list(tmp_path.iterdir())
    fit(vae, 1, [Checkpoint(tmp_path, exact=False)], **arguments)
    assert Checkpoint(tmp_path).last_epoch(vae) == 1


@pytest.mark.once
def test_arrays_in_their_own_order_resume(tmp_path):
    arguments = {"x": tiny.images(20), "batch_size": 8, "shuffle": False}
    whole, resumed = Whole(compiled(tiny.vae), 5, **arguments), compiled(tiny.vae)
    interrupted(whole.restarted(), tmp_path, **arguments)
    fit(resumed, 5, [Checkpoint(tmp_path)], **arguments)
    assert_state(resumed, whole.end)


def test_a_stream_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)

    def model():
        keras.utils.set_random_seed(3)
        vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), 2, hidden=(6,)), seed=1)
        vae.compile(optimizer="adam")
        return vae

    def stream():
        data, test = kg.data.load("tiny_images", data_dir=tmp_path / "data", batch_size=16)
        next(iter(data))  # Whoever looks at it in the meantime moves it on.
        return {"x": data, "validation_data": test, "shuffle": False}

    whole, resumed = Whole(model(), 4, **stream()), model()
    with pytest.raises(Killed):
        fit(whole.restarted(), 4, [KillAt(2), Checkpoint(tmp_path / "checkpoint")], **stream())
    assert fit(resumed, 4, [Checkpoint(tmp_path / "checkpoint")], **stream()) == whole.history
    assert_state(resumed, whole.end)


@pytest.mark.once
def test_it_stands_last(vae, tmp_path):
    with pytest.raises(ValueError, match="StopAtNonFinite stands after Checkpoint"):
        fit(vae, 2, [Checkpoint(tmp_path), StopAtNonFinite()])


@pytest.mark.once
def test_a_full_disk_costs_a_warning_and_no_checkpoint_before(vae, whole, tmp_path):
    """No file may grow beyond a limit from the third epoch on."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Full(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit(whole.restarted(), 4, [Full(), Checkpoint(tmp_path, every=1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = " ".join(str(warning.message) for warning in caught)
    for number in (3, 4):
        assert f"The checkpoint of epoch {number} could not be written" in said
    assert "File too large" in said
    assert not list(tmp_path.glob(".epoch*"))
    assert Checkpoint(tmp_path).last_epoch(vae) == 2
    fit(vae, 4, [Checkpoint(tmp_path)])
    assert_state(vae, whole.states[4])


@pytest.mark.once
def test_a_folder_belongs_to_one_process(vae, tmp_path):
    program = f"""
import time
from keras_gen import files
lock = files.Lock({str(tmp_path)!r})
print("held", flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(BlockingIOError, match=f"Process {process.pid} is writing to"):
                fit(vae, 1, [Checkpoint(tmp_path)])
        finally:
            process.kill()
            process.wait()
    fit(vae, 1, [Checkpoint(tmp_path)])  # What a killed process held is free.
    assert not (tmp_path / ".lock").exists()


@pytest.mark.once
def test_by_default_checkpoints_take_two_percent_of_the_time(vae, tmp_path, monkeypatch):
    """A clock that only epochs (1 s) and checkpoints (.1 s) move."""
    now = 0.0

    def pass_by(seconds):
        nonlocal now
        now += seconds

    class Epoch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pass_by(1.0)

    def save(path):
        pass_by(0.1)
        saved.append(path)
        path.write_bytes(b"")

    saved = []
    monkeypatch.setattr(vae, "save", save)
    monkeypatch.setattr(kg.callbacks.checkpoint.time, "perf_counter", lambda: now)
    checkpoint = Checkpoint(tmp_path)
    fit(vae, 60, [Epoch(), checkpoint], validation_data=None)
    # Epochs 1 and 2, then each 7th: .1 / .015 = 6.7; and the last.
    assert len(saved) == 2 + 8 + 1
    assert checkpoint.seconds == pytest.approx(1.1)
    assert checkpoint.share == pytest.approx(1.1 / now)
    assert checkpoint.share < 0.02
    # The model's file is empty: no more than epochs, losses and checksums are left.
    manifest = tmp_path / "epoch_0060.json"
    assert checkpoint.size == manifest.stat().st_size


@pytest.mark.once
@pytest.mark.parametrize("arguments", [{"every": 0}, {"folder": "pyproject.toml"}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        Checkpoint(**{"folder": "x", **arguments})


@pytest.mark.once
def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(Killed), files.whole(path) as unfinished:
        unfinished.write_text("half of")
        raise Killed
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"
    with files.whole(path) as unfinished:
        unfinished.write_text("after")
    assert path.read_text() == "after"
