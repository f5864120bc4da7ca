"""A run folder that someone else has written."""

import json
import pathlib
import shutil

import pytest

from tests.faults import hostile
from train import evaluate, folders, vae

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data_dir = folder / "tfds"
    out = folder / "out"
    arguments = ["--hidden", "4", "--latent-dim", "2", "--epochs", "1"]
    vae.main([*arguments, "--data-dir", str(data_dir), "--out", str(out)])
    return out


@pytest.fixture
def copied(finished, tmp_path):
    return pathlib.Path(shutil.copytree(finished, tmp_path / "run"))


def rewrite(folder, **arguments):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["arguments"].update(arguments)
    path.write_text(json.dumps(config))


def refusal(capsys, folder):
    """What train.evaluate says of a folder that it refuses, in one message."""
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([str(folder), "--num-samples", "1"])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_every_argument_of_a_run_is_read_and_a_missing_one_has_its_default(copied):
    script, settings = folders.read_run(copied)
    assert (script, settings.hidden, settings.latent_dim) == ("vae", [4], 2)
    assert settings.data_dir.endswith("tfds")
    config = json.loads((copied / "config.json").read_text())
    del config["arguments"]["likelihood"]
    (copied / "config.json").write_text(json.dumps(config))
    assert folders.read_run(copied)[1].likelihood == "bernoulli"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "evil:mnist"}, "names the data set 'evil:mnist'"),
        ({"dataset": "../../tmp"}, "names the data set '../../tmp'"),
        ({"dataset": None}, "has the argument dataset='None'"),
        ({"batch_size": "os.system('ls')"}, "has the argument batch_size="),
        ({"batch_size": -1}, "has the argument batch_size='-1'"),
        ({"seed": 1e400}, "has the argument seed='inf'"),
        ({"seed": [1]}, "has the argument seed="),
        ({"conditional": "yes"}, "has the argument conditional="),
        ({"likelihood": "eval"}, "has the argument likelihood='eval'"),
        ({"__class__": "x"}, "has the argument __class__="),
        ({"data_dir": "/"}, "names the data_dir /, and digits is not prepared there"),
    ],
)
def test_arguments_that_no_script_has_written_are_refused(copied, capsys, arguments, message):
    rewrite(copied, **arguments)
    assert message in refusal(capsys, copied)


def test_data_that_came_with_the_run_are_not_read(copied, capsys):
    (copied / "tfds" / "digits").mkdir(parents=True)
    rewrite(copied, data_dir=str(copied / "tfds"))
    assert "that is in the run itself" in refusal(capsys, copied)
    assert list((copied / "tfds" / "digits").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "null", "[]", '{"command": "make"}', "{" + " " * 2**20 + "}", "\xff"],
    ids=["deep", "null", "list", "another's", "large", "bytes"],
)
def test_a_config_that_is_none_is_refused(copied, capsys, text):
    (copied / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json" in refusal(capsys, copied)


@pytest.mark.parametrize("name", ["lambda_layer", "climbing", "external_link"])
def test_a_hostile_model_in_a_run_is_refused(copied, tmp_path, capsys, name):
    (tmp_path / "made").mkdir()
    hostile.build("vae").save(tmp_path / "made" / "good.keras")
    attempt = hostile.Attempt(name, tmp_path / "made" / "good.keras")
    shutil.copy(attempt.path, copied / "model.keras")
    assert "model.keras is refused" in refusal(capsys, copied)
    assert not attempt.bait.exists()


def test_a_model_of_another_kind_is_refused(copied, capsys):
    hostile.build("gan").save(copied / "model.keras")
    assert "a run of train.vae, and its model is a GAN" in refusal(capsys, copied)


def test_a_link_in_the_place_of_an_unfinished_file_is_not_followed(copied, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (copied / ".metrics.json.tmp").symlink_to(outside)
    evaluate.main([str(copied), "--num-samples", "2", "--num-examples", "5"])
    assert outside.read_text() == "kept"
    assert "nll" in json.loads((copied / "metrics.json").read_text())
