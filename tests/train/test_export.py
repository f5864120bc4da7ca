"""The script exports what a training script has left, and a rerun clears it away."""

import importlib.util
import json

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.models import tiny
from train import export, vae

QUICK = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1"]

if not importlib.util.find_spec("tensorflow"):
    pytest.skip("a SavedModel is written by TensorFlow", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vae"
    vae.main([*QUICK, "--data-dir", str(folder.parent / "tfds"), "--out", str(folder)])
    return folder


def refused(*arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        export.main([*map(str, arguments)])
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.once
@pytest.mark.parametrize(
    ("trained_with", "typed", "expected"),
    [
        (0.9, [], {"ema": True}),
        (0.9, ["--no-ema"], {}),
        (None, [], {}),
        (None, ["--ema"], {"ema": True}),
    ],
)
def test_what_is_exported_has_the_weights_of_the_pictures(
    trained_with, typed, expected, tmp_path, monkeypatch
):
    tiny.gan().save(tmp_path / "model.keras")
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {"ema": trained_with}}))
    given = []

    def keep(self, filepath, format, overwrite, verbose, **weights):
        given.append(weights)
        return {}

    monkeypatch.setattr(kg.GAN, "export", keep)
    export.main([str(tmp_path), *typed])
    assert given == [expected]
    assert kg.load_run(tmp_path).weights == ({} if trained_with is None else {"ema": True})


def test_a_run_is_exported_into_its_folder_and_cleared_by_the_next(folder, capsys):
    other = folder.parent / "empty"
    assert "holds no finished run" in refused(other, capsys=capsys)
    assert "holds a VAE" in refused(folder, "--ema", capsys=capsys)
    export.main([str(folder)])
    out = folder / "saved_model"
    assert f"{out}: loaded without keras_gen" in (printed := capsys.readouterr().out)
    assert "sample_seeded(like (n), seed (2)): " in printed and "sample(like (n)): draws" in printed
    assert {path.name for path in out.iterdir()} >= {"saved_model.pb", "variables"}
    assert not list(folder.glob(".saved_model*"))
    assert "exists" in refused(folder, capsys=capsys)
    import tensorflow as tf

    model = keras.saving.load_model(folder / "model.keras")
    z = np.random.default_rng(0).standard_normal((3, 2)).astype("float32")
    loaded = tf.saved_model.load(out)
    np.testing.assert_allclose(loaded.decode(z)["x"], model.decode(z), rtol=1e-5, atol=1e-5)
    if keras.config.backend() == "tensorflow":
        has_onnx = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))
        # reconstruct, encode, decode, and in the SavedModel sample, sample_seeded.
        assert export.targets(folder) == (8 if has_onnx else 5, 8)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "decode.onnx").touch()
    vae.main(
        [*QUICK, "--data-dir", str(folder.parent / "tfds"), "--out", str(folder), "--overwrite"]
    )
    assert not out.exists() and not (folder / "onnx").exists()
