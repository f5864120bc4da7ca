import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

import keras_gen as kg
from keras_gen import augment, losses
from tests.steps import PenaltyStep, double_precision, input_gradient

# On every backend `tests/models/test_golden_resnet_gan.py` holds all of them to another program.
NAMES = ("color", "translation", "cutout", "flip", "rotation", "scaling")


def images(n=2, shape=(6, 6, 3)):
    return np.random.default_rng(0).uniform(-1, 1, (n, *shape)).astype("float32")


def applied(transform, x, u):
    """The transform of `x` by the same numbers for all images, NumPy."""
    u = np.tile(np.array([u], "float32"), (len(x), 1))
    return ops.convert_to_numpy(transform(ops.convert_to_tensor(x), ops.convert_to_tensor(u)))


@pytest.mark.once
@pytest.mark.parametrize("u, flipped", [(0.0, True), (0.49, True), (0.5, False), (0.99, False)])
def test_a_flip_is_left_to_right_for_half_of_the_numbers(u, flipped):
    x = images()
    np.testing.assert_array_equal(applied(augment.Flip(), x, [u]), x[:, :, ::-1] if flipped else x)


@pytest.mark.once
@pytest.mark.parametrize("u, turns", [(0.1, 0), (0.3, 1), (0.5, 2), (0.9, 3)])
def test_a_rotation_is_by_quarters(u, turns):
    x = images()
    np.testing.assert_array_equal(
        applied(augment.Rotation(), x, [u]), np.rot90(x, turns, axes=(1, 2))
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "u, by", [([0.0, 0.5], (-2, 0)), ([0.5, 0.99], (0, 1)), ([0.7, 0.1], (1, -1))]
)
def test_a_translation_is_by_whole_pixels_and_lets_grey_in(u, by):
    x = images(shape=(8, 4, 3))  # At most a quarter: two rows, one column.
    expected = np.stack([ndimage.shift(image, (*by, 0), order=0) for image in x])
    np.testing.assert_array_equal(applied(augment.Translation(0.25), x, u), expected)


@pytest.mark.once
@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 0.9])
def test_scaling_is_bilinear_about_the_centre(u):
    x, factor = images(shape=(6, 5, 2)), 2 ** (2 * u - 1)
    rows, columns = ((np.arange(n) - (n - 1) / 2) / factor + (n - 1) / 2 for n in (6, 5))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    expected = [
        [ndimage.map_coordinates(image[..., c], places, order=1, mode="grid-constant")]
        for image in x
        for c in range(2)
    ]
    expected = np.reshape(expected, (2, 2, 6, 5)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(applied(augment.Scaling(octaves=1.0), x, [u]), expected, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "u, rows, columns",
    [
        ([0.0, 0.5], slice(0, 2), slice(2, 6)),  # The centre is before row 0.
        ([0.99, 0.99], slice(6, 8), slice(6, 8)),
        ([0.3, 0.6], slice(0, 4), slice(3, 7)),
    ],
)
def test_a_cutout_covers_the_middle_of_half_the_sides(u, rows, columns):
    x = images(shape=(8, 8, 3))
    expected = x.copy()
    expected[:, rows, columns] = 0
    np.testing.assert_array_equal(applied(augment.Cutout(), x, u), expected)


@pytest.mark.once
def test_colours_by_hand():
    x = np.array([[[[0.0, 0.2, 0.4], [-0.4, 0.0, 0.4]]]], "float32")
    bright = applied(augment.Color(), x, [0.75, 0.5, 0.5])  # + 0.25, and no more.
    np.testing.assert_allclose(bright, x + 0.25, atol=1e-6)
    grey = applied(augment.Color(), x, [0.5, 0.0, 0.5])  # Saturation 0: means over the channels.
    np.testing.assert_allclose(grey[0, 0], [[0.2] * 3, [0] * 3], atol=1e-6)
    flat = applied(augment.Color(), x, [0.5, 0.5, 0.0])  # Contrast 1/2 about the mean, 0.1.
    np.testing.assert_allclose(flat, 0.1 + 0.5 * (x - 0.1), atol=1e-6)


def draw_of(augmentation, n, seed=0):
    return augmentation.draw(kg.layers.Noise(seed, dtype=keras.config.floatx()), n)


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
def test_without_a_transform_images_stay_as_they_are_to_the_bit(value_range):
    never = augment.Scheduled(0.0, NAMES, value_range)
    x = images(8) * np.float32(10.0) ** -np.arange(8, dtype="float32")[:, None, None, None]
    np.testing.assert_array_equal(ops.convert_to_numpy(never(x, draw_of(never, 8))), x)


@pytest.mark.once
def test_each_transform_of_each_image_is_drawn_by_itself():
    (flags, numbers) = draw_of(augment.Scheduled(0.3, NAMES), 4000)
    flags = ops.convert_to_numpy(flags)
    assert tuple(numbers.shape) == (4000, 3 + 2 + 2 + 1 + 1 + 1)
    np.testing.assert_allclose(flags.mean(0), 0.3, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(flags.T), np.eye(6), atol=0.06)
    assert np.all(ops.convert_to_numpy(draw_of(augment.DiffAugment(), 50)[0]))


@pytest.mark.once
def test_below_p_of_1_the_images_own_orientation_is_the_most_frequent():
    """So nothing leaks: the share of each orientation in the data can be told from those seen."""
    p, x = (
        0.6,
        np.tile(np.array([[1.0, 0.0], [0.0, 0.0]], "float32")[None, :, :, None], (8000, 1, 1, 1)),
    )
    turning = augment.Scheduled(p, ["rotation"])
    seen = ops.convert_to_numpy(turning(x, draw_of(turning, 8000)))[..., 0].mean(0)
    np.testing.assert_allclose(seen[0, 0], 1 - 0.75 * p, atol=0.02)
    np.testing.assert_allclose([seen[0, 1], seen[1, 0], seen[1, 1]], p / 4, atol=0.02)


@pytest.mark.once
def test_all_images_keep_their_range_of_values():
    """Black and white map to the transforms' -1 and 1, whatever the range."""
    x = images(16)
    wide, unit = (augment.DiffAugment(NAMES, value_range) for value_range in ((-1, 1), (0, 1)))
    draw = draw_of(wide, 16)
    np.testing.assert_allclose(
        ops.convert_to_numpy(unit((x + 1) / 2, draw)),
        (ops.convert_to_numpy(wide(x, draw)) + 1) / 2,
        atol=1e-6,
    )


def test_the_slope_goes_back_to_the_image_before_the_augmentation():
    mirror = augment.DiffAugment(["flip"])
    w = images(1)
    draw = (np.ones((2, 1), bool), np.array([[0.1], [0.9]], "float32"))

    def critic(x):
        return ops.sum(mirror(x, draw) * ops.convert_to_tensor(w), axis=(1, 2, 3))

    gradient = input_gradient(critic, np.zeros((2, 6, 6, 3), "float32"))
    np.testing.assert_allclose(gradient, np.concatenate([w[:, :, ::-1], w]), rtol=1e-6)


class Augmented(keras.Model):
    """A discriminator behind an augmentation with a given draw."""

    def __init__(self, discriminator, augmentation, draw):
        super().__init__()
        self.discriminator, self.augmentation, self.given = discriminator, augmentation, draw
        self.built = True

    def call(self, x, training=False):
        return self.discriminator(self.augmentation(x, self.given), training=training)


def test_penalties_through_all_of_them_agree_with_finite_differences():
    with double_precision():
        x = keras.Input((6, 6, 3))
        h = keras.layers.Conv2D(3, 3, activation="tanh")(x)
        h = keras.layers.Dense(3, activation="tanh")(keras.layers.Flatten()(h))
        discriminator = keras.Model(x, keras.layers.Dense(1)(h))
        random = np.random.default_rng(2)
        weights = [random.normal(scale=0.5, size=w.shape) for w in discriminator.weights]
        discriminator.set_weights(weights)
        augmentation = augment.DiffAugment(NAMES)
        augmented = Augmented(discriminator, augmentation, draw_of(augmentation, 4))
        step = PenaltyStep(augmented, losses.R1(), random.random((4, 6, 6, 3)))
        directions = [random.normal(size=w.shape) for w in weights]
        expected = step.slope(directions)
        slope = sum(np.sum(g * d) for g, d in zip(step.gradient(), directions, strict=True))
        assert abs(expected) > 1e-3
        assert slope == pytest.approx(expected, rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "build, match",
    [
        (lambda: augment.DiffAugment(["blur"]), "A transform is 'blur'.*'cutout'"),
        (lambda: augment.Translation(1.5), "`ratio` is 1.5"),
        (lambda: augment.Cutout(-0.1), "`ratio` is -0.1"),
        (lambda: augment.Color(contrast=-1.0), "`contrast` is -1.0"),
        (lambda: augment.Scaling(float("nan")), "`octaves` is nan"),
        (lambda: augment.DiffAugment(value_range=(1, 0)), "`value_range` is"),
        (lambda: augment.Scheduled(1.1), "`p` is 1.1"),
        (lambda: augment.Adaptive(target=1.0), "`target` is 1.0"),
        (lambda: augment.Adaptive(ramp_images=0), "`ramp_images` is 0"),
        (lambda: augment.Adaptive(limit=2), "`limit` is 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()
