"""--from takes another run's weights where they fit, and says how many."""

import keras
import numpy as np
import pytest

import keras_gen as kg
from train import gan, vae

pytestmark = pytest.mark.once

QUICK = ["--epochs", "1", "--examples", "128"]


def test_a_run_starts_from_the_weights_of_another(tmp_path, capsys):
    data = ["--data-dir", str(tmp_path / "tfds")]
    small = [*QUICK, *data, "--hidden", "8", "--latent-dim", "2"]
    first, second, wider = (tmp_path / name for name in ("first", "second", "wider"))
    vae.main([*small, "--out", str(first)])
    # A step that is too small to move a float32 leaves what was taken.
    tiny = ["--learning-rate", "1e-30", "--from", str(first)]
    vae.main([*small, *tiny, "--seed", "7", "--out", str(second)])
    message = (
        f"From {first}: the weights of 3 of 3 layers of the encoder, 2 of 2 layers of the decoder."
    )
    assert message in capsys.readouterr().out
    before, after = (kg.load_run(folder).model for folder in (first, second))
    for theirs, ours in zip(before.trainable_weights, after.trainable_weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )
    # Another latent_dim: the layers next to z stay as they were drawn.
    vae.main([*small, *tiny, "--latent-dim", "3", "--out", str(wider)])
    assert "1 of 3 layers of the encoder, 1 of 2 layers of the decoder" in capsys.readouterr().out


def test_a_learned_prior_is_taken_with_the_networks(tmp_path, capsys):
    small = [*QUICK, "--data-dir", str(tmp_path / "tfds"), "--hidden", "8", "--latent-dim", "3"]
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    vae.main([*small, "--prior", "flow", "--out", str(first)])
    tiny = ["--learning-rate", "1e-30", "--from", str(first), "--seed", "7"]
    vae.main([*small, *tiny, "--prior", "flow", "--out", str(second)])
    assert "2 of 2 layers of the decoder, 1 of 1 layers of the prior." in capsys.readouterr().out
    before, after = (kg.load_run(folder).model.prior.get_weights() for folder in (first, second))
    assert any(np.any(weight) for weight in before)
    for theirs, ours in zip(before, after, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-20)
    vae.main([*small, *tiny, "--prior", "mixture", "--out", str(other)])
    assert "0 of 1 layers of the prior." in capsys.readouterr().out


def test_a_run_that_does_not_fit_is_refused(tmp_path, capsys):
    ring = ["--dataset", "ring", "--epochs", "1", "--batch-size", "2500"]
    gan.main([*ring, "--out", str(tmp_path / "ring")])
    for arguments, words in (
        (["--from", str(tmp_path)], "holds no finished run"),
        (
            ["--from", str(tmp_path / "ring"), "--data-dir", str(tmp_path)],
            "no layer of its GAN fits",
        ),
        (
            ["--from", str(tmp_path / "ring"), "--out", str(tmp_path / "ring" / ".")],
            "is the run that the new one would replace",
        ),
    ):
        with pytest.raises(SystemExit) as stopped:
            vae.main([*QUICK, "--out", str(tmp_path / "out"), *arguments])
        assert stopped.value.code == 2 and words in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
