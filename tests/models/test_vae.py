import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import keras_gen as kg
from tests.models import tiny


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def constant_networks(mean, log_var, parameters):
    """A q(z|x) and a p(x|z) that do not depend on x and z."""
    x, z = keras.Input((len(parameters),)), keras.Input((len(mean),))

    def constant(h, values):
        return keras.layers.Dense(
            len(values),
            kernel_initializer="zeros",
            bias_initializer=lambda shape, dtype: ops.convert_to_tensor(values, dtype),
        )(h)

    encoder = keras.Model(x, [constant(x, mean), constant(x, log_var)])
    return encoder, keras.Model(z, constant(z, parameters))


def evaluated(vae, x, **kwargs):
    vae.compile(optimizer="sgd")
    return vae.evaluate(x, return_dict=True, verbose=0, **kwargs)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_logs_are_the_closed_form(beta):
    mean, log_var, logits = [1.0, -2.0], [np.log(4.0), np.log(0.25)], [0.5, -1.0, 2.0]
    x = np.array([[0.0, 1, 1], [1, 0, 0.5]], "float32")
    logs = evaluated(kg.VAE(*constant_networks(mean, log_var, logits), beta=beta), x)
    kl = (1 + 4 - 1 - np.log(4)) / 2 + (4 + 0.25 - 1 - np.log(0.25)) / 2
    p = 1 / (1 + np.exp(-np.array(logits)))
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    expected = {
        "loss": reconstruction + beta * kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "elbo": -(reconstruction + kl),
    }
    assert logs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-5, err_msg=name)


def test_the_elbo_of_the_exact_posterior_is_the_log_likelihood():
    # p(z) = N(0, 1) and p(x|z) = N(z, s^2): then p(x) = N(0, 1 + s^2), and the posterior is
    # N(x / (1 + s^2), s^2 / (1 + s^2)). The bound is tight, up to the draw of z.
    s = 0.5
    x_in, z_in = keras.Input((1,)), keras.Input((1,))
    encoder = keras.Model(x_in, [x_in / (1 + s**2), 0 * x_in + float(np.log(s**2 / (1 + s**2)))])
    decoder = keras.Model(z_in, 1.0 * z_in)
    vae = kg.VAE(encoder, decoder, likelihood=kg.likelihoods.Gaussian(s), seed=0)
    x = np.random.default_rng(0).normal(size=(20_000, 1), scale=np.sqrt(1 + s**2))
    elbo = evaluated(vae, x.astype("float32"), batch_size=2000)["elbo"]
    log_likelihood = stats.norm.logpdf(x, scale=np.sqrt(1 + s**2)).mean()
    # The KL of one example has a standard deviation below 1 nat.
    assert abs(elbo - log_likelihood) < 4 / np.sqrt(len(x))


def test_the_elbo_never_exceeds_minus_the_entropy_of_grey_images():
    x = tiny.images(64)
    entropy = stats.bernoulli.entropy(x.astype("float64")).sum((1, 2, 3)).mean()
    vae = tiny.vae()
    vae.compile(keras.optimizers.Adam(0.01))
    history = vae.fit(x, epochs=5, verbose=0).history
    assert min(history["reconstruction"]) > entropy
    assert max(history["elbo"]) < -entropy


def test_each_evaluation_draws_fresh_noise():
    vae = tiny.vae()
    logs = [evaluated(vae, tiny.images())["reconstruction"] for _ in range(2)]
    assert logs[0] != logs[1]


def test_a_schedule_of_beta_is_read_at_every_iteration():
    # 0.1 to 1 in 10 steps: 4 epochs of 3 steps end at 1, and the last step before was at 1.
    vae = tiny.scheduled_vae()
    vae.compile(keras.optimizers.SGD(0.0))
    seen = []
    for _ in range(12):
        logs = vae.train_on_batch(tiny.images(8), return_dict=True)
        seen.append((logs["loss"] - logs["reconstruction"]) / logs["kl"])
        vae.reset_metrics()
    expected = np.minimum(0.1 + 0.9 * np.arange(12) / 10, 1)
    np.testing.assert_allclose(seen, expected, rtol=2e-3)
    logs = vae.evaluate(tiny.images(8), return_dict=True, verbose=0)
    np.testing.assert_allclose(logs["loss"], logs["reconstruction"] + logs["kl"], rtol=1e-5)


def test_sample_weights_weight_examples():
    x = tiny.images(6)
    weights = np.array([0.0, 0, 0, 2, 1, 3], "float32")

    def evaluate(x, **kwargs):
        vae = tiny.vae()
        # Noise by example, so that the same ones get the same.
        vae.evaluation_sampling.noise = lambda shape: ops.ones(shape)
        for weight in vae.trainable_weights:
            weight.assign(np.random.default_rng(0).normal(size=weight.shape, scale=0.3))
        return evaluated(vae, x, **kwargs)

    logs = evaluate(x, sample_weight=weights)
    singles = [evaluate(x[i : i + 1]) for i in range(6)]
    for name in ("reconstruction", "kl", "elbo"):
        # As Keras: the weighted sum over the number of examples.
        expected = sum(w * single[name] for w, single in zip(weights, singles, strict=True)) / 6
        np.testing.assert_allclose(logs[name], expected, rtol=1e-5)


def test_a_regulariser_enters_the_loss_and_not_the_elbo():
    vae = tiny.regular_vae()
    (kernel,) = [w for w in vae.trainable_weights if w.shape == (64, 6)]
    logs = evaluated(vae, tiny.images())
    penalty = 0.01 * np.square(numpy(kernel)).sum()
    np.testing.assert_allclose(
        logs["loss"], logs["reconstruction"] + logs["kl"] + penalty, rtol=1e-5
    )
    np.testing.assert_allclose(logs["elbo"], -logs["reconstruction"] - logs["kl"], rtol=1e-5)
    before = numpy(kernel).copy()
    shrunk = kg.VAE(vae.encoder, vae.decoder, beta=0.0)
    shrunk.compile(keras.optimizers.SGD(0.1))
    shrunk.fit(tiny.images(8), sample_weight=np.zeros(8), batch_size=8, verbose=0)
    np.testing.assert_allclose(numpy(kernel), before * (1 - 0.1 * 2 * 0.01), rtol=1e-4)


def test_an_added_loss_enters_the_loss():
    class Charge(keras.layers.Layer):
        def call(self, x):
            self.add_loss(ops.sum(0 * x) + 3.0)
            return x

    x = keras.Input(tiny.IMAGE_SHAPE)
    h = keras.layers.Flatten()(Charge()(x))
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    vae = kg.VAE(encoder, tiny.vae().decoder)
    vae.compile("sgd")
    for logs in (
        vae.train_on_batch(tiny.images(4), return_dict=True),
        vae.evaluate(tiny.images(4), return_dict=True, verbose=0),
    ):
        np.testing.assert_allclose(logs["loss"], logs["reconstruction"] + logs["kl"] + 3, rtol=1e-5)


def test_a_learned_sigma_goes_to_the_root_mean_squared_error():
    # q and p do not depend on x: the best sigma^2 is the mean of (x - mean)^2.
    x = np.random.default_rng(0).normal(loc=0.4, scale=0.2, size=(256, 3)).astype("float32")
    likelihood = kg.likelihoods.Gaussian(1.0, learn_sigma=True)
    networks = constant_networks([0.0], [0.0], [0.5] * 3)
    for network in networks:
        network.trainable = False
    vae = kg.VAE(*networks, likelihood=likelihood)
    vae.compile(keras.optimizers.SGD(0.02))
    # 150 batches, in few epochs: each takes longer than its steps.
    vae.fit(np.tile(x, (50, 1)), batch_size=256, epochs=3, shuffle=False, verbose=0)
    sigma = float(np.exp(numpy(likelihood.log_sigma)))
    np.testing.assert_allclose(sigma, np.sqrt(np.square(x - 0.5).mean()), rtol=1e-3)


def test_encode_decode_and_reconstruct_are_the_networks():
    vae, x = tiny.vae(), tiny.images(300)  # More than two batches of 128.
    mean, log_var = vae.encode(x)
    expected = [numpy(output) for output in vae.encoder(x)]
    np.testing.assert_allclose(mean, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_var, expected[1], rtol=1e-4, atol=1e-6)
    images = numpy(ops.sigmoid(vae.decoder(mean)))
    np.testing.assert_allclose(vae.decode(mean), images, rtol=1e-4)
    np.testing.assert_allclose(vae.reconstruct(x), images, rtol=1e-4)
    np.testing.assert_allclose(numpy(vae(x)), images, rtol=1e-4)
    np.testing.assert_allclose(vae.predict(x, verbose=0), images, rtol=1e-4)
    assert np.abs(vae.reconstruct(x, sample=True) - images).max() > 1e-3


def test_interpolation_is_a_line_in_z_with_both_ends():
    vae, x = tiny.vae(), tiny.images(4)
    between = vae.interpolate(x[:2], x[2:], steps=5)
    assert between.shape == (2, 5, *tiny.IMAGE_SHAPE)
    np.testing.assert_allclose(between[:, 0], vae.reconstruct(x[:2]), rtol=1e-4)
    np.testing.assert_allclose(between[:, -1], vae.reconstruct(x[2:]), rtol=1e-4)
    middle = (vae.encode(x[:2])[0] + vae.encode(x[2:])[0]) / 2
    np.testing.assert_allclose(between[:, 2], vae.decode(middle), rtol=1e-4)


def test_samples_come_from_the_prior():
    # A decoder that shows z itself.
    z = keras.Input((2,))
    encoder, _ = constant_networks([0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    vae = kg.VAE(encoder, keras.Model(z, 1.0 * z), likelihood="gaussian", seed=0)
    x = vae.sample(20_000)
    np.testing.assert_allclose(x.mean(0), 0, atol=4 / np.sqrt(len(x)))
    np.testing.assert_allclose(np.cov(x.T), np.eye(2), atol=0.05)
    drawn = vae.sample(20_000, draw_pixels=True)
    np.testing.assert_allclose(np.cov(drawn.T), 2 * np.eye(2), atol=0.1)
    assert not np.any(vae.sample(3) == vae.sample(3))


def test_early_stopping_watches_val_loss():
    vae = tiny.vae()
    vae.compile(keras.optimizers.SGD(0.0))
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, min_delta=100.0)
    history = vae.fit(
        tiny.images(), validation_split=0.25, epochs=9, verbose=0, callbacks=[stop]
    ).history
    assert len(history["val_loss"]) == 3


@keras.saving.register_keras_serializable("keras_gen_tests")
class OwnEncoder(keras.Model):
    def __init__(self, latent_dim, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.hidden = keras.layers.Dense(6, activation="tanh")
        self.mean = keras.layers.Dense(latent_dim)
        self.log_var = keras.layers.Dense(latent_dim)

    def call(self, x):
        h = self.hidden(x)
        return self.mean(h), self.log_var(h)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable("keras_gen_tests")
class OwnDecoder(keras.Model):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.output_layer = keras.layers.Dense(size)

    def call(self, z):
        return self.output_layer(z)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@pytest.mark.once
def test_networks_of_ones_own_learn_a_table(tmp_path):
    # Two columns that are one: a latent carries them.
    t = np.random.default_rng(0).normal(size=(256, 1)).astype("float32")
    x = np.concatenate([t, -t], axis=1)
    vae = kg.VAE(OwnEncoder(1), OwnDecoder(2), likelihood=kg.likelihoods.Gaussian(0.1), seed=0)
    with pytest.raises(ValueError, match="Call it on a batch"):
        vae.sample(1)
    vae.compile(keras.optimizers.Adam(0.02))
    vae.fit(x, epochs=40, verbose=0)
    assert np.square(vae.reconstruct(x) - x).mean() < 0.05
    vae.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), vae.reconstruct(x))
    for model in (vae, loaded):
        model.fit(x, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.reconstruct(x), vae.reconstruct(x))


def test_a_partial_last_batch_counts_by_its_examples():
    x = tiny.images(10)
    whole, parts = tiny.vae(), tiny.vae()
    for vae in (whole, parts):
        vae.evaluation_sampling.noise = lambda shape: ops.ones(shape)
        vae.set_weights(whole.get_weights())
        vae.compile("sgd")
    one = whole.evaluate(x, batch_size=10, return_dict=True, verbose=0)
    three = parts.evaluate(x, batch_size=4, return_dict=True, verbose=0)
    for name in one:
        np.testing.assert_allclose(one[name], three[name], rtol=1e-5)


def test_a_tf_data_pipeline_trains():
    tf = pytest.importorskip("tensorflow")
    x = tiny.images()
    pipeline = tf.data.Dataset.from_tensor_slices(x).batch(8)
    vae, arrays = tiny.vae(), tiny.vae()
    arrays.set_weights(vae.get_weights())
    for model, data in ((vae, pipeline), (arrays, x)):
        model.compile(keras.optimizers.SGD(0.01))
        model.fit(data, batch_size=None if data is pipeline else 8, shuffle=False, verbose=0)
    np.testing.assert_allclose(vae.reconstruct(x), arrays.reconstruct(x), rtol=1e-4)


def test_a_generator_loses_no_batch():
    x = tiny.images(8)

    def batches():
        yield from ((x[:4],), (x[4:],))

    vae, arrays = tiny.vae(), tiny.vae()
    arrays.set_weights(vae.get_weights())
    vae.compile(keras.optimizers.SGD(0.01))
    arrays.compile(keras.optimizers.SGD(0.01))
    vae.fit(batches(), steps_per_epoch=2, shuffle=False, verbose=0)
    arrays.fit(x, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(vae.reconstruct(x), arrays.reconstruct(x), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_its_losses_in_float32(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        vae = tiny.vae()
    finally:
        keras.config.set_dtype_policy("float32")
    vae.compile(keras.optimizers.Adam(0.01))
    x = tiny.images(64)
    loss = vae.fit(x, epochs=10, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    full = tiny.vae()
    full.set_weights(vae.get_weights())
    full.compile("sgd")
    for model in (vae, full):
        model.evaluation_sampling.noise = lambda shape: ops.ones(shape)
    half = vae.evaluate(x, return_dict=True, verbose=0)
    exact = full.evaluate(x, return_dict=True, verbose=0)
    np.testing.assert_allclose(half["loss"], exact["loss"], rtol=5e-3)
    vae.save(tmp_path / "mixed.keras")
    loaded = keras.saving.load_model(tmp_path / "mixed.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), vae.reconstruct(x))
    assert loaded.encoder.layers[-1].dtype_policy.name == "float32"
    loaded.fit(x, epochs=1, verbose=0)


def test_summary_and_counts(capsys):
    tiny.vae().summary(print_fn=print)
    assert "encoder" in capsys.readouterr().out
