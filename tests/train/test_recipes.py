"""What the scripts offer by name is what the library has."""

import inspect

import pytest

from keras_gen import augment, callbacks, likelihoods
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
    assert type(model.augment) is type(augment.get(name) if name != "none" else None)
    assert model.generator.output_shape == (None, 8, 8, 3)


@pytest.mark.parametrize("name", vae.LIKELIHOODS)
def test_a_likelihood_is_made_by_its_name_with_a_network_that_fits(name):
    args = vae.make_parser().parse_args(["--likelihood", name, "--hidden", "4", "--seed", "5"])
    model = vae.build(args, image_shape=(4, 4, 2))
    assert type(model.likelihood) is type(likelihoods.get(name))
    assert model.likelihood.seed == 5
    assert model.sample(3, draw_pixels=True).shape == (3, 4, 4, 2)


def test_a_run_folder_knows_the_names_of_all_pictures():
    """A picture that it does not know would stay in the folder of the next run."""
    kinds = [kind for kind in vars(callbacks).values() if inspect.isclass(kind)]
    names = {
        inspect.signature(kind).parameters["name"].default
        for kind in kinds
        if issubclass(kind, callbacks.EpochPicture) and kind is not callbacks.EpochPicture
    }
    assert len(names) >= 6
    assert {f"{name}_*.png" for name in names} == set(run_folder.FOLDERS["samples"])
