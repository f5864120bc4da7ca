"""A run folder of a stranger: its own code does not run, and no file outside of it is written."""

import json
import pathlib
import shlex
import sys

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen import files
from tests.faults import hostile
from train import config, evaluate, export, run_folder, vae

pytestmark = pytest.mark.once

SET = "mnist:9.9.9"
CODE = """
import pathlib

pathlib.Path(__file__).with_name("ran").touch()

import tensorflow_datasets as tfds


class Feature(tfds.features.FeaturesDict):
    pass
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A stopped or finished run with a prepared data set that names a module of its own.

    The module is below the working directory, where `python -m` finds it.
    """
    name = f"stranger{len(list(tmp_path.parent.iterdir()))}"  # Python imports a name once.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = pathlib.Path(name)
    data = folder / "mnist" / "9.9.9"
    data.mkdir(parents=True)
    (folder / "code.py").write_text(CODE)
    feature = {"type": f"{name}.code.Feature", "content": ""}
    (data / "features.json").write_text(json.dumps(feature))
    (data / "dataset_info.json").write_text(json.dumps({"name": "mnist", "version": "9.9.9"}))
    hostile.build("vae").save(folder / "model.keras")
    yield folder
    sys.modules.pop(f"{name}.code", None)


def write_config(folder, **arguments):
    content = {
        "command": "python -m train.vae",
        "arguments": arguments,
        "backend": keras.config.backend(),
    }
    (folder / "config.json").write_text(json.dumps(content))


def run(script, *arguments):
    """Run a script; return its exit code."""
    try:
        script.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code
    return 0


def test_the_trap_is_set(stranger):
    """Whoever types the folder himself runs its code: TFDS imports what a set names."""
    with pytest.raises(Exception):  # noqa: B017 After the import TFDS finds the rest wanting.
        kg.data.load(SET, data_dir=str(stranger), download=False)
    assert (stranger / "ran").exists()


@pytest.mark.parametrize("place", [str, lambda path: str(path.absolute())], ids=["near", "far"])
@pytest.mark.parametrize(
    "typed", [(), ("--dataset", SET), ("--dataset", "mnist")], ids=["none", "version", "name"]
)
def test_evaluate_runs_no_code_that_came_with_a_run(stranger, capsys, place, typed):
    write_config(stranger, dataset=SET, data_dir=place(stranger))
    assert run(evaluate, stranger, *typed) == 2
    assert "config.json" in capsys.readouterr().err
    assert not (stranger / "ran").exists()


@pytest.mark.parametrize("named", [{"dataset": SET}, {"data_dir": "."}, {"manual_dir": "."}])
def test_nothing_that_a_config_names_is_taken_for_data(stranger, capsys, named):
    write_config(stranger, **named)
    (stranger / "checkpoint").mkdir()
    (stranger / "checkpoint" / "epoch_0001.json").write_text("{}")
    path = stranger / "config.json"
    _, settings, _ = config.read(path, {"vae": vae.make_parser()})
    if "manual_dir" in named:  # Used to prepare a set: it is dropped.
        config.trust(path, settings)
        assert settings.manual_dir is None
        return
    assert run(vae, "--resume", "--out", stranger) == 2
    said = capsys.readouterr().err
    (name, value), *_ = named.items()
    option = f"--{name.replace('_', '-')}={value}"
    assert "used only if you repeat it" in said and f"add {shlex.quote(option)} if you know" in said
    assert not (stranger / "ran").exists()
    config.trust(path, settings, **named)  # Repeated, it is used.
    assert getattr(settings, name) == value


def test_resume_runs_no_code_that_came_with_a_run(stranger, capsys):
    write_config(stranger, dataset=SET, data_dir=str(stranger))
    (stranger / "checkpoint").mkdir()
    (stranger / "checkpoint" / "epoch_0001.json").write_text("{}")
    (stranger / "model.keras").unlink()
    assert run(vae, "--resume", "--out", stranger) == 2
    assert "used only if you repeat it" in capsys.readouterr().err
    assert not (stranger / "ran").exists()


NAMES = [
    *run_folder.FILES,
    *("samples", "checkpoint", "tensorboard", "saved_model", "onnx"),
    *(".lock", "checkpoint/.lock", "checkpoint/epoch_0001.keras", "samples/epoch_0001.png"),
    *("saved_model/variables", "onnx/decode.onnx", "tensorboard/events.out.1"),
]


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
@pytest.mark.parametrize("name", NAMES)
def test_no_script_writes_through_a_link(tmp_path, capsys, name, option):
    out, victim = tmp_path / "run", tmp_path / "victim"
    (out / name).parent.mkdir(parents=True)
    write_config(out)
    is_folder = name in run_folder.FOLDERS
    if is_folder:
        victim.mkdir()
    inside = victim / "epoch_0001.png" if is_folder else victim
    inside.write_text("kept")
    (out / name).unlink(missing_ok=True)
    (out / name).symlink_to(victim)
    before = sorted(tmp_path.rglob("*"))
    for script, arguments in (
        (vae, ("--epochs", 1, option, "--out", out)),
        (evaluate, (out,)),
        (export, (out,)),
    ):
        assert run(script, *arguments) == 2
        said = capsys.readouterr().err
        if script is vae:
            assert f"{out / name} is a symbolic link" in said
    assert inside.read_text() == "kept"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_lock_that_is_a_link_is_not_followed(tmp_path, there):
    victim = tmp_path / "victim"
    if there:
        victim.write_text("kept")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(ValueError, match="is a symbolic link"):
        files.Lock(folder)
    model = hostile.build("vae")
    images = kg.data.ArrayDataset(np.zeros((4, 4, 4, 1), "uint8"), batch_size=2)
    with pytest.raises(ValueError, match="is a symbolic link"):
        model.fit(images, verbose=0, callbacks=[kg.callbacks.Checkpoint(folder)])
    assert victim.exists() == there and (not there or victim.read_text() == "kept")


def test_a_file_is_written_in_the_place_of_a_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("model.keras", ".model.tmp.keras"):
        (tmp_path / name).symlink_to(victim)
    with files.whole(tmp_path / "model.keras") as path:
        path.write_text("weights")
    assert victim.read_text() == "kept"
    assert (tmp_path / "model.keras").read_text() == "weights"
    assert not (tmp_path / "model.keras").is_symlink()
