"""`invert` of a GAN, and what rests on it: closed forms, a loop by hand, what it leaves alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_gen as kg
from keras_gen import borrowed
from keras_gen.inference import inversion
from tests.helpers import state_of, tolerance
from tests.models import tiny

SIZE, LATENTS = 6, 3
RANDOM = np.random.default_rng(0)
W, B = RANDOM.standard_normal((LATENTS, SIZE)), RANDOM.standard_normal(SIZE)


def discriminator(size=SIZE):
    x = keras.Input((size,))
    return keras.Model(x, layers.Dense(1)(x))


def of_generator(make, latents=LATENTS, size=SIZE):
    """A GAN whose generator is a function of tensors."""
    z = keras.Input((latents,))
    return kg.GAN(keras.Model(z, make(z)), discriminator(size), latent_dim=latents, seed=1)


def linear_gan():
    gan = of_generator(layers.Dense(SIZE))
    gan.generator.set_weights([W, B])
    return gan


def waves():
    """x = z + 3 sin z, which has a local minimum of the distance in every wave."""
    return of_generator(lambda z: z + 3 * ops.sin(z), latents=1, size=1)


def test_a_linear_generator_is_inverted_as_least_squares_are():
    x = RANDOM.standard_normal((5, SIZE)).astype("float32")
    z = np.linalg.lstsq(W.T, (x - B).T, rcond=None)[0].T  # G(z) = z W + b.
    gan = linear_gan()
    # Three at a time: the last batch is filled up.
    found = gan.invert(x, starts=2, steps=300, batch_size=3)
    np.testing.assert_allclose(found, z, atol=1e-3)
    nearest = gan.reconstruct(x, starts=2, steps=300)
    np.testing.assert_allclose(nearest, z @ W + B, atol=1e-3)
    errors = np.mean((x - (z @ W + B)) ** 2, axis=1)
    np.testing.assert_allclose(gan.anomaly_score(x, starts=2, steps=300), errors, rtol=1e-3)


def test_the_best_of_several_starts_is_taken_for_each_example():
    gan = waves()
    right = np.array([[0.2], [7.0]], "float32")
    x = (right + 3 * np.sin(right)).astype("float32")
    wrong = right + 4.0  # In another wave.
    alone = gan.invert(x, starts=wrong[None], steps=200)
    assert np.all(np.abs(alone - right) > 1)
    # The first example starts right at the second place, the second at the first.
    starts = np.stack([[wrong[0], right[1] + 0.1], [right[0] - 0.1, wrong[1]]])
    np.testing.assert_allclose(gan.invert(x, starts=starts, steps=200), right, atol=1e-3)


def adam_by_hand(x, z, steps):
    """Adam on the mean squared error of tanh(z W + b), its rate along half a cosine; float64."""
    m = v = np.zeros_like(z)
    for t in range(steps):
        images = np.tanh(z @ W + B)
        gradient = 2 / SIZE * ((images - x) * (1 - images**2)) @ W.T
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * t / steps))
        root = np.sqrt(v / (1 - 0.999 ** (t + 1)))
        z = z - rate * m / (1 - 0.9 ** (t + 1)) / (root + 1e-7)
    return z


def test_each_backend_takes_the_steps_of_a_loop_by_hand():
    z = keras.Input((LATENTS,))
    generator = keras.Model(z, layers.Dense(SIZE, activation="tanh")(z))
    gan = kg.GAN(generator, discriminator(), latent_dim=LATENTS)
    gan.generator.set_weights([W, B])
    x = np.tanh(RANDOM.standard_normal((4, SIZE)))
    starts = RANDOM.standard_normal((1, 4, LATENTS))
    found = gan.invert(x, starts=starts, steps=12)
    by_hand = adam_by_hand(x, starts[0], 12)
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=tolerance("float32", "adam"))


def test_weights_statistics_and_noise_stay_and_a_seed_decides():
    gan = tiny.gan()  # With batch norm and dropout.
    gan.compile(keras.optimizers.Adam(use_ema=True), "adam")
    x = tiny.examples(gan, 4)
    gan.train_on_batch(x)
    before = state_of(gan)
    first, again, other = (gan.invert(x, steps=3, seed=seed) for seed in (3, 3, 4))
    gan.reconstruct(x, steps=2), gan.anomaly_score(x, steps=2, ema=True)
    for now, then in zip(state_of(gan), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # No example's z depends on the others.
    np.testing.assert_allclose(gan.invert(x[1:3], steps=3, seed=3), first[1:3], atol=1e-5)


def test_the_label_decides_what_is_inverted():
    gan = tiny.conditional_gan()
    y = np.array([0, 1, 2, 1])
    z = gan.draw_latents(4, seed=5)
    x = gan.generate(z, y=y)
    near = {"starts": z[None], "steps": 3}
    np.testing.assert_allclose(gan.reconstruct(x, y, **near), x, atol=0.2)
    right, wrong = gan.anomaly_score(x, y, **near), gan.anomaly_score(x, (y + 1) % 3, **near)
    assert np.all(right < wrong)
    with pytest.raises(ValueError, match="y="):
        gan.invert(x, steps=1)
    pairs = kg.data.ArrayDataset(x, y, batch_size=2)
    np.testing.assert_allclose(gan.invert(pairs, **near), gan.invert(x, y, **near), atol=1e-5)


def test_another_distance_has_another_nearest_example():
    """Of the first value alone: the others may be anything."""
    gan = linear_gan()
    x = RANDOM.standard_normal((2, SIZE)).astype("float32")

    def first(x, images):
        return ops.square(x[:, 0] - images[:, 0])

    images = gan.reconstruct(x, starts=1, steps=300, distance=first)
    np.testing.assert_allclose(images[:, 0], x[:, 0], atol=1e-3)
    assert np.mean((images - x) ** 2) > 0.1


def test_the_averaged_weights_are_inverted_where_asked():
    gan = linear_gan()
    gan.compile(keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.5), "sgd")
    averages = [2 * W, B]
    held = borrowed.averages_of(gan.optimizer.generator)
    for average, value in zip(held, averages, strict=True):
        average.assign(value)
    x = RANDOM.standard_normal((3, SIZE)).astype("float32")
    raw, averaged = (gan.invert(x, starts=1, steps=300, ema=ema) for ema in (False, True))
    np.testing.assert_allclose(averaged, raw / 2, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": 0}, "`starts` is 0"),
        ({"starts": np.zeros((2, 3, LATENTS))}, r"`starts` has shape \(2, 3, 3\).*\(k, 4, 3\)"),
        ({"steps": 0}, "`steps` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"distance": lambda x, images: ops.mean(x - images)}, r"gives the shape \(\). Return one"),
    ],
)
def test_what_cannot_be_inverted_is_refused(options, message):
    gan = linear_gan()
    with pytest.raises(ValueError, match=message):
        gan.invert(np.zeros((4, SIZE)), **options)
    with pytest.raises(ValueError, match="shape"):
        gan.invert(np.zeros((4, SIZE + 1)))
    with pytest.raises(AttributeError, match="`invert` finds a z"):
        gan.encode(np.zeros((4, SIZE)))


def test_a_search_is_used_again_without_what_it_has_learned():
    gan = linear_gan()
    search = inversion.Search(gan, 2, steps=20)
    x = RANDOM.standard_normal((2, SIZE)).astype("float32")
    starts = RANDOM.standard_normal((1, 2, LATENTS)).astype("float32")
    first = search.best(x, starts)
    search.best(x[::-1], starts)
    np.testing.assert_array_equal(search.best(x, starts), first)


def test_updates_that_are_left_out_are_told():
    gan = of_generator(lambda z: 1e30 * z * z, latents=SIZE)
    x = np.zeros((2, SIZE), "float32")
    starts = np.zeros((1, 2, SIZE), "float32")
    starts[0, 1] = 1.0  # 1e60 is no float32.
    with pytest.warns(UserWarning, match="In 1 of 1 batches updates .*`batch_size=1`"):
        z = gan.invert(x, starts=starts, steps=5)
    np.testing.assert_array_equal(z, starts[0])
    gan.invert(x, starts=starts[:, :1].repeat(2, axis=1), steps=5)  # Without a warning.
