"""What train.gan chooses for a folder of images, and that it says so."""

import json

import numpy as np
import pytest
from PIL import Image

from train import by_data, gan, vae

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("sides", "filters"),
    [
        ((28, 28), [32, 64]),
        ((32, 32), [32, 64, 128]),
        ((64, 64), [16, 32, 64, 128]),
        ((128, 128), [16, 32, 64, 128, 128]),
        ((48, 64), [32, 64, 128]),
        ((33, 33), [32, 64]),  # The network says what is wrong with it.
    ],
)
def test_a_dcgan_has_a_layer_for_each_halving(sides, filters):
    assert by_data.filters(sides) == filters


def test_options_that_are_left_open_suit_the_images_and_are_printed(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(40):
        pixels = rng.integers(0, 256, (16, 16, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / f"photos/{i}.png")
    small = ["--batch-size", "18", "--latent-dim", "2", "--filters", "2", "4"]
    out = tmp_path / "out"
    gan.main(["--dataset", str(tmp_path / "photos"), "--epochs", "1", *small, "--out", str(out)])
    printed = capsys.readouterr().out
    assert "filters 2 4: one for each halving" in printed and "augment diff_augment" in printed
    settings = json.loads((out / "config.json").read_text())["arguments"]
    assert settings["augment"] == "diff_augment" and settings["sample_every"] == 1
    assert settings["ema"] == 0.998
    assert (
        "After 2 steps 100% of the averaged weights" in printed and "pass --ema 0.223." in printed
    )

    args = gan.make_parser().parse_args(["--dataset", str(tmp_path / "photos")])
    gan.settle(args)
    train, _ = gan.load(args)
    by_data.choose(args, train)
    # 36 images in batches of 32, of which the full ones are used: 6,000 steps.
    assert args.epochs == 6_000 and args.filters == [32, 64]


@pytest.mark.parametrize(("channels", "likelihood"), list(by_data.LIKELIHOODS.items()))
def test_a_vae_of_a_folder_is_convolutional_with_a_likelihood_for_its_colours(
    tmp_path, capsys, channels, likelihood
):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    args = vae.make_parser().parse_args(["--dataset", str(tmp_path)])
    vae.settle(args)

    class Data(list):
        num_examples, images = 1_000, np.zeros((1_000, 32, 32, channels), "uint8")

    vae.fill_in_by_data(args, Data(range(16)))
    chosen = (args.network, args.hidden, args.likelihood, args.latent_dim, args.batch_size)
    assert (*chosen, args.prior) == ("conv", [32, 64, 128], likelihood, 64, 64, "flow")
    assert (args.epochs, args.sample_every) == (375, 25)  # 6,000 steps.
    assert f"likelihood {likelihood}: the images have {channels} channel" in capsys.readouterr().out
    encoder = vae.build(args, Data.images.shape[1:]).encoder
    assert encoder.input_shape == (None, 32, 32, channels)


@pytest.mark.parametrize("sides", [(15, 15), (18, 25), (6, 6)])
def test_a_vae_of_images_that_have_no_half_is_told_what_works(tmp_path, sides):
    class Data(list):
        num_examples, images = 1_000, np.zeros((1_000, *sides, 3), "uint8")

    def settings(*words):
        args = vae.make_parser().parse_args(["--dataset", str(tmp_path), *words])
        vae.settle(args)
        vae.fill_in_by_data(args, Data(range(16)))
        return args

    with pytest.raises(ValueError, match="Pass --network mlp, or an even --size of at least 8"):
        settings()
    built = vae.build(settings("--network", "mlp"), (*sides, 3))
    assert built.encoder.input_shape == (None, *sides, 3)


@pytest.mark.parametrize(
    ("words", "prior"),
    [
        ("", "flow"),
        ("--prior mixture", "mixture"),
        ("--free-bits 1", "standard_normal"),
        ("--latent-dim 2", "standard_normal"),
        ("--latent-dim 2 --prior flow", "flow"),
    ],
)
def test_the_prior_of_a_folder_is_learned_where_it_can_be(tmp_path, words, prior):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    args = vae.make_parser().parse_args(["--dataset", str(tmp_path), *words.split()])
    vae.settle(args)
    assert args.prior == prior
    args = vae.make_parser().parse_args(words.split())
    vae.settle(args)  # Of the digits.
    assert args.prior == ("standard_normal" if prior == "flow" and not words else prior)


def test_the_ramp_of_adaptive_augmentation_is_a_quarter_of_the_run():
    args = gan.make_parser().parse_args(["--augment", "adaptive", "--epochs", "8"])
    gan.settle(args)

    class Data:
        num_examples = 100

    gan.fill_in_by_data(args, Data, (8, 8, 1))
    assert gan.build(args, (8, 8, 1), None).augment.ramp_images == 200


def test_packed_images_are_not_augmented_unless_told(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    args = gan.make_parser().parse_args(["--dataset", str(tmp_path), "--packing", "2"])
    gan.settle(args)

    class Data(list):
        num_examples, images, batch_size = 100, np.zeros((100, 8, 8, 1), "uint8"), 32

    by_data.choose(args, Data(range(3)))
    assert args.augment == "none"


def test_a_folder_smaller_than_a_batch_makes_a_smaller_batch(tmp_path, capsys):
    for i in range(10):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    words = ["--dataset", str(tmp_path), "--d-steps", "2", "--latent-dim", "2", "--filters", "2"]
    args = gan.make_parser().parse_args(words)
    gan.settle(args)
    train, _ = gan.load(args)
    # The options stay, for --resume with the same ones.
    assert (args.batch_size, len(train), train.num_read) == (32, 1, 8)
    assert "The batch size is 4, and not 32: there are so few images." in capsys.readouterr().out
