"""The study of recipes: each is one that `train.gan` accepts, and no run is repeated."""

import csv
import pathlib

import keras
import numpy as np
import pytest

import keras_gen as kg
from train import gan, study

pytestmark = pytest.mark.once


def test_each_recipe_is_accepted_by_the_script(tmp_path):
    (tmp_path / "smileys_emotion").mkdir()
    for typed in study.RECIPES.values():
        gan.settle(gan.make_parser().parse_args(typed.format(images=tmp_path).split()))


def test_a_run_that_is_in_the_table_is_not_repeated(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "PAGE", tmp_path / "runs.csv")
    monkeypatch.setattr(study, "RECIPES", {"plain": "--epochs 2"})
    trained = []
    monkeypatch.setattr(gan, "main", lambda typed: trained.append(typed) or _stop())
    settings = gan.make_parser().parse_args(["--epochs", "2"])
    gan.settle(settings)
    row = {"data": "digits", "recipe": "plain", "settings": study.describe(settings), "seed": "1"}
    assert "epochs=2 batch_size=64" in row["settings"] and "filters=32,64 " in row["settings"]
    with open(study.PAGE, "w", newline="") as file:
        table = csv.DictWriter(file, study.HEADER)
        table.writeheader()
        table.writerow({**row, "backend": keras.config.backend()})
    study.main(["--seed", "1"])
    assert not trained
    with pytest.raises(InterruptedError):
        study.main(["--seed", "1", "2"])
    ((*typed, _, out),) = trained
    assert typed == ["--epochs", "2", "--seed", "2"]
    assert not pathlib.Path(out).exists()


@pytest.mark.parametrize(
    "typed, said", [([], "needs --images FOLDER"), (["none"], "there is no recipe 'none'")]
)
def test_what_no_recipe_can_use_is_refused_before_the_first_run(typed, said, monkeypatch, capsys):
    monkeypatch.setattr(study, "run", lambda *_: pytest.fail("it trains"))
    with pytest.raises(SystemExit):
        study.main(typed)
    assert said in capsys.readouterr().err


def test_samples_have_the_classes_of_the_real_images_in_whose_place_they_are(monkeypatch):
    y = np.repeat([0, 1, 2], [150, 40, 10])
    sets = [kg.data.ArrayDataset(np.zeros((200, 1), "float32"), y) for _ in range(2)]
    monkeypatch.setattr(kg.data, "load", lambda *_, **__: sets)
    *_, labels = study.load.__wrapped__("digits")
    order = np.random.default_rng(0).permutation(400)
    np.testing.assert_array_equal(labels, np.tile(y, 2)[order[200:]])


def _stop():
    raise InterruptedError
