"""Half precision in the networks, and nowhere else."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.data import ArrayDataset
from tests.models import tiny
from train.speed import precision

POLICIES = ("mixed_bfloat16", "mixed_float16")


def wgan_gp():
    networks = kg.networks.dcgan((8, 8, 1), 3, filters=(4, 6), discriminator_norm="layer")
    penalties = [kg.losses.GradientPenalty(10.0)]
    return kg.GAN(*networks, 3, loss="wasserstein", penalties=penalties, d_steps=2, seed=1)


def r3gan():
    penalties = [kg.losses.R1(1.0), kg.losses.R2(1.0)]
    networks = kg.networks.mlp_gan((8, 8, 1), 3, (6,), (6,))
    return kg.GAN(*networks, 3, loss="relativistic", penalties=penalties, seed=1)


def comparing_gan():
    """With the layers that compare the examples of a batch, and DRAGAN."""
    x = keras.Input((8, 8, 1))
    h = kg.layers.MinibatchStdDev()(keras.layers.Conv2D(3, 3, activation="leaky_relu")(x))
    h = kg.layers.MinibatchDiscrimination(4, 2)(keras.layers.Flatten()(h))
    discriminator = keras.Model(x, keras.layers.Dense(1)(h))
    generator, _ = kg.networks.mlp_gan((8, 8, 1), 3, (6,), (6,))
    return kg.GAN(generator, discriminator, latent_dim=3, penalties=["dragan"], seed=1)


def half_gan():
    """Whose networks end in half precision, as a user's may, with what layers add to a loss."""
    z, x = keras.Input((3,)), keras.Input((8, 8, 1))
    h = keras.layers.Dense(64, "sigmoid", activity_regularizer="l2")(z)
    generator = keras.Model(z, keras.layers.Reshape((8, 8, 1))(h))
    h = keras.layers.Dense(4, "tanh", activity_regularizer="l2")(keras.layers.Flatten()(x))
    discriminator = keras.Model(x, keras.layers.Dense(1)(h))
    penalties = ["gradient_penalty", "r1", "r2"]
    return kg.GAN(generator, discriminator, latent_dim=3, penalties=penalties, seed=1)


def vamp_vae():
    return tiny.regular_vae(prior=kg.priors.VampPrior(3))


TRAINED = [
    (vamp_vae, "mixed_float16"),
    (tiny.flow_dreg_iwae, "mixed_float16"),
    (tiny.full_vamp_dreg_iwae, "mixed_float16"),
    (tiny.autoregressive_conditional_vae, "mixed_float16"),
    (tiny.vqvae, "mixed_float16"),
    (tiny.conditional_gan, "mixed_float16"),
    (wgan_gp, "mixed_float16"),
    (comparing_gan, "mixed_float16"),
    (half_gan, "mixed_float16"),
    # The range of float32, and no loss scale: fewer ways to go wrong.
    (half_gan, "mixed_bfloat16"),
]


def compiled(build, policy):
    keras.utils.set_random_seed(3)
    with precision(policy):
        model = build()
    tiny.compile_model(model, lambda: keras.optimizers.Adam(1e-3))
    return model


def examples(model, n=16):
    return np.random.default_rng(0).random((n, *model.example_shape), dtype="float32")


def values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


@pytest.mark.parametrize(
    ("build", "policy"), TRAINED, ids=lambda value: getattr(value, "__name__", value)
)
def test_it_trains_and_its_losses_are_float32(build, policy, monkeypatch):
    model = compiled(build, policy)
    assert policy.removeprefix("mixed_") in {
        layer.compute_dtype for layer in model._flatten_layers()
    }
    kinds = set()
    update_metrics = model.update_metrics

    def note(terms, x):
        kinds.update(keras.backend.standardize_dtype(term.dtype) for term in terms.values())
        return update_metrics(terms, x)

    monkeypatch.setattr(model, "update_metrics", note)
    before = values(model.trainable_variables)
    data = ArrayDataset(examples(model), tiny.labels(model, 16), batch_size=8)
    history = model.fit(data, epochs=3, verbose=0).history
    assert kinds == {"float32"}
    assert np.all(np.isfinite(list(history.values())))
    assert not np.any(values([model.skipped_updates])[0])
    after = values(model.trainable_variables)
    assert all(value.dtype == np.float32 and np.all(np.isfinite(value)) for value in after)
    changed = [np.any(a != b) for a, b in zip(before, after, strict=True)]
    assert np.mean(changed) > 0.7


def test_every_player_has_a_loss_scale_of_its_own_and_an_overflow_skips_its_step_alone():
    model = compiled(r3gan, "mixed_float16")
    generator, discriminator = model.optimizer.generator, model.optimizer.discriminator
    x = examples(model)
    model.train_on_batch(x)
    generator.dynamic_scale.assign(2.0**10)
    discriminator.dynamic_scale.assign(2.0**60)
    before = values(model.discriminator.trainable_variables)
    others = values(model.generator.trainable_variables)
    logs = model.train_on_batch(x, return_dict=True)
    assert np.all(np.isfinite(list(logs.values())))
    for a, b in zip(before, values(model.discriminator.trainable_variables), strict=True):
        np.testing.assert_array_equal(a, b)
    changed = zip(others, values(model.generator.trainable_variables), strict=True)
    assert any(np.any(a != b) for a, b in changed)
    scales = values([generator.dynamic_scale, discriminator.dynamic_scale])
    assert scales == [2.0**10, 2.0**59]
    assert values([model.skipped_updates])[0].tolist() == [0, 0]


def small_slopes(policy):
    """A discriminator whose slope is about 8e-8 in each number: of float16 the least is 6e-8."""
    keras.utils.set_random_seed(1)
    with precision(policy):
        x = h = keras.Input((40,))
        for units in (64, 1):
            kernel = keras.initializers.RandomNormal(0, 1e-4, seed=units)
            h = keras.layers.Dense(units, kernel_initializer=kernel)(h)
        generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(40)])
        model = kg.GAN(generator, keras.Model(x, h), 2, penalties=["r1"], seed=1)
    model.compile("adam", "adam")
    return model


def test_a_slope_too_small_for_float16_keeps_its_digits():
    data = np.random.default_rng(0).random((8, 40), dtype="float32")
    norms = []
    for policy in ("float32", "mixed_float16"):
        # R1 of gamma 10: 5 |grad D|^2.
        penalty = small_slopes(policy).evaluate(data, verbose=0, return_dict=True)["penalty"]
        norms.append(np.sqrt(penalty / 5))
    assert norms[0] == pytest.approx(np.sqrt(40 * 64) * 1e-4**2, rel=0.3)
    # Of each kernel, too, float16 keeps three digits.
    assert norms[1] == pytest.approx(norms[0], rel=2e-3)


@pytest.mark.parametrize(
    ("build", "policy"), [(tiny.conv_vae, "mixed_bfloat16"), (wgan_gp, "mixed_float16")]
)
def test_a_file_keeps_its_policies_whatever_the_global_one_is(build, policy, tmp_path):
    model = compiled(build, policy)
    x = examples(model)
    model.fit(x, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = kg.saving.load_model(tmp_path / "model.keras")
    policies = [
        # Keras does not save those of a functional model itself and of its inputs, which compute
        # nothing.
        [
            layer.dtype_policy.name
            for layer in one._flatten_layers()
            if not hasattr(layer, "layers") and not isinstance(layer, keras.layers.InputLayer)
        ]
        for one in (model, loaded)
    ]
    assert policies[0] == policies[1]
    assert loaded.dtype_policy.name == policy
    assert "float32" in policies[0] and policy in policies[0]
    np.testing.assert_array_equal(
        *(values([one.optimizer.variables[-1]])[0] for one in (model, loaded))
    )
    logs = [one.train_on_batch(x[:8], return_dict=True) for one in (model, loaded)]
    assert logs[0] == logs[1]  # Noise, scales and rounding alike.


@pytest.mark.once
@pytest.mark.slow
def test_the_elbo_of_half_precision_is_within_1_percent():
    # Every second pixel: TensorFlow computes slowly in float16 on a CPU.
    train, test = (
        kg.data.ArrayDataset(data.x[:, ::2, ::2], batch_size=100) for data in kg.data.load("digits")
    )
    elbos = {}
    for policy in ("float32", *POLICIES):
        keras.utils.set_random_seed(0)
        with precision(policy):
            vae = kg.VAE(*kg.networks.mlp_vae((14, 14, 1), 10, (64,)), seed=0)
        # To a rate of 0: else the last few updates move the ELBO more than rounding does.
        rate = keras.optimizers.schedules.CosineDecay(5e-3, 30 * len(train))
        vae.compile(optimizer=keras.optimizers.Adam(rate))
        train.epoch = 0
        vae.fit(train, epochs=30, verbose=0)
        elbos[policy] = vae.evaluate(test, return_dict=True, verbose=0)["elbo"]
    for policy in POLICIES:
        assert elbos[policy] == pytest.approx(elbos["float32"], rel=0.01), elbos
    assert elbos["float32"] > -50  # Of 196 log 2 = 136: it has learned.


@pytest.mark.parametrize("policy", POLICIES)
def test_inpainting_finds_what_it_finds_in_float32(policy):
    x = tiny.images(4)
    hidden = np.arange(8)[:, None, None] < 4
    found = {}
    for name in ("float32", policy):
        keras.utils.set_random_seed(0)
        with precision(name):
            model = tiny.vae()
            found[name] = [
                model.inpaint(x, hidden, method, steps=20, seed=0) for method in ("elbo", "map")
            ]
    np.testing.assert_allclose(*found.values(), atol=0.02)
