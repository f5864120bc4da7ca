"""What conditional models add: labels at the door, in both networks, and in what comes out."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny


def pairs(n=24):
    """Constant examples: a class is a grey."""
    y = np.arange(n) % 3
    return np.tile((0.2 + 0.3 * y)[:, None, None, None], (1, 8, 8, 1)).astype("float32"), y


def vae():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(8,), num_classes=3)
    model = kg.ConditionalVAE(*networks, num_classes=3, seed=1)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def gan(**kwargs):
    networks = kg.networks.point_gan((2,), 2, hidden=(32,), num_classes=3, **kwargs)
    penalties = [kg.losses.R1(0.5), kg.losses.R2(0.5)]
    model = kg.ConditionalGAN(
        *networks, latent_dim=2, num_classes=3, loss="relativistic", penalties=penalties, seed=1
    )
    model.compile(*(keras.optimizers.Adam(0.005, beta_1=0.0) for _ in range(2)))
    return model


def test_a_vae_learns_what_the_label_says():
    model = vae()
    model.fit(*pairs(), batch_size=24, epochs=150, verbose=0)
    for label, grey in enumerate((0.2, 0.5, 0.8)):
        images = model.sample(10, y=label)
        np.testing.assert_allclose(images.mean(), grey, atol=0.03)
    # Nothing is left for z to say.
    assert model.evaluate(*pairs(), verbose=0, return_dict=True)["kl"] < 0.1


@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_a_gan_learns_what_the_label_says(conditioning):
    keras.utils.set_random_seed(1)
    model = gan(conditioning=conditioning)
    random = np.random.default_rng(0)
    y = random.integers(3, size=1024)
    centres = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    x = (centres[y] + 0.1 * random.standard_normal((1024, 2))).astype("float32")
    model.fit(x, y, batch_size=128, epochs=60, verbose=0)
    labels = np.arange(300) % 3
    points = model.sample(300, labels)
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    assert np.mean(nearest == labels) > 0.95


def test_fakes_and_mixed_points_carry_the_labels_of_the_real():
    """Packed two by two: a discriminator that gives back its labels shows what it was given."""
    x = keras.Input((4,))
    y = keras.Input((2,), dtype="int32")
    codes = ops.sum(ops.cast(y, "float32") * ops.array([[10.0, 1.0]]), axis=-1, keepdims=True)
    discriminator = keras.Model([x, y], keras.layers.Dense(1)(x) * 0.0 + codes)
    generator, _ = kg.networks.point_gan((2,), 2, hidden=(4,), num_classes=3)
    model = kg.ConditionalGAN(
        generator,
        discriminator,
        latent_dim=2,
        num_classes=3,
        packing=2,
        penalties=["gradient_penalty"],
        seed=1,
    )
    given = []
    logits = model.logits
    model.logits = lambda x, y, training=False: given.append((x, y)) or logits(x, y, training)
    model.compile("sgd", "sgd", run_eagerly=True)
    labels = np.array([0, 1, 2, 0, 1, 2])
    examples = np.arange(12, dtype="float32").reshape(6, 2)
    logs = model.test_on_batch(examples, labels, return_dict=True)
    # 01, 20 and 12 as numbers: their mean is 11.
    assert logs["d_real"] == logs["d_fake"] == pytest.approx(11.0)
    assert len(given) == 4  # Real, fake, between them, and fake once more for the generator.
    for _, packed in given:
        np.testing.assert_array_equal(ops.convert_to_numpy(packed), [[0, 1], [2, 0], [1, 2]])


def test_generated_examples_follow_their_own_label():
    model = vae()
    z = np.random.default_rng(0).standard_normal((4, 2))
    np.testing.assert_allclose(
        model.generate(z, [0, 1, 2, 0])[1], model.generate(z, 1)[1], rtol=1e-6
    )
    assert np.abs(model.generate(z, 1) - model.generate(z, 2)).max() > 1e-4


def test_interpolation_keeps_the_label_and_the_ends():
    model, (x, y) = vae(), pairs(6)
    strips = model.interpolate(x[:2], x[3:5], y=y[:2], steps=5)
    assert strips.shape == (2, 5, 8, 8, 1)
    np.testing.assert_allclose(strips[:, 0], model.reconstruct(x[:2], y[:2]), rtol=1e-5)
    player = gan()
    z = np.random.default_rng(0).standard_normal((2, 3, 2)).astype("float32")
    strips = player.interpolate(*z, y=[0, 1, 2], steps=4)
    np.testing.assert_allclose(strips[:, -1], player.generate(z[1], [0, 1, 2]), atol=1e-5)


@pytest.mark.parametrize("build", [vae, gan])
@pytest.mark.parametrize(
    "labels, match",
    [
        (None, r"The labels are missing.*fit\(x, y\)"),
        (np.arange(24) % 4, "go from 0 to 3.*pass 0 to 2"),
        (np.arange(24) % 3 - 1, "go from -1 to 1"),
        (np.eye(3)[np.arange(24) % 3], r"shape \(24, 3\).*argmax"),
        (np.zeros(24), "type float64 .*one integer"),
    ],
    ids=["missing", "too large", "negative", "one-hot", "floats"],
)
def test_labels_are_checked_before_the_first_step(build, labels, match):
    model = build()
    x = pairs()[0] if isinstance(model, kg.VAE) else np.zeros((24, 2), "float32")
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    arguments = [{"x": x, "y": labels}, {"x": x, "y": np.arange(24) % 3}]
    validation = (x,) if labels is None else (x, labels)
    arguments[1]["validation_data"] = validation
    for each in arguments:
        with pytest.raises(ValueError, match=match):
            model.fit(**each, verbose=0)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))
    with pytest.raises(ValueError, match="missing|go from|argmax|one integer"):
        model.sample(24, labels)


def test_models_and_networks_with_and_without_labels_do_not_mix():
    plain, labelled = kg.networks.point_gan(), kg.networks.point_gan(num_classes=3)
    with pytest.raises(ValueError, match="GAN gives 'generator' one input, and it takes 2.*Cond"):
        kg.GAN(*labelled, latent_dim=2)
    with pytest.raises(ValueError, match="two inputs.*Build it with `num_classes`"):
        kg.ConditionalGAN(*plain, latent_dim=2, num_classes=3)
    with pytest.raises(ValueError, match="VAE gives 'encoder' one input, and it takes 2"):
        kg.VAE(*kg.networks.mlp_vae((5,), 2, num_classes=3))
    with pytest.raises(ValueError, match="two inputs"):
        kg.ConditionalVAE(*kg.networks.mlp_vae((5,), 2), num_classes=3)
    with pytest.raises(ValueError, match="`num_classes` is 0"):
        kg.ConditionalVAE(*kg.networks.mlp_vae((5,), 2), num_classes=0)
    with pytest.raises(ValueError, match="`conditioning` is 'sum'"):
        kg.networks.dcgan((8, 8, 1), 2, num_classes=3, conditioning="sum")


@pytest.mark.parametrize("shift", [7, -2])
@pytest.mark.parametrize("build", [vae, gan])
def test_a_label_out_of_range_behind_the_first_batch_moves_nothing(build, shift):
    model = build()
    x = pairs()[0] if isinstance(model, kg.VAE) else np.zeros((24, 2), "float32")
    y = pairs()[1]
    keras.Model.train_on_batch(model, x, y)
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    keras.Model.train_on_batch(model, x, y + shift)
    moved = [
        np.any(a != ops.convert_to_numpy(b))
        for a, b in zip(before, model.trainable_variables, strict=True)
    ]
    assert not any(moved)
    assert np.all(ops.convert_to_numpy(model.first_bad_updates) == 2)


def test_predict_takes_the_pair():
    model, (x, y) = vae(), pairs(6)
    np.testing.assert_allclose(model.predict([x, y], verbose=0), model.reconstruct(x, y), atol=1e-6)
    with pytest.raises(ValueError, match="called on two inputs"):
        model(x)


def test_networks_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="`num_classes` is 10, and 'encoder' was built with num_c"):
        kg.ConditionalVAE(*kg.networks.mlp_vae((5,), 2, num_classes=3), num_classes=10)
    with pytest.raises(ValueError, match="'generator' was built with num_classes=3"):
        kg.ConditionalGAN(*kg.networks.point_gan(num_classes=3), latent_dim=2, num_classes=4)


def test_pictures_that_cannot_be_drawn_are_refused_before_training(tmp_path):
    model, (x, y) = vae(), pairs()
    for callback, match in (
        (kg.callbacks.ReconstructionGrid(x, tmp_path), "labels=y"),
        (kg.callbacks.SampleGrid(tmp_path, ema=True), "a ConditionalVAE. Leave it out"),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(x, y, verbose=0, callbacks=[callback])
    assert ops.convert_to_numpy(model.optimizer.iterations) == 0


def test_pictures_of_a_conditional_model_have_a_class_to_a_column(tmp_path):
    model = vae()
    model.fit(*pairs(), batch_size=24, epochs=100, verbose=0)
    x, y = pairs(6)
    callbacks = [
        kg.callbacks.SampleGrid(tmp_path, num_samples=10, scale=1),
        kg.callbacks.ReconstructionGrid(x, tmp_path, labels=y, scale=1),
    ]
    model.fit(*pairs(), verbose=0, callbacks=callbacks)
    from matplotlib import image as png

    picture = png.imread(tmp_path / "epoch_0001.png")
    # Nine of the ten, three to a row, with lines of 2 pixels about them.
    assert picture.shape[:2] == (3 * 10 + 2, 3 * 10 + 2)
    columns = [picture[4:8, 4 + 10 * k : 8 + 10 * k, :3].mean() for k in range(3)]
    np.testing.assert_allclose(columns, [0.2, 0.5, 0.8], atol=0.05)
    assert (tmp_path / "reconstruction_0001.png").exists()
