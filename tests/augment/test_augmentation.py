import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny


def p_of(gan):
    return float(ops.convert_to_numpy(gan.augment.p))


def run(gan, shift, steps=4):
    """p after each step, from 0.4 and with the same noise, with `shift` added to every output."""
    kernel, bias = gan.discriminator.layers[-1].get_weights()
    gan.discriminator.layers[-1].set_weights([kernel, bias + shift])
    gan.noise.seed_generator.state.assign([7, 0])
    gan.augment.p.assign(0.4)
    ps = []
    for step in range(steps):
        gan.train_on_batch(tiny.images(8, gan.example_shape, seed=step))
        ps.append(p_of(gan))
    return ps


def test_adding_a_number_to_every_output_moves_p_as_before_under_a_loss_of_differences():
    gan = tiny.augmented_gan(loss="relativistic")
    gan.compile(*(keras.optimizers.SGD(0.0) for _ in range(2)))
    before = run(gan, 0.0)
    assert before == run(gan, 100.0)
    assert before[0] == pytest.approx(0.5) or before[0] == pytest.approx(0.3)


def test_adding_a_number_moves_p_where_the_outputs_have_a_zero():
    gan = tiny.augmented_gan(loss="non_saturating")
    gan.compile("sgd", "sgd")
    # All real images are above 0, or all are below: r is 1, or -1.
    np.testing.assert_allclose(run(gan, 100.0), [0.5, 0.6, 0.7, 0.8], rtol=1e-6)
    np.testing.assert_allclose(run(gan, -200.0), [0.3, 0.2, 0.1, 0.0], atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "real, fake, has_zero, r",
    [
        ([1.0, 2, 3, -1], [0.0, 0, 0, 0], True, 0.5),
        ([1.0, 2, 3, -1], [5.0, 5, 0, 0], True, 0.5),
        ([1.0, 2, 3, -1], [5.0, 5, 0, 0], False, -0.5),  # The mean of the fake ones is 2.5.
    ],
)
def test_r_is_the_mean_sign_above_zero_or_above_the_mean_of_the_fakes(real, fake, has_zero, r):
    augment = kg.augment.Adaptive()
    terms = augment.terms(*map(ops.convert_to_tensor, (real, fake)), has_zero, 0)
    assert float(ops.convert_to_numpy(terms["augment_r"])) == r


def test_p_moves_by_images_towards_the_target_and_within_its_limits():
    augment = kg.augment.Adaptive(target=0.5, ramp_images=100, limit=0.25)
    ps = []
    for r in (1.0, 0.6, np.nan, 0.4, 1.0, 1.0, 0.5, -1.0, -1.0, -1.0, -1.0):
        augment.adapt({"augment_r": ops.convert_to_tensor(r)}, 10)
        ps.append(float(ops.convert_to_numpy(augment.p)))
    expected = [0.1, 0.2, 0.2, 0.1, 0.2, 0.25, 0.25, 0.15, 0.05, 0, 0]
    np.testing.assert_allclose(ps, expected, atol=1e-6)


def test_evaluation_and_sampling_leave_p_alone():
    gan = tiny.augmented_gan()
    gan.compile("sgd", "sgd")
    gan.augment.p.assign(0.5)
    logs = gan.evaluate(tiny.examples(gan, 8), verbose=0, return_dict=True)
    gan.sample(4)
    assert p_of(gan) == 0.5 and logs["augment_p"] == 0.5


def test_p_follows_a_schedule_and_a_penalty_another():
    ramp, falling = kg.schedules.LinearWarmUp(4), kg.schedules.CosineRamp(2, start=3.0, end=1.0)
    # The translation is by no pixel: the slope is the same at each p.
    augment = kg.augment.Scheduled(ramp, [kg.augment.Translation(0.0)])
    gan = tiny.augmented_gan(augment=augment, penalties=[kg.losses.R1(falling)])
    gan.compile(*(keras.optimizers.SGD(0.0) for _ in range(2)))
    x = tiny.examples(gan, 8)
    logs = []
    for _ in range(4):
        gan.reset_metrics()
        logs.append(gan.train_on_batch(x, return_dict=True))
    np.testing.assert_allclose([log["augment_p"] for log in logs], [0, 0.25, 0.5, 0.75])
    penalties = np.array([log["penalty"] for log in logs])
    np.testing.assert_allclose(penalties / penalties[-1], [3, 2, 1, 1], rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"augment": "diff"}, "`augment` is 'diff'.*'diff_augment', 'adaptive'"),
        ({"augment": "adaptive", "packing": 2}, "packing=2 joins several"),
        ({"augment": kg.augment.Scheduled(0.1), "shape": (8,)}, "have shape \\(8,\\)"),
        ({"augment": kg.augment.Scheduled(0.1), "shape": (4, 8, 1)}, "these are 4x8"),
    ],
)
def test_what_cannot_be_augmented_is_refused(arguments, match):
    arguments = {"shape": (4, 4, 1), **arguments}
    shape = arguments.pop("shape")
    networks = kg.networks.mlp_gan(shape, 2, (4,), (4,), packing=arguments.get("packing", 1))
    with pytest.raises(ValueError, match=match):
        kg.GAN(*networks, latent_dim=2, **arguments)


def test_a_range_that_is_not_the_generators_is_refused_before_training():
    networks = kg.networks.mlp_gan((4, 4, 1), 2, (4,), (4,))
    augment = kg.augment.DiffAugment(value_range=(-1, 1))
    gan = kg.GAN(*networks, latent_dim=2, augment=augment)
    gan.compile("sgd", "sgd")
    with pytest.raises(ValueError, match=r"in \[0, 1\], .* Pass it value_range=\(0, 1\)"):
        gan.fit(tiny.images(8, (4, 4, 1)), verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    "augment",
    [
        kg.augment.DiffAugment(["cutout", kg.augment.Translation(0.25)], value_range=(-1, 1)),
        kg.augment.Scheduled(kg.schedules.CosineRamp(5, end=0.3)),
        kg.augment.Scheduled(keras.Variable(0.25)),
        kg.augment.Adaptive(target=0.5, ramp_images=100, limit=0.7),
    ],
    ids=["diff_augment", "scheduled", "variable", "adaptive"],
)
def test_an_augmentation_is_in_the_config_of_its_model(augment):
    networks = kg.networks.mlp_gan((4, 4, 1), 2, (4,), (4,))
    again = kg.WGAN.from_config(kg.WGAN(*networks, latent_dim=2, augment=augment).get_config())
    assert type(again.augment) is type(augment)
    assert again.augment.get_config() == augment.get_config()
