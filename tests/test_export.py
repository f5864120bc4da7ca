"""What is exported is run by processes that know neither the library nor its checkout."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.export import Signature, samplers
from tests.models import tiny

BACKEND = keras.config.backend()
HAS_ONNX = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))

# Answers in place of facts: what two saved models give.
LOAD = """
import json, sys
sys.modules["keras_gen"] = None
import numpy as np
import tensorflow as tf

folder, out = sys.argv[1:]
vae, gan = (tf.saved_model.load(f"{folder}/{name}") for name in ("vae", "gan"))
arrays = np.load(f"{folder}/inputs.npz")
z, x, y, points = (tf.constant(arrays[name]) for name in ("z", "x", "y", "points"))
seed, other = tf.constant([3, 4]), tf.constant([3, 5])
results = {
    "decoded": vae.decode(z)["x"],
    "log_var": vae.encode(x)["log_var"],
    "lower": vae.encode(x)["lower"],
    "default": vae.signatures["serving_default"](x=x)["reconstruction"],
    "latents": vae.latents(tf.concat([z, z[:, :2]], axis=1))["z"],
    "sample": vae.sample(tf.zeros(5, tf.int32))["x"],
    "sample_again": vae.sample(tf.zeros(5, tf.int32))["x"],
    "seeded": vae.sample_seeded(tf.zeros(5, tf.int32), seed)["x"],
    "seeded_again": vae.sample_seeded(tf.zeros(5, tf.int32), seed)["x"],
    "other_seed": vae.sample_seeded(tf.zeros(5, tf.int32), other)["x"],
    "generated": gan.generate(z[:, :2], y)["x"],
    "logits": gan.discriminate(points, tf.stack([y, y], axis=1))["logits"],
    "unknown": gan.generate(z[:, :2], y + 3)["x"],
    "zeros": gan.sample_seeded(tf.zeros(5, tf.int32), seed)["x"],
    "ones": gan.sample_seeded(tf.ones(5, tf.int32), seed)["x"],
}
np.savez(out, **{name: value.numpy() for name, value in results.items()})
"""

needs_tensorflow = pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow"), reason="a SavedModel is written by TensorFlow"
)
writes_saved_models = pytest.mark.skipif(
    BACKEND == "torch", reason="through TensorFlow: tests/train/test_export.py"
)
needs_onnx = pytest.mark.skipif(
    not HAS_ONNX, reason="onnx and onnxruntime are not installed: `pip install onnx onnxruntime`"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A VAE and a conditional GAN, the folder that holds both, and what they were asked."""
    folder = tmp_path_factory.mktemp("exported")
    vae = tiny.of_posterior(kg.VAE, "full_covariance", prior=kg.priors.VampPrior(3))
    gan = tiny.conditional_gan()
    random = np.random.default_rng(0)
    inputs = {
        "z": random.standard_normal((5, 3)).astype("float32"),
        "x": tiny.images(5),
        "y": np.array([0, 1, 2, 1, 0], "int32"),
        "points": random.standard_normal((5, 16)).astype("float32"),  # Packs of two.
    }
    np.savez(folder / "inputs.npz", **inputs)
    vae.export(folder / "vae", verbose=False)
    gan.export(folder / "gan", verbose=False)
    return folder, vae, gan, inputs


def run(*command, **environment):
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": "", "KERAS_BACKEND": "tensorflow", **environment},
        capture_output=True,
        text=True,
    )


def latents(vae, noise):
    return ops.convert_to_numpy(vae.z_of_noise(ops.convert_to_tensor(noise)))


@needs_tensorflow
@writes_saved_models
def test_saved_models_answer_as_the_models_do(exported, tmp_path):
    folder, vae, gan, inputs = exported
    process = run(sys.executable, "-P", "-c", LOAD, folder, tmp_path / "results.npz")
    assert process.returncode == 0, process.stderr
    results = np.load(tmp_path / "results.npz")
    expected = {
        "decoded": vae.decode(inputs["z"]),
        "log_var": vae.encode(inputs["x"])[1],
        "lower": vae.encode(inputs["x"])[2],
        "default": vae.reconstruct(inputs["x"]),
        "latents": latents(vae, np.concatenate([inputs["z"], inputs["z"][:, :2]], axis=1)),
        "generated": gan.generate(inputs["z"][:, :2], y=inputs["y"]),
        "logits": ops.convert_to_numpy(
            gan.logits(inputs["points"], np.stack([inputs["y"], inputs["y"]], axis=1))
        ),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(results[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert results["sample"].shape == (5, 8, 8, 1)
    assert not np.array_equal(results["sample"], results["sample_again"])
    assert np.array_equal(results["seeded"], results["seeded_again"])
    assert not np.array_equal(results["seeded"], results["other_seed"])
    # The same z under other labels; and labels that there are not.
    assert not np.array_equal(results["zeros"], results["ones"])
    assert np.isnan(results["unknown"]).all()


@needs_tensorflow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="TFSMLayer and saved_model_cli are its own")
def test_saved_models_are_known_to_tensorflows_own_tools(exported):
    folder, vae, _, inputs = exported
    layer = keras.layers.TFSMLayer(folder / "vae", call_endpoint="decode")
    np.testing.assert_allclose(layer(inputs["z"])["x"], vae.decode(inputs["z"]), atol=1e-5)
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    process = run(tool, "show", "--dir", folder / "gan", "--tag_set", "serve", "--all")
    assert process.returncode == 0, process.stderr
    shown = process.stdout.split("signature_def['sample_seeded']")[1].split("signature_def")[0]
    assert "inputs['like']" in shown and "inputs['seed']" in shown and "outputs['x']" in shown
    assert "shape: (-1)" in shown and "shape: (2)" in shown and "shape: (-1, 8)" in shown


@needs_tensorflow
@pytest.mark.skipif(BACKEND != "torch", reason="the others export in their own process")
def test_a_network_that_no_other_process_can_import_is_refused(tmp_path):
    class Mine(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(8)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, z):
            return self.dense(z)

    _, discriminator = kg.networks.point_gan((8,), 2, hidden=(6,))
    gan = kg.GAN(Mine(), discriminator, latent_dim=2)
    gan.build((None, 8))
    with pytest.raises(RuntimeError, match="registered .* in a module that can be imported"):
        gan.export(tmp_path / "gan", verbose=False)
    assert not list(tmp_path.iterdir())


def vamp_vae_of_maps():
    return tiny.vae_of_maps(prior=kg.priors.VampPrior(3))


@needs_onnx
def test_onnx_files_of_a_flow_reconstruct_through_its_networks(tmp_path):
    if BACKEND == "jax":
        pytest.skip("JAX goes through torch: once is enough")
    import onnxruntime

    model, x = tiny.of_posterior(kg.VAE, tiny.autoregressive()), tiny.images(7)
    random = np.random.default_rng(0)
    for weight in model.posterior.trainable_weights:
        weight.assign(0.5 * random.standard_normal(weight.shape))
    model.export(tmp_path / "onnx", "onnx", verbose=False)
    found = {
        name: onnxruntime.InferenceSession(tmp_path / "onnx" / f"{name}.onnx").run(None, {"x": x})
        for name in ("encode", "reconstruct")
    }
    for a, b in zip(found["encode"], model.encode(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(found["reconstruct"][0], model.reconstruct(x), atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("build", [vamp_vae_of_maps, tiny.conditional_gan], ids=["vae", "gan"])
def test_onnx_files_answer_as_the_model_does(tmp_path, build):
    if BACKEND == "jax" and build is vamp_vae_of_maps:
        pytest.skip("JAX goes through torch: once is enough")
    import onnxruntime

    model = build()
    model.export(tmp_path / "onnx", "onnx", verbose=False)

    def answer(name, **inputs):
        session = onnxruntime.InferenceSession(tmp_path / "onnx" / f"{name}.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))

    if isinstance(model, kg.GAN):
        names = {"generate.onnx", "discriminate.onnx"}
        z = np.random.default_rng(0).standard_normal((7, 2)).astype("float32")
        y = np.arange(7, dtype="int32") % 3
        x, expected = answer("generate", z=z, y=y)["x"], model.generate(z, y=y)
        assert np.isnan(answer("generate", z=z, y=y + 3)["x"]).all()  # Labels are 0, 1 and 2.
    else:
        names = {"encode.onnx", "decode.onnx", "reconstruct.onnx", "latents.onnx"}
        noise = np.random.default_rng(0).standard_normal((7, 14)).astype("float32")
        z = answer("latents", noise=noise)["z"]
        assert z.shape == (7, *tiny.MAPS)
        np.testing.assert_allclose(z.reshape(7, -1), latents(model, noise), atol=1e-5)
        z = answer("encode", x=tiny.images(7))
        np.testing.assert_allclose(z["log_var"], model.encode(tiny.images(7))[1], atol=1e-5)
        x, expected = answer("decode", z=z["mean"])["x"], model.reconstruct(tiny.images(7))
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == names
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


@needs_onnx
@pytest.mark.skipif(BACKEND == "jax", reason="JAX goes through torch: once is enough")
@pytest.mark.parametrize("build", [tiny.vqvae, tiny.conditional_vqgan, tiny.vaegan])
def test_onnx_files_of_codes_and_of_a_game_answer_as_the_model_does(tmp_path, build):
    import onnxruntime

    model, x = build(), tiny.images(7)
    inputs = {} if model.num_classes is None else {"y": np.arange(7, dtype="int32") % 3}
    expected = model.encode(x, **inputs)
    model.export(tmp_path / "onnx", "onnx", verbose=False)

    def answer(name, **arrays):
        session = onnxruntime.InferenceSession(tmp_path / "onnx" / f"{name}.onnx")
        return session.run(None, {**arrays, **inputs})

    is_coded = isinstance(model, kg.VQVAE)
    encoded = answer("encode", x=x)
    for a, b in zip(encoded, [expected] if is_coded else expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0 if is_coded else 1e-5)
    decoded = answer("decode", **{"codes" if is_coded else "z": encoded[0]})[0]
    for found in (decoded, answer("reconstruct", x=x)[0]):
        np.testing.assert_allclose(found, model.reconstruct(x, **inputs), rtol=1e-5, atol=1e-5)


@needs_onnx
@pytest.mark.skipif(BACKEND == "jax", reason="JAX goes through torch: once is enough")
def test_flat_latents_of_a_prior_are_exported_under_the_name_that_torch_has_inside(tmp_path):
    import onnxruntime

    networks = kg.networks.mlp_vae((4, 4, 1), 2, hidden=(3,))
    model = kg.VAE(*networks, prior=kg.priors.Mixture(3))
    model.export(tmp_path / "onnx", "onnx", verbose=False)
    noise = np.random.default_rng(0).standard_normal((7, 4)).astype("float32")
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "latents.onnx")
    (z,) = session.run(["z"], {"noise": noise})
    np.testing.assert_allclose(z, latents(model, noise), atol=1e-5)


@needs_tensorflow
@pytest.mark.skipif(
    BACKEND != "jax", reason="the weights are put in place alike, and JAX frees some"
)
def test_averaged_weights_replace_an_export_and_leave_the_model_as_it_was(tmp_path):
    gan = tiny.wgan()
    gan.compile(
        keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9), keras.optimizers.Adam()
    )
    gan.fit(tiny.examples(gan, 40), batch_size=8, epochs=2, verbose=0)
    out = tmp_path / "gan"
    out.mkdir()
    with pytest.raises(ValueError, match="exists"):
        gan.export(out, ema=True)
    before = gan.get_weights()
    gan.export(out, ema=True, overwrite=True, verbose=False)
    for weight, value in zip(gan.get_weights(), before, strict=True):
        assert np.array_equal(weight, value)
    z = np.random.default_rng(0).standard_normal((4, 2)).astype("float32")
    assert np.abs(gan.generate(z) - gan.generate(z, ema=True)).max() > 1e-2
    import tensorflow as tf

    loaded = tf.saved_model.load(out)
    np.testing.assert_allclose(loaded.generate(z)["x"], gan.generate(z, ema=True), atol=1e-5)


@pytest.mark.once
@needs_tensorflow
@pytest.mark.skipif(BACKEND == "jax", reason="TensorFlow and PyTorch round most differently")
def test_long_sums_may_differ_by_what_they_round(tmp_path):
    random = np.random.default_rng(0)
    x, z = keras.Input((4096,)), keras.Input((64,))
    h = keras.layers.Dense(200)(x)
    heads = [keras.layers.Dense(64)(h), keras.layers.Dense(64)(h)]
    vae = kg.VAE(keras.Model(x, heads), keras.Model(z, keras.layers.Dense(4096)(z)), "gaussian")
    # Sums of thousands of terms, that cancel to values of all sizes.
    vae.encoder.set_weights([0.1 * random.normal(size=w.shape) for w in vae.encoder.get_weights()])
    differences = vae.export(tmp_path / "vae", verbose=False)
    assert differences["encode"] < 1e-3
    assert BACKEND == "tensorflow" or differences["encode"] > 1e-5
    # A layer that does something else is found, as before: of a model that rounds as little.
    small = tiny.vae()
    signature = small.signatures()["decode"]
    calls = []

    def changes(z):
        calls.append(z)  # The first three calls are the model's own.
        return {"x": signature.function(z)["x"] + (1e-4 if len(calls) > 6 else 0)}

    small.signatures = lambda: {"decode": Signature(changes, signature.inputs)}
    if BACKEND == "tensorflow":
        with pytest.raises(RuntimeError, match="by 0.0001, and 1e-05 is allowed. .*does something"):
            small.export(tmp_path / "small", verbose=False)


@pytest.mark.parametrize("content", [None, "notes.txt"])
def test_only_an_export_is_replaced(tmp_path, content):
    out = tmp_path / "out"
    if content is None:
        out.write_text("a file")
    else:
        out.mkdir()
        (out / content).write_text("mine")
    with pytest.raises(ValueError, match="is not a folder that an export has left"):
        tiny.vae().export(out, overwrite=True)
    assert out.exists()


@pytest.mark.parametrize("format", ["onnx", "tf_saved_model"])
def test_a_file_is_no_folder_for_an_export(tmp_path, format):
    with pytest.raises(
        ValueError, match='model.onnx would be a folder: pass "model" and format="onnx"'
    ):
        tiny.vae().export(tmp_path / "model.onnx", format=format)
    assert not any(tmp_path.iterdir())


class Broken(kg.VAE):
    """With one more signature, which does what tracing does not stand."""

    fault = None

    def signatures(self):
        like = keras.InputSpec(shape=(None,), dtype="int32", name="like")
        return {self.fault: Signature(getattr(self, self.fault), [like], draws=True)}

    def frozen(self, like):
        noise = ops.convert_to_tensor(np.random.default_rng().random((1, 3)), "float32")
        return {"x": noise + ops.cast(like, "float32")[:, None]}

    def vanishes(self, like):
        """Not finite in any batch whose size is not known when it is traced."""
        noise = self.user_sampling.noise((ops.shape(like)[0], 3))
        return {"x": noise if type(like.shape[0]) is int else ops.sqrt(-1 - ops.square(noise))}

    def fails(self, like):
        noise = self.user_sampling.noise((ops.shape(like)[0], 3))
        return {"x": noise * int(like.shape[0])}


@needs_tensorflow
@writes_saved_models
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("frozen", "draws the same again"),
        ("vanishes", "gives values that are not finite"),
        ("fails", "cannot be written as tf_saved_model"),
    ],
)
def test_a_bad_export_leaves_no_file_and_a_model_that_works(tmp_path, fault, message):
    if BACKEND == "jax" and fault != "fails":
        pytest.skip("what is written is checked alike")
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    model, twin = Broken(*networks, seed=1), kg.VAE(*networks, seed=1)
    model.fault = fault
    with pytest.raises(RuntimeError, match=message):
        model.export(tmp_path / "vae", verbose=False)
    assert not list(tmp_path.iterdir())
    assert np.array_equal(model.sample(3), twin.sample(3))


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    model = tiny.vae()
    model.decoder.trainable_weights[0].assign(
        np.full(model.decoder.trainable_weights[0].shape, np.nan)
    )
    with pytest.raises(ValueError, match="gives values that are not finite"):
        model.export(tmp_path / "vae", verbose=False)


@needs_onnx
def test_onnx_of_a_model_in_mixed_precision_is_refused_with_the_way_out(tmp_path):
    networks = dict(image_shape=tiny.IMAGE_SHAPE, latent_dim=3, hidden=(6,))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = kg.VAE(*kg.networks.mlp_vae(**networks))
    finally:
        keras.config.set_dtype_policy(policy)
    with pytest.raises(ValueError, match="set_weights"):
        mixed.export(tmp_path / "vae", format="onnx")
    plain = kg.VAE(*kg.networks.mlp_vae(**networks))
    plain.set_weights(mixed.get_weights())
    z = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    np.testing.assert_allclose(plain.decode(z), mixed.decode(z), atol=0.01)


def test_seeded_noise_is_normal_and_leaves_the_stream():
    stream = kg.layers.Sampling(seed=0)
    functions = samplers(stream, (4,), lambda noise, y: noise, has_labels=False)
    seeded = functions["sample_seeded"].function
    noise = ops.convert_to_numpy(seeded(np.zeros(20_000, "int32"), np.array([1, 2], "int32"))["x"])
    # Standard errors: .0035 of the mean, .005 of the variance.
    assert abs(noise.mean()) < 0.015 and abs(noise.var() - 1) < 0.02
    twin = kg.layers.Sampling(seed=0)
    assert np.array_equal(*(ops.convert_to_numpy(s.noise((3, 4))) for s in (stream, twin)))


def test_models_name_what_they_export():
    draws = ["sample", "sample_seeded"]
    assert list(tiny.autoencoder().signatures()) == ["reconstruct", "encode", "decode"]
    assert list(tiny.vae().signatures()) == ["reconstruct", "encode", "decode", *draws]
    assert list(tiny.denoising_autoencoder().signatures())[0] == "denoise"
    assert list(tiny.wgan().signatures()) == ["generate", *draws, "discriminate"]
    for kind in (kg.VAE, kg.GAN):
        own = type("Own", (kind,), {"draw_latents": lambda self, num_samples, *, seed=None: None})
        model = own.from_config((tiny.vae() if kind is kg.VAE else tiny.gan()).get_config())
        assert not {*draws} & model.signatures().keys()
    conditional = tiny.conditional_gan().signatures()
    shapes = [(spec.name, spec.shape) for spec in conditional["discriminate"].inputs]
    assert shapes == [("x", (None, 16)), ("y", (None, 2))]
    generator, _ = kg.networks.point_gan((8,), 2, hidden=(6,))
    x = keras.Input((8,))
    h = kg.layers.MinibatchDiscrimination(2, 2)(x)
    comparing = kg.GAN(generator, keras.Model(x, keras.layers.Dense(1)(h)), latent_dim=2)
    assert "discriminate" not in comparing.signatures()


def test_two_layers_of_latents_are_drawn_from_the_top():
    model = tiny.two_layer_iwae()
    noise = np.random.default_rng(0).standard_normal((50_000, model.noise_size)).astype("float32")
    z = ops.convert_to_numpy(model.z_of_noise(ops.convert_to_tensor(noise)))
    drawn = model.draw_latents(50_000)
    np.testing.assert_allclose(z.mean(0), drawn.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(z.T), np.cov(drawn.T), atol=0.05)
