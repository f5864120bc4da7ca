"""`--resume`: which run goes on, and what is refused. That it ends the same is in tests/faults.

Which one the files of the run decide, whatever the backend: those tests run once.
"""

import csv
import json
import pathlib
import shutil

import keras
import pytest

import keras_gen as kg
from train import config, gan, resume, vae

TINY = ("--hidden", "4", "--latent-dim", "3", "--checkpoint-every", "1")


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture
def train(tmp_path, data_dir, capsys):
    def train(*arguments, script=vae):
        options = ("--data-dir", data_dir, "--out", tmp_path / "run")
        try:
            script.main([str(argument) for argument in (*arguments, *options)])
            code = 0
        except SystemExit as error:
            code = error.code
        said = capsys.readouterr()
        return code, said.out + said.err

    return train


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory, data_dir):
    begin = kg.callbacks.Checkpoint.on_epoch_begin

    def stop(callback, epoch, logs=None):
        if epoch == 2:
            for other in callback.callbacks:
                if isinstance(other, keras.callbacks.CSVLogger):
                    other.on_train_end()  # As the end of a process does.
            raise Stopped
        begin(callback, epoch, logs)

    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(kg.callbacks.Checkpoint, "on_epoch_begin", stop)
        options = ("--data-dir", str(data_dir), "--out", str(out))
        vae.main([*TINY, "--epochs", "4", *options])
    return out


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """The folder of a run of four epochs, stopped in its third."""
    return pathlib.Path(shutil.copytree(stopped_once, tmp_path / "run"))


@pytest.mark.once
def test_it_goes_on_with_the_arguments_of_the_run(train, stopped):
    (stopped / ".model.tmp.keras").write_text("of a process that was killed")
    config = (stopped / "config.json").read_text()
    code, said = train("--resume", "--checkpoint-every", 2, "--latent-dim", 3)
    assert code == 0
    assert f"Resumed from {stopped}/checkpoint, after epoch 2.\n" in said
    with open(stopped / "history.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    assert keras.saving.load_model(stopped / "model.keras").latent_dim == 3
    assert (stopped / "config.json").read_text() == config
    left = {path.name for path in stopped.iterdir()}
    assert left == {
        *("config.json", "curves.png", "history.csv", "metrics.json", "model.keras", "samples"),
        *("preview.png", "report.html", "report.json", "samples.gif"),
    }
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    code, said = train("--resume")
    assert code == 0
    assert "is finished: there is nothing to resume. --from" in said
    code, said = train("--resume", "--epochs", "9")
    assert (
        code == 2
        and "was started with epochs = 4" in said
        and "to train on from its weights" in said
    )
    assert before == {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}


@pytest.mark.once
def test_rows_of_epochs_after_the_checkpoint_come_once(train, stopped):
    for path in (stopped / "checkpoint").glob("epoch_0002.*"):
        path.unlink()
    code, said = train("--resume")
    assert code == 0
    assert "after epoch 1.\n" in said
    with open(stopped / "history.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, script, message",
    [
        ((), vae, "holds a run that was stopped. Add --resume to continue it, or --overwrite"),
        (("--resume", "--epochs", 9), vae, "started with epochs = 4, and --resume was given 9"),
        (("--resume", "--overwrite"), vae, "--resume continues the run in --out, and --overwrite"),
        (("--resume",), gan, "holds no run of python -m train.gan to resume"),
    ],
)
def test_what_would_be_another_run_is_refused(train, stopped, arguments, script, message):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    code, said = train(*arguments, script=script)
    assert code == 2
    assert message in said
    assert before == {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}


@pytest.mark.once
def test_another_backend_is_refused(train, stopped):
    config = json.loads((stopped / "config.json").read_text())
    (stopped / "config.json").write_text(json.dumps({**config, "backend": "mxnet"}))
    code, said = train("--resume")
    assert code == 2
    assert "was started on mxnet" in said and "Set KERAS_BACKEND=mxnet." in said


@pytest.mark.once
def test_without_a_checkpoint_it_begins_if_asked_and_says_so(train, stopped):
    for path in (stopped / "checkpoint").iterdir():
        path.unlink()
    history = (stopped / "history.csv").read_bytes()
    code, said = train()
    assert code == 2
    assert "was stopped before its first checkpoint. Add --overwrite" in said
    assert (stopped / "history.csv").read_bytes() == history
    code, said = train("--resume")
    assert code == 0
    assert "There is no checkpoint in" in said and "starts from the beginning" in said
    with open(stopped / "history.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


@pytest.mark.once
def test_where_there_is_no_run_one_begins(train, tmp_path):
    code, said = train("--resume", *TINY, "--epochs", 1)
    assert code == 0
    assert f"There is no run in {tmp_path}/run to resume: one begins.\n" in said
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.once
def test_overwrite_replaces_a_stopped_run(train, stopped):
    code, _ = train("--overwrite", *TINY, "--epochs", 1)
    assert code == 0
    assert not (stopped / "checkpoint").exists()


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--recipe", "wgan_gp"),
        ("--recipe", "r3gan", "--penalty", "r1"),
        ("--dataset", "ring", "--filters", "8", "16"),
        ("--penalty",),
    ],
)
def test_options_of_a_gan_that_were_filled_in_are_those_of_the_run(tmp_path, arguments):
    parser = gan.make_parser()
    args = parser.parse_args([*arguments, "--out", str(tmp_path)])
    gan.fill_in(args)
    config.write(tmp_path / "config.json", "gan", args)
    content = config.arguments(args)
    argv = ["--resume", *arguments, "--out", str(tmp_path)]
    resumed = resume.resumed(parser, parser.parse_args(argv), argv)
    gan.fill_in(resumed)
    assert config.arguments(resumed) == content
