"""What stands next to our recipe: the published networks, equal seconds, and the table."""

import itertools
import re

import keras
import numpy as np
import pytest

from train import gan, study
from train.reproduce import quality, table
from train.reproduce.peers import ours, worker

BACKEND = keras.config.backend()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="networks of Keras under TensorFlow")
def test_networks_of_tensorflow_have_the_published_sizes():
    """keras.io prints those of the WGAN-GP; the others are sums over the described layers."""
    from train.reproduce.peers import with_tensorflow as peers

    def sizes(players):
        return [player.count_params() for player in players]

    assert sizes(peers.wgan_gp_players()) == [910_660, 4_305_409]
    # Dense 100 x 12544 and four values a channel of batch norm, then 25 weights a pair of channels.
    generator = 104 * 12_544 + 25 * (256 * 128 + 128 * 64 + 64) + 4 * (128 + 64)
    assert sizes(peers.dcgan_players()) == [generator, 26 * 64 + (25 * 64 + 1) * 128 + 6273]
    generator = 139 * 49 * 138 + (16 * 138 + 1) * 128 + (16 * 128 + 1) * 128 + 49 * 128 + 1
    assert sizes(peers.conditional_players()) == [generator, 100 * 64 + 577 * 128 + 129]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a loop in TensorFlow")
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    import tensorflow as tf

    from train.reproduce.peers import with_tensorflow

    w = tf.constant([3.0, 4.0])[None, :, None, None]
    penalty = with_tensorflow.gradient_penalty(
        lambda x, training: tf.reduce_sum(w * x, (1, 2, 3)), tf.zeros((4, 2, 1, 1)), tf.ones(1)
    )
    assert float(penalty) == pytest.approx(16)


@pytest.mark.skipif(BACKEND != "torch", reason="networks of PyTorch")
def test_networks_of_pytorch_have_the_published_sizes():
    """Those of the DCGAN tutorial for three channels are 4 * 4 * 64 * 2 weights larger."""
    from train.reproduce.peers import with_torch

    players = with_torch.players()
    sizes = [sum(p.numel() for p in player.parameters()) for player in players]
    assert sizes == [3_576_704 - 2048, 2_765_568 - 2048]


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's tensors")
def test_images_that_were_enlarged_are_shrunk_to_themselves():
    import torch

    from train.reproduce.peers import with_torch

    x = torch.rand(2, 1, 28, 28)
    large = with_torch.enlarge(x)
    assert large.shape == (2, 1, 64, 64)
    np.testing.assert_allclose(with_torch.shrink(large), x, atol=1e-5)


@pytest.mark.once
def test_the_seconds_begin_after_the_first_step():
    steps = []
    facts = worker.train(lambda *batch: steps.append(batch), iter([(0, 0), (1, 1)]), 0.0)
    assert facts["steps"] == len(steps) == 1 and facts["seconds"] == 0.0


@pytest.mark.once
def test_batches_are_full_and_pass_over_all_images():
    x = np.arange(7)
    made = [part for part, _ in itertools.islice(worker.batches(x, x, 3, seed=0), 4)]
    assert all(len(set(np.concatenate(epoch))) == 6 for epoch in (made[:2], made[2:]))


@pytest.mark.once
def test_our_recipe_trains_for_its_epochs(monkeypatch):
    typed = "--dataset mnist --filters 4 --latent-dim 3 --epochs 2 --batch-size 4 --ema 0.9"
    args = gan.make_parser().parse_args([*typed.split(), "--jit-compile", "false"])
    gan.settle(args)
    monkeypatch.setattr(ours, "settings", lambda seed: args)
    x = np.random.default_rng(0).random((9, 28, 28, 1), "float32")
    facts, draw = ours.recipe(0, x, np.arange(9) % 3)
    assert facts["steps"] == 4 and facts.keys() >= {"seconds", "first_step", "cpu_seconds"}
    assert draw(np.arange(5) % 3).shape == (5, 28, 28, 1)


@pytest.mark.once
def test_every_peer_has_our_seconds_and_a_run_is_not_repeated(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "FILE", tmp_path / "quality.csv")
    monkeypatch.setattr(quality, "PICTURES", tmp_path)
    monkeypatch.setattr(table, "PAGE", tmp_path / "reproduced.md")
    table.PAGE.write_text(f"before\n{quality.BEGIN}\nold\n{table.END}\nafter")
    monkeypatch.setattr(quality.importlib.util, "find_spec", lambda name: name != "pythae" or None)
    trained = []

    def train(function, backend, seed, budget, **data):
        trained.append((function, budget))
        facts = {"steps": 10, "seconds": 61.5 + seed, "first_step": 1.0, "cpu_seconds": 100.0}
        return facts, {"": np.zeros((100, 2, 2, 1), "float32")}

    def score(dataset, fake, **data):
        return dict.fromkeys(study.SCORES, 0.5) | {"frechet_ratio": 1.5 + len(trained)}

    monkeypatch.setattr(quality, "train", train)
    monkeypatch.setattr(study, "score", score)
    results = quality.quality(0, data_dir=None)
    assert [name for name, _ in trained] == [
        "ours.recipe",
        *("with_tensorflow.dcgan", "with_torch.dcgan"),
        *("with_tensorflow.conditional", "with_tensorflow.wgan_gp"),
    ]
    assert [budget for _, budget in trained] == [None, *["61.5"] * 4]
    assert all(row.passed for row in results) and len(results) == 12
    assert (results[0].obtained, results[0].published) == (2.5, 3.5)
    quality.quality(0, data_dir=None)
    assert len(trained) == 5
    quality.quality(1, data_dir=None)
    text = table.PAGE.read_text()
    assert "old" not in text and "| 2 | 62 ± 1 | 10 | 0.500 |" in text
    assert re.search(r"conditional GAN.* 8\.0 ± 3\.5 \|", text)
    assert len(list(tmp_path.glob("*.png"))) == 10
