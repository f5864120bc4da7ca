"""Bad input, full disks and damaged files: each is refused or reported, and nothing is lost.

`python -m tests.faults.bad_input MODEL FOLDER` tries all on the backend that is set. It
prints, as JSON, what was wrong with the outcome of each case, or null.
"""

import contextlib
import functools
import importlib
import io
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import warnings

from train import environment, run_folder


def main():
    environment.quiet_tensorflow()
    model, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    outcomes = {}
    for name, case in CASES.items():
        place = folder / name
        place.mkdir(parents=True)
        try:
            # Only the last line is for the caller.
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                case(model, place)
            outcomes[name] = None
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(outcomes))


def unwritable_folder(model, folder):
    (folder / "file").write_text("kept")
    _refused(model, 2, "cannot be written to", "--out", folder / "file" / "run")
    _check((folder / "file").read_text() == "kept", "the file has changed")


def folder_of_another_run(model, folder):
    hold = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); "
        "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", hold, str(folder / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            _refused(model, 2, "is writing to", "--out", folder, "--epochs", 1)
        finally:
            process.kill()
    _check([path.name for path in folder.iterdir()] == [".lock"], "files were written")


def resume_with_another_argument(model, folder):
    config = {"command": f"python -m train.{model}", "arguments": {"epochs": 5}, "backend": "none"}
    (folder / "config.json").write_text(json.dumps(config))
    _refused(model, 2, "which would be another run", "--resume", "--epochs", 6, "--out", folder)
    _refused(model, 2, "Set KERAS_BACKEND=none", "--resume", "--out", folder)


def truncated_checkpoint(model, folder):
    path = _checkpoints(model, folder) / "epoch_0003.keras"
    path.write_bytes(path.read_bytes()[:-1000])
    _falls_back(model, folder)


def flipped_byte_in_a_checkpoint(model, folder):
    path = _checkpoints(model, folder) / "epoch_0003.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    _falls_back(model, folder)


def checkpoint_of_another_model(model, folder):
    import keras_gen as kg

    _checkpoints(model, folder)
    with _raises(ValueError, "is of another model"):
        kg.callbacks.Checkpoint(folder).last_epoch(_model(model, width=5))


def disk_full_at_a_checkpoint(model, folder):
    import keras_gen as kg

    _checkpoints(model, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with _full_disk(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit(_model(model), 5, [kg.callbacks.Checkpoint(folder, every=1)])
    said = [str(warning.message) for warning in caught]
    _check(any("could not be written" in text for text in said), f"said: {said}")
    after = {path: path.read_bytes() for path in folder.iterdir()}
    _check(after == before, "the checkpoints from before have changed")


def disk_full_at_the_model(model, folder):
    built = _model(model)
    run_folder.save(folder, built)
    before = (folder / "model.keras").read_bytes()
    with _full_disk(), _raises(OSError, "File too large"):
        run_folder.save(folder, built)
    _check((folder / "model.keras").read_bytes() == before, "model.keras has changed")
    _check(len(list(folder.iterdir())) == 1, "something unfinished was left")


def damaged_file_of_a_data_set(model, folder):
    import keras_gen as kg

    kg.data.load("digits", data_dir=folder / "data")
    (path,) = (folder / "data").glob("**/*digits-train*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    arguments = ("--data-dir", folder / "data", "--out", folder / "run")
    _refused(model, 2, "cannot be read", *arguments)
    for damage in (b"damaged", b"[]", b"\xff"):
        path.with_name("dataset_info.json").write_bytes(damage)
        _refused(model, 2, f"dataset_info.json in {path.parent} is damaged", *arguments)


def nan_in_the_data_after_some_steps(model, folder):
    import numpy as np

    import keras_gen as kg

    class Spoiled(kg.data.ArrayDataset):
        def examples(self, rows):
            x = super().examples(rows)
            return x * np.float32("nan") if self.epoch == 2 else x

    built, guard = _model(model), kg.callbacks.StopAtNonFinite()
    data = Spoiled(_examples(model), batch_size=8)
    callbacks = [guard, kg.callbacks.Checkpoint(folder, every=1)]
    built.fit(data, epochs=5, verbose=0, callbacks=callbacks)
    _check("Epoch 3: a loss or gradient of the " in (guard.message or ""), f"said: {guard.message}")
    _check_finite(built)
    _check(kg.callbacks.Checkpoint(folder).last_epoch(_model(model)) == 2, "no checkpoint of 2")


def losses_that_explode(model, folder):
    rates = ["--learning-rate", "1e30"]
    if model == "gan":
        rates = ["--generator-learning-rate", "1e30", "--discriminator-learning-rate", "1e30"]
    size = {"vae": ["--hidden", "16"], "gan": ["--network", "mlp"]}[model]
    _refused(model, 1, "Training diverged", *size, *rates, "--epochs", 2, "--out", folder / "run")

    import keras

    _check_finite(keras.saving.load_model(folder / "run" / "model.keras"))


def label_out_of_range_in_a_stream(model, folder):
    import numpy as np

    import keras_gen as kg

    def batches():
        for i in range(12):
            yield _examples(model)[:8], np.full(8, 3 if i == 9 else i % 3)

    built, guard = _model(model, num_classes=3), kg.callbacks.StopAtNonFinite()
    built.fit(batches(), steps_per_epoch=4, epochs=3, shuffle=False, verbose=0, callbacks=[guard])
    _check("perhaps one is not in 0 to 2" in (guard.message or ""), f"said: {guard.message}")
    _check_finite(built)


def data_of_the_wrong_kind(model, folder):
    import numpy as np

    x = _examples(model)
    holed = x.copy()
    holed[0] = np.nan
    bad = {
        "floats are expected": (255 * x).astype("uint8"),
        "was built for": x[:, :-1],
        "NaN": holed,
        "empty": x[:0],
    }
    for said, data in bad.items():
        with _raises(ValueError, said):
            _model(model).fit(data, verbose=0)
    with _raises(ValueError, "The labels go from 0 to 3"):
        _model(model, num_classes=3).fit(x, np.arange(len(x)) % 4, verbose=0)


CASES = {
    case.__name__: case
    for case in (
        unwritable_folder,
        folder_of_another_run,
        resume_with_another_argument,
        truncated_checkpoint,
        flipped_byte_in_a_checkpoint,
        checkpoint_of_another_model,
        disk_full_at_a_checkpoint,
        disk_full_at_the_model,
        damaged_file_of_a_data_set,
        nan_in_the_data_after_some_steps,
        losses_that_explode,
        label_out_of_range_in_a_stream,
        data_of_the_wrong_kind,
    )
}


def _refused(model, code, message, *arguments):
    """Run a script within this process, and check how it ends."""
    script = importlib.import_module(f"train.{model}")
    said, came = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            script.main([str(argument) for argument in arguments])
        except SystemExit as error:
            came = error.code
            if isinstance(came, str):
                said.write(came)
                came = 1
    text = said.getvalue()
    _check(came == code and message in text, f"exit code {came}, said: {text[-500:]}")


def _model(model, width=6, num_classes=None):
    import keras

    import keras_gen as kg

    keras.utils.set_random_seed(0)
    options = {} if num_classes is None else {"num_classes": num_classes}
    if model == "vae":
        networks = kg.networks.mlp_vae((8, 8, 1), 3, hidden=(width,), **options)
        built = kg.VAE(*networks, seed=0, **options)
        built.compile(optimizer="adam")
    else:
        networks = kg.networks.point_gan((8,), 3, hidden=(width,), **options)
        built = kg.GAN(*networks, latent_dim=3, seed=0, **options)
        built.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    return built


def _examples(model):
    import numpy as np

    shape = (8, 8, 1) if model == "vae" else (8,)
    return np.random.default_rng(0).random((24, *shape), "float32")


def _fit(built, epochs, callbacks):
    import keras_gen as kg

    examples = _examples("vae" if hasattr(built, "encoder") else "gan")
    data = kg.data.ArrayDataset(examples, batch_size=8)
    built.fit(data, epochs=epochs, verbose=0, callbacks=callbacks)


@functools.cache
def _four_epochs(model):
    """Train once; return the files of the checkpoints of epochs 2 and 3, and the last weights."""
    import keras_gen as kg

    built, data = _model(model), kg.data.ArrayDataset(_examples(model), batch_size=8)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = kg.callbacks.Checkpoint(folder, every=1)
        built.fit(data, epochs=3, verbose=0, callbacks=[checkpoint])
        files = {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
    built.fit(data, initial_epoch=3, epochs=4, verbose=0)
    return files, built.get_weights()


def _checkpoints(model, folder):
    """Return a folder with the checkpoints of the epochs 2 and 3."""
    files, _ = _four_epochs(model)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _falls_back(model, folder):
    """Check that a run goes on after epoch 2, to the end of one that was never stopped."""
    import numpy as np

    import keras_gen as kg

    resumed = _model(model)
    checkpoint = kg.callbacks.Checkpoint(folder)
    _check(checkpoint.last_epoch(resumed) == 2, "the checkpoint of epoch 2 is not used")
    _fit(resumed, 4, [checkpoint])
    _, weights = _four_epochs(model)
    for a, b in zip(weights, resumed.get_weights(), strict=True):
        _check(np.array_equal(a, b), "the weights are others")


@contextlib.contextmanager
def _full_disk():
    """Let no file grow beyond 5,000 bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def _raises(kind, message):
    try:
        yield
    except kind as error:
        _check(message in str(error), f"said: {error}")
    else:
        raise AssertionError(f"nothing was refused: {message!r} was expected")


def _check(true, otherwise):
    if not true:
        raise AssertionError(otherwise)


def _check_finite(built):
    import numpy as np

    _check(all(np.all(np.isfinite(w)) for w in built.get_weights()), "weights are not finite")


if __name__ == "__main__":
    main()
