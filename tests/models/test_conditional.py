"""Models with classes: labels are checked, given to both networks, and heeded by all methods."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.data import ArrayDataset
from tests.helpers import numpy
from tests.models import tiny


def pairs(n=24):
    """Constant examples: a class is a grey."""
    y = np.arange(n) % 3
    return np.tile((0.2 + 0.3 * y)[:, None, None, None], (1, 8, 8, 1)).astype("float32"), y


def vae():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(8,), num_classes=3)
    model = kg.VAE(*networks, num_classes=3, seed=1)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def gan(**kwargs):
    networks = kg.networks.point_gan((2,), 2, hidden=(32,), num_classes=3, **kwargs)
    penalties = [kg.losses.R1(0.5), kg.losses.R2(0.5)]
    model = kg.GAN(
        *networks, latent_dim=2, num_classes=3, loss="relativistic", penalties=penalties, seed=1
    )
    model.compile(*(keras.optimizers.Adam(0.005, beta_1=0.0) for _ in range(2)))
    return model


@pytest.mark.once
def test_a_vae_learns_what_the_label_says():
    model = vae()
    # 150 batches, in few epochs: each takes longer than its steps.
    model.fit(*pairs(30 * 24), batch_size=24, epochs=5, shuffle=False, verbose=0)
    for label, grey in enumerate((0.2, 0.5, 0.8)):
        images = model.sample(10, y=label)
        np.testing.assert_allclose(images.mean(), grey, atol=0.03)
    # Nothing is left for z to say.
    assert model.evaluate(*pairs(), verbose=0, return_dict=True)["kl"] < 0.1


@pytest.mark.once
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
    points = model.sample(300, y=labels)
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    assert np.mean(nearest == labels) > 0.95


def test_fakes_and_mixed_points_carry_the_labels_of_the_real():
    """Packed two by two: a discriminator that gives back its labels shows what it was given."""
    x = keras.Input((4,))
    y = keras.Input((2,), dtype="int32")
    codes = ops.sum(ops.cast(y, "float32") * ops.array([[10.0, 1.0]]), axis=-1, keepdims=True)
    discriminator = keras.Model([x, y], keras.layers.Dense(1)(x) * 0.0 + codes)
    generator, _ = kg.networks.point_gan((2,), 2, hidden=(4,), num_classes=3)
    model = kg.GAN(
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
        model.generate(z, y=[0, 1, 2, 0])[1], model.generate(z, y=1)[1], rtol=1e-6
    )
    assert np.abs(model.generate(z, y=1) - model.generate(z, y=2)).max() > 1e-4


def test_interpolation_keeps_the_label_and_the_ends():
    model, (x, y) = vae(), pairs(6)
    strips = model.interpolate(x[:2], x[3:5], y=y[:2], steps=5)
    assert strips.shape == (2, 5, 8, 8, 1)
    np.testing.assert_allclose(strips[:, 0], model.reconstruct(x[:2], y=y[:2]), rtol=1e-5)
    player = gan()
    z = np.random.default_rng(0).standard_normal((2, 3, 2)).astype("float32")
    strips = player.interpolate(*z, y=[0, 1, 2], steps=4)
    np.testing.assert_allclose(strips[:, -1], player.generate(z[1], y=[0, 1, 2]), atol=1e-5)


@pytest.mark.parametrize("build", [vae, gan])
@pytest.mark.parametrize(
    "labels, match",
    [
        (None, r"The labels are missing.*fit\(x, y\)"),
        (np.arange(24) % 4, "go from 0 to 3.*pass 0 to 2"),
        (np.arange(24) % 3 - 1, "go from -1 to 1"),
        (np.eye(3)[np.arange(24) % 3], r"shape \(24, 3\).*argmax"),
        (np.full(24, 0.5), "hold 0.5. Pass one integer"),
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
        model.sample(24, y=labels)


def test_models_and_networks_with_and_without_labels_do_not_mix():
    plain, labelled = kg.networks.point_gan(), kg.networks.point_gan(num_classes=3)
    with pytest.raises(
        ValueError, match="GAN gives 'generator' one input, but it has 2.*num_classes"
    ):
        kg.GAN(*labelled, latent_dim=2)
    with pytest.raises(ValueError, match="two inputs.*Build it with `num_classes`"):
        kg.GAN(*plain, latent_dim=2, num_classes=3)
    with pytest.raises(ValueError, match="VAE gives 'encoder' one input, but it has 2"):
        kg.VAE(*kg.networks.mlp_vae((5,), 2, num_classes=3))
    with pytest.raises(ValueError, match="two inputs"):
        kg.VAE(*kg.networks.mlp_vae((5,), 2), num_classes=3)
    with pytest.raises(ValueError, match="`num_classes` is 0"):
        kg.VAE(*kg.networks.mlp_vae((5,), 2), num_classes=0)
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
    assert np.all(ops.convert_to_numpy(model.skipped_updates) == 1)


def test_predict_takes_the_pair():
    model, (x, y) = vae(), pairs(6)
    np.testing.assert_allclose(
        model.predict([x, y], verbose=0), model.reconstruct(x, y=y), atol=1e-6
    )
    with pytest.raises(ValueError, match="called on two inputs"):
        model(x)
    stream = ArrayDataset(x, y, batch_size=3)
    with pytest.raises(ValueError, match="leaves out the labels of a PyDataset.*`reconstruct`"):
        model.predict(stream)
    np.testing.assert_allclose(model.reconstruct(stream), model.reconstruct(x, y=y), atol=1e-6)


@pytest.mark.parametrize("build", [vae, gan])
def test_a_call_takes_labels_by_name_as_the_methods_do(build):
    model = build()
    shape = model.latent_shape if isinstance(model, kg.GAN) else model.encoder.input_shape[0][1:]
    x = np.random.default_rng(0).uniform(size=(2, *shape)).astype("float32")
    expected = model([x, np.array([1, 1])])
    for y in (1, [1, 1], np.array([1, 1])):
        np.testing.assert_array_equal(numpy(model(x, y=y)), numpy(expected))
    with pytest.raises(ValueError, match="`y` is 'cat'. Pass the number of the class"):
        model(x, y="cat")
    with pytest.raises(ValueError, match="The labels go from 9 to 9"):
        model(x, y=9)
    for arguments, names in (((x, np.array([1, 1])), {}), ((x,), {"y": 1})):
        with pytest.raises(ValueError, match=r"in a list: `predict\(\[x, y\]\)`"):
            model.predict(*arguments, **names, verbose=0)


def test_networks_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="`num_classes` is 10, but 'encoder' was built with num_c"):
        kg.VAE(*kg.networks.mlp_vae((5,), 2, num_classes=3), num_classes=10)
    with pytest.raises(ValueError, match="'generator' was built with num_classes=3"):
        kg.GAN(*kg.networks.point_gan(num_classes=3), latent_dim=2, num_classes=4)


def test_pictures_that_cannot_be_drawn_are_refused_before_training(tmp_path):
    model, (x, y) = vae(), pairs()
    for callback, match in (
        (kg.callbacks.ReconstructionGrid(x, tmp_path), "labels=y"),
        (kg.callbacks.SampleGrid(tmp_path, ema=True), "a VAE. Leave it out"),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(x, y, verbose=0, callbacks=[callback])
    assert ops.convert_to_numpy(model.optimizer.iterations) == 0


def test_pictures_of_a_conditional_model_have_a_class_to_a_column(tmp_path):
    model = vae()
    model.fit(*pairs(25 * 24), batch_size=24, epochs=4, shuffle=False, verbose=0)
    x, y = pairs(6)
    callbacks = [
        kg.callbacks.SampleGrid(tmp_path, num_samples=10, scale=1),
        kg.callbacks.ReconstructionGrid(x, tmp_path, labels=y, scale=1),
    ]
    model.fit(*pairs(), verbose=0, callbacks=callbacks)
    from matplotlib import image as png

    picture = png.imread(tmp_path / "epoch_0001.png")
    # Nine of the ten, three to a row, with lines of 2 pixels about them; text stands outside.
    side = 3 * 10 + 2
    assert np.ptp(picture[[0, 10, 20, 30], :side, :3]) == 0 and min(picture.shape[:2]) > side
    columns = [picture[4:8, 4 + 10 * k : 8 + 10 * k, :3].mean() for k in range(3)]
    np.testing.assert_allclose(columns, [0.2, 0.5, 0.8], atol=0.05)
    assert (tmp_path / "reconstruction_0001.png").exists()


def test_a_conditional_iwae_of_one_draw_is_the_conditional_vae():
    vae = tiny.conditional_iwae(num_samples=1)
    networks = vae.encoder, vae.decoder
    models = [vae, kg.VAE(*networks, num_classes=3, seed=1)]
    x, y = tiny.images(), tiny.labels(vae)
    losses = []
    for model in models:
        model.compile("sgd")
        losses.append(model.evaluate(x, y, verbose=0, return_dict=True))
    assert losses[0] == losses[1]


def test_more_draws_bring_a_conditional_iwae_nearer_to_the_likelihood():
    few, many = (tiny.conditional_iwae(num_samples=k) for k in (1, 50))
    many.set_weights(few.get_weights())
    x, y = tiny.images(200), np.arange(200) % 3
    losses = []
    for model in (few, many):
        model.compile("sgd")
        losses.append(model.evaluate(x, y, verbose=0, return_dict=True)["loss"])
    exact = -np.mean(few.log_likelihood(x, 2000, y=y, verbose=0))
    assert exact - 0.05 < losses[1] < losses[0]


@pytest.mark.parametrize("model", [tiny.vae, tiny.iwae, tiny.wgan, tiny.denoising_vae])
def test_a_model_without_classes_refuses_labels_in_its_methods(model):
    model = model()
    calls = [lambda: model.sample(2, y=1)]
    if isinstance(model, kg.VAE):
        x = tiny.images(2)
        calls += [
            lambda: model.encode(x, y=[0, 1]),
            lambda: model.decode(np.zeros((2, 3)), y=[0, 1]),
            lambda: model.reconstruct(x, y=0),
            lambda: model.interpolate(x, x, y=0),
            lambda: model.log_likelihood(x, y=0),
            lambda: model.anomaly_score(x, y=0),
            lambda: model.inpaint(x, np.zeros(x.shape, bool), y=0),
        ]
    if isinstance(model, kg.DenoisingVAE):
        calls.append(lambda: model.denoise(x, y=0))
    for call in calls:
        with pytest.raises(ValueError, match="has no classes.*`num_classes`"):
            call()


def test_a_model_with_classes_asks_for_labels_in_all_its_methods():
    model, x = tiny.conditional_denoising_vae(), tiny.images(2)
    for call in (
        lambda: model.sample(2),
        lambda: model.encode(x),
        lambda: model.decode(np.zeros((2, 3))),
        lambda: model.generate(np.zeros((2, 3))),
        lambda: model.reconstruct(x),
        lambda: model.interpolate(x, x),
        lambda: model.log_likelihood(x),
        lambda: model.anomaly_score(x),
        lambda: model.inpaint(x, np.zeros(x.shape, bool)),
        lambda: model.denoise(x),
        lambda: tiny.conditional_wgan().interpolate(np.zeros((2, 2)), np.ones((2, 2))),
    ):
        with pytest.raises(ValueError, match=r"labels are missing.*num_classes=3\. Pass `y=`"):
            call()


@pytest.mark.parametrize("y", [2, np.int64(2), np.array(2), [2, 2], np.full(2, 2, "uint8")])
def test_a_label_may_be_any_integer_or_one_for_each(y):
    model, z = vae(), np.ones((2, 2))
    expected = model.decode(z, y=np.array([2, 2]))
    np.testing.assert_array_equal(model.decode(z, y=y), expected)


def test_a_conditional_denoiser_uses_the_label():
    model = tiny.conditional_denoising_vae()
    x = tiny.images(5) + 0.3
    z, _ = model.encoder.predict_on_batch([x, np.array([0, 1, 2, 0, 1])])
    y = [0, 1, 2, 0, 1]
    np.testing.assert_allclose(model.denoise(x, 2, y=y), model.decode(z, y=y), rtol=1e-5)
    assert np.abs(model.denoise(x, y=0) - model.denoise(x, y=1)).max() > 1e-4


def test_labels_go_to_the_lower_layer_of_a_two_layer_iwae():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,), num_classes=3)
    plain = tiny.two_layer_iwae()
    tops = plain.top_encoder, plain.top_decoder
    model = kg.TwoLayerIWAE(*networks, *tops, num_samples=2, num_classes=3, seed=1)
    model.compile("adam")
    x, y = tiny.images(), np.arange(20) % 3
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    values = model.log_likelihood(x, 20, y=y, verbose=0)
    assert np.abs(values - model.log_likelihood(x, 20, y=(y + 1) % 3, verbose=0)).max() > 1e-3
    assert model.sample(4, y=1).shape == (4, 8, 8, 1)


def test_labels_that_fit_is_given_are_left_aside_without_classes():
    models = tiny.vae(), tiny.vae()
    models[1].set_weights(models[0].get_weights())
    for model, y in zip(models, (None, np.arange(20)), strict=True):
        model.compile("sgd")
        model.fit(tiny.images(), y, shuffle=False, verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_number_of_classes_of_numpy_is_saved(tmp_path):
    networks = kg.networks.mlp_vae((5,), 2, num_classes=3)
    kg.VAE(*networks, num_classes=np.int64(3)).save(tmp_path / "vae.keras")
    assert keras.models.load_model(tmp_path / "vae.keras").num_classes == 3
    with pytest.raises(ValueError, match="`num_classes` is 2.5. Pass an integer"):
        kg.VAE(*networks, num_classes=2.5)


def test_networks_that_are_not_built_learn_their_sizes_from_a_call_on_x_and_y():
    def network(units):
        inputs = keras.layers.Concatenate()
        layers = [keras.layers.Dense(n) for n in units]

        class Joined(keras.Model):
            def call(self, pair):
                x, y = pair
                h = inputs([x, ops.one_hot(ops.cast(y, "int32"), 3)])
                outputs = [layer(h) for layer in layers]
                return outputs if len(outputs) > 1 else outputs[0]

        return Joined()

    model = kg.VAE(network([2, 2]), network([5]), num_classes=3)
    x, y = tiny.images(4, (5,)), np.array([0, 1, 2, 0])
    assert model([x, y]).shape == (4, 5)
    assert model.latent_dim == 2
    predicted = model.predict([x, y], verbose=0)
    np.testing.assert_allclose(model.reconstruct(x, y=y), predicted, rtol=1e-5)


def test_an_unknown_label_is_not_binarised_away():
    """In a batch after the first: a grey value of NaN must not become black."""
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(8,), num_classes=3)
    model = kg.VAE(*networks, num_classes=3, dynamic_binarization=True, seed=1)
    model.compile("sgd")
    x, y = pairs()
    keras.Model.train_on_batch(model, x, y)
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    keras.Model.train_on_batch(model, x, np.where(np.arange(24) == 5, 3, y))
    for a, b in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))
    assert ops.convert_to_numpy(model.skipped_updates) == 1


@pytest.mark.once
def test_networks_that_expect_one_hot_labels_are_told_to_take_integers():
    x, y = keras.Input((8,)), keras.Input((3,))
    z = keras.Input((2,))
    generator = keras.Model([z, y], keras.layers.Dense(8)(keras.layers.Concatenate()([z, y])))
    discriminator = keras.Model([x, y], keras.layers.Dense(1)(keras.layers.Concatenate()([x, y])))
    with pytest.raises(ValueError, match=r'begin with `y = keras.Input\(\(\), dtype="int32"\)`'):
        kg.GAN(generator, discriminator, latent_dim=2, num_classes=3)
    y = keras.Input((), dtype="int32")
    encoding = keras.layers.CategoryEncoding(3, output_mode="one_hot")
    h = keras.layers.Concatenate()([z, encoding(y)])
    generator = keras.Model([z, y], keras.layers.Dense(8)(h))
    h = keras.layers.Concatenate()([x, encoding(y)])
    discriminator = keras.Model([x, y], keras.layers.Dense(1)(h))
    gan = kg.GAN(generator, discriminator, latent_dim=2, num_classes=3)
    assert gan.sample(3, y=[0, 1, 2]).shape == (3, 8)
