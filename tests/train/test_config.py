"""config.json: what is read of a run, which someone else may have written."""

import argparse
import json
import pathlib
import shutil

import keras
import pytest

from tests.faults import hostile
from train import config, evaluate, gan, vae

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
    content = json.loads(path.read_text())
    content["arguments"].update(arguments)
    path.write_text(json.dumps(content))


def refusal(capsys, folder, *arguments):
    """What train.evaluate says of a folder that it refuses, in one message."""
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([str(folder), "--num-samples", "1", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def data_dir_of(folder):
    """The folder of the data, as whoever has trained the run types it."""
    path = json.loads((folder / "config.json").read_text())["arguments"]["data_dir"]
    return ("--data-dir", path)


def typed(action):
    """An option of a script with a value that is not its default, as it is typed."""
    option = action.option_strings[-1]
    if action.nargs == 0:
        return [option]
    if action.choices:
        value = next(choice for choice in action.choices if choice != action.default)
    else:
        values = ("0.25", "3", "mnist")  # The first that its type accepts.
        value = next(value for value in values if accepts(action.type, value))
    return [option, str(value)] if action.nargs is None else [option, str(value), str(value)]


def accepts(type, text):
    try:
        return type(text) is not None
    except (ValueError, argparse.ArgumentTypeError):
        return False


@pytest.mark.parametrize("module", [vae, gan])
def test_every_option_of_a_script_comes_back_from_the_config(module, tmp_path):
    parser = module.make_parser()
    for action in parser._actions[1:]:  # After --help.
        args = parser.parse_args(typed(action))
        value = getattr(args, action.dest)
        assert value != action.default, f"{action.dest}: a value other than the default is needed"
        config.write(tmp_path / "config.json", parser.name, args)
        content = json.loads((tmp_path / "config.json").read_text())
        content["command"] = f"python -m train.{parser.name}"
        (tmp_path / "config.json").write_text(json.dumps(content))
        settings = config.read(tmp_path / "config.json", {parser.name: parser})[1]
        if action.dest not in config.OF_A_PROCESS:
            assert config.plain(getattr(settings, action.dest)) == config.plain(value)


def test_every_argument_of_a_run_is_read_and_a_missing_one_has_its_default(copied):
    path, parsers = copied / "config.json", {"vae": vae.make_parser()}
    script, settings, backend = config.read(path, parsers)
    assert (script, settings.hidden, settings.latent_dim) == ("vae", [4], 2)
    assert settings.data_dir.endswith("tfds") and backend == keras.config.backend()
    content = json.loads(path.read_text())
    del content["arguments"]["likelihood"]
    path.write_text(json.dumps(content))
    settings = config.read(path, parsers)[1]
    vae.fill_in(settings)
    assert settings.likelihood == "bernoulli"


def test_what_a_run_filled_in_is_in_its_config(copied):
    arguments = json.loads((copied / "config.json").read_text())["arguments"]
    assert arguments["sample_every"] == 1  # `--sample-every` was left open.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "evil:mnist"}, "has the argument dataset='evil:mnist'"),
        ({"dataset": "../no/folder"}, "has the argument dataset='../no/folder'"),
        ({"dataset": None}, "has the argument dataset='None'"),
        ({"batch_size": "os.system('ls')"}, "has the argument batch_size="),
        ({"batch_size": -1}, "has the argument batch_size='-1'"),
        ({"seed": 1e400}, "has the argument seed='inf'"),
        ({"seed": [1]}, "has the argument seed="),
        ({"conditional": "yes"}, "has the argument conditional="),
        ({"likelihood": "eval"}, "has the argument likelihood='eval'"),
        ({"__class__": "x"}, "has the argument __class__="),
        ({"hidden": ["-1"]}, "has the argument hidden="),
        ({"epochs": True}, "has the argument epochs='True'"),
        ({"beta": float("nan")}, "has the argument beta='nan'"),
        ({"data_dir": "/"}, "names the data-dir /"),
    ],
)
def test_arguments_that_no_script_has_written_are_refused(copied, capsys, arguments, message):
    rewrite(copied, **arguments)
    assert message in refusal(capsys, copied)


def test_data_that_came_with_the_run_are_not_read(copied, capsys):
    (copied / "tfds" / "digits").mkdir(parents=True)
    rewrite(copied, data_dir=str(copied / "tfds"))
    assert "so this is used only if you repeat it" in refusal(capsys, copied)
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
    assert "model.keras is refused" in refusal(capsys, copied, *data_dir_of(copied))
    assert not attempt.bait.exists()


def test_a_model_of_another_kind_is_refused(copied, capsys):
    hostile.build("gan").save(copied / "model.keras")
    assert "a run of train.vae, and its model is a GAN" in refusal(
        capsys, copied, *data_dir_of(copied)
    )


def test_a_link_in_the_place_of_an_unfinished_file_is_not_followed(copied, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (copied / ".metrics.json.tmp").symlink_to(outside)
    quick = ["--num-samples", "2", "--num-examples", "5", "--samples", "50"]
    quick += ["--features", "pixels"]
    evaluate.main([str(copied), *quick, *data_dir_of(copied)])
    assert outside.read_text() == "kept"
    assert "nll" in json.loads((copied / "metrics.json").read_text())


def test_a_run_that_goes_on_has_the_command_with_which_it_began(finished):
    began = json.loads((finished / "config.json").read_text())["command"]
    args = vae.make_parser().parse_args(["--resume", "--out", str(finished)])
    assert config.content("vae", args)["command"] == began
    args.resume = False
    assert config.content("vae", args)["command"].startswith("python -m train.vae")
