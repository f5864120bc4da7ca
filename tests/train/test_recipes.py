"""What the scripts offer by name is what the library has."""

import inspect

import keras
import numpy as np
import pytest

from keras_gen import augment, callbacks, likelihoods, networks, priors
from keras_gen.losses import adversarial, penalties
from train import gan, recipes, run_folder, vae


@pytest.mark.parametrize(
    "names, module",
    [
        (recipes.LOSSES, adversarial),
        (recipes.PENALTIES, penalties),
        (vae.LIKELIHOODS, likelihoods),
    ],
    ids=["loss", "penalty", "likelihood"],
)
def test_each_kind_of_the_library_has_its_name_in_the_script(names, module):
    kinds = [type(module.get(name)) for name in names]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == set(module.KINDS), "Add its name to the script's list."


@pytest.mark.parametrize("name", recipes.PENALTIES)
def test_a_penalty_is_made_by_its_name(name):
    args = gan.make_parser().parse_args(["--dataset", "ring", "--penalty", name])
    gan.settle(args)
    (penalty,) = gan.build(args, (2,), None).penalties
    assert type(penalty) is type(penalties.get(name))


@pytest.mark.once
@pytest.mark.parametrize(
    "options, weights",
    [
        ("", (0.4, 0.20005, 1e-4)),
        # Half a cosine: half-way it is the mean of both.
        ("--penalty-weight 4 --penalty-weight-end 1", (4, 2.5, 1)),
        ("--penalty-weight 4", (4, 4, 4)),
        ("--penalty r1 r2", (0.4, 0.20005, 1e-4)),  # As by default.
        ("--penalty r1", (10, 10, 10)),  # The paper's.
    ],
)
def test_the_weight_of_a_penalty_stays_or_falls(options, weights):
    args = gan.make_parser().parse_args(["--dataset", "ring", *options.split()])
    gan.settle(args)
    gamma = gan.build(args, (2,), None, steps=100).penalties[0].gamma
    values = [float(gamma(step) if callable(gamma) else gamma) for step in (0, 50, 100)]
    assert values == pytest.approx(weights, rel=1e-4)


@pytest.mark.once
def test_a_residual_vae_has_a_width_and_a_depth():
    args = vae.make_parser().parse_args(["--network", "resnet", "--hidden", "4"])
    vae.settle(args)
    one = vae.build(args, (8, 8, 3))
    args.hidden = [4, 2]
    assert len(vae.build(args, (8, 8, 3)).decoder.layers) > len(one.decoder.layers)
    args.hidden = [4, 2, 1]
    with pytest.raises(ValueError, match="width and depth"):
        vae.check(args)


@pytest.mark.parametrize("name", gan.AUGMENT)
def test_an_augmentation_is_made_by_its_name(name):
    arguments = ["--network", "resnet", "--width", "4", "--augment", name]
    args = gan.make_parser().parse_args(arguments)
    gan.settle(args)
    model = gan.build(args, (8, 8, 3), None)
    kinds = {"scheduled": augment.Scheduled, "none": type(None)}
    assert type(model.augment) is kinds.get(name) or type(augment.get(name))
    assert model.generator.output_shape == (None, 8, 8, 3)


@pytest.mark.once
def test_r3gan_has_the_schedules_of_its_code_for_ffhq_at_64_pixels():
    """From 2 to 0.2 at images in [-1, 1], where the squared gradient is a quarter of ours."""
    arguments = ["--recipe", "r3gan", "--width", "4", "--d-steps", "2"]
    args = gan.make_parser().parse_args(arguments)
    gan.settle(args)
    shape = (64, 64, 3)
    gan.fill_in_by_data(args, None, shape)
    model = gan.build(args, shape, None, steps=100)
    adam = gan.adam(args, args.generator_learning_rate, 100, args.ema)
    rates = keras.saving.deserialize_keras_object(adam.get_config()["learning_rate"])
    gammas = [penalty.gamma for penalty in model.penalties]
    for schedule, start, middle, end in [
        *((gamma, 0.5, 0.275, 0.05) for gamma in gammas),
        (model.augment.p, 0.0, 0.15, 0.3),
        (rates, 2e-4, 1.25e-4, 5e-5),
    ]:
        values = [float(schedule(step)) for step in (0, 25, 50, 100)]
        np.testing.assert_allclose(values, [start, middle, end, end], atol=1e-7)
    assert (adam.beta_1, adam.beta_2, len(gammas)) == (0.0, 0.99, 2)
    generator, _ = networks.resnet_gan(shape, latent_dim=64, width=4)
    assert model.generator.count_params() == generator.count_params()

    args = gan.make_parser().parse_args(["--recipe", "r3gan", "--dataset", "ring"])
    gan.settle(args)
    assert (args.network, args.augment, args.loss) == ("points", "none", "relativistic")


@pytest.mark.parametrize("name", vae.LIKELIHOODS)
def test_a_likelihood_is_made_by_its_name_with_a_network_that_fits(name):
    args = vae.make_parser().parse_args(["--likelihood", name, "--hidden", "4", "--seed", "5"])
    vae.settle(args)
    model = vae.build(args, image_shape=(4, 4, 2))
    assert type(model.likelihood) is type(likelihoods.get(name))
    assert model.likelihood.seed == 5
    assert model.sample(3, draw_pixels=True).shape == (3, 4, 4, 2)


def test_each_prior_of_the_library_is_made_by_a_name_of_the_script():
    made = []
    for name in vae.PRIORS:
        args = vae.make_parser().parse_args(["--prior", name, "--seed", "5"])
        vae.settle(args)
        made.append(vae.make_prior(args))
        assert getattr(made[-1], "k", None) == vae.PRIORS[name]
        assert getattr(made[-1], "seed", 5) == 5
    assert set(map(type, made)) == set(priors.KINDS), "Add its name to the script."
    args = vae.make_parser().parse_args(["--prior", "vamp", "--components", "7"])
    assert vae.make_prior(args).k == 7


def test_a_run_folder_knows_the_names_of_all_pictures():
    """A picture that it does not know would stay in the folder of the next run."""
    kinds = [kind for kind in vars(callbacks).values() if inspect.isclass(kind)]
    names = {
        inspect.signature(kind).parameters["name"].default
        for kind in kinds
        if issubclass(kind, callbacks.EpochPicture) and kind is not callbacks.EpochPicture
    }
    assert len(names) >= 6
    names |= {"directions", "nearest"}  # Of `looks`.
    assert {f"{name}_*.png" for name in names} == set(run_folder.FOLDERS["samples"])


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "conditional"),
    [
        ("", True),
        ("--dataset mnist", True),
        ("--no-conditional", False),
        ("--dataset cifar10", False),
        ("--dataset ring", False),
        ("--recipe wgan", False),
        ("--recipe wgan_gp --conditional", True),
    ],
)
def test_labels_are_given_where_the_recipe_of_the_data_has_them(arguments, conditional):
    args = gan.make_parser().parse_args(arguments.split())
    gan.settle(args)
    assert args.conditional is conditional
