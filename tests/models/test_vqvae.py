"""VQ-VAEs: updates by hand, codes in and out, the prior after training."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.helpers import (
    BATCH_MODES,
    in_precision,
    is_slow,
    numpy,
    whole_in_precision,
)
from tests.models import tiny

BETA, DECAY, RATE = 0.5, 0.9, 2**-5
LEVELS = (4, 3)


def linear(quantizer, precision):
    """x (6,) -> two vectors of size 2, and back, each by one Dense layer."""
    x, z = keras.Input((6,)), keras.Input((2, 2))
    encoder = keras.Model(x, keras.layers.Reshape((2, 2))(keras.layers.Dense(4)(x)))
    decoder = keras.Model(z, keras.layers.Dense(6)(keras.layers.Flatten()(z)))
    return kg.VQVAE(*(whole_in_precision(n, precision) for n in (encoder, decoder)), quantizer)


class Loop:
    """The same model by hand, in NumPy: x W + b, the quantizer, z_q V + c, -log Bernoulli."""

    def __init__(self, weights, codebook):
        self.weights = [w.astype("float64") for w in weights]
        self.e, self.n, self.m = codebook.astype("float64"), np.zeros(3), np.zeros((3, 2))

    def step(self, x):
        W, b, V, c = self.weights
        n = len(x)
        z = (x @ W + b).reshape(n, 2, 2)
        z_q, slope, dz, commitment, codes = self.quantize(z)
        logits = z_q.reshape(n, 4) @ V + c
        dl = (1 / (1 + np.exp(-logits)) - x) / n
        # Straight through: what reaches z_q is what reaches z, but for FSQ's bound.
        dz = ((dl @ V.T).reshape(n, 2, 2) * slope + dz / n).reshape(n, 4)
        gradients = x.T @ dz, dz.sum(0), z_q.reshape(n, 4).T @ dl, dl.sum(0)
        self.weights = [w - RATE * g for w, g in zip(self.weights, gradients, strict=True)]
        reconstruction = np.sum(np.logaddexp(0, logits) - x * logits) / n
        p = np.bincount(codes.ravel()) / codes.size
        p = p[p > 0]
        return {
            "loss": reconstruction + commitment,
            "reconstruction": reconstruction,
            "commitment": commitment,
            "perplexity": np.exp(-np.sum(p * np.log(p))),
            "codes_used": len(p),
        }

    def quantize(self, z):
        codes = np.argmin(np.square(z[..., None, :] - self.e).sum(-1), axis=-1)
        e = self.e[codes]
        for k in range(3):
            self.n[k] = DECAY * self.n[k] + (1 - DECAY) * np.sum(codes == k)
            self.m[k] = DECAY * self.m[k] + (1 - DECAY) * z[codes == k].sum(axis=0)
        self.e = np.where(self.n[:, None] > 0, self.m / np.maximum(self.n, 1e-9)[:, None], self.e)
        commitment = BETA * np.square(z - e).sum() / len(z)
        return e, 1.0, 2 * BETA * (z - e), commitment, codes


class FSQLoop(Loop):
    def quantize(self, z):
        h = (np.array(LEVELS) - 1) * 0.999 / 2
        offset = np.array([0.5, 0.0])
        bounded = np.tanh(z + np.tan(offset / h))
        levels = np.round(bounded * h - offset)
        half = np.array(LEVELS) // 2
        codes = ((levels + half) @ [1, 4]).astype(int)
        return levels / half, (1 - bounded**2) * h / half, 0.0 * z, 0.0, codes


CASES = [
    *(("vector_quantizer", "float64", *mode.values) for mode in BATCH_MODES),
    ("vector_quantizer", "float32", {}),
    ("fsq", "float64", {}),
]


@pytest.mark.parametrize(("kind", "precision", "mode"), CASES)
def test_updates_are_those_of_a_loop_by_hand(kind, precision, mode):
    random = np.random.default_rng(1)
    shapes = [(6, 4), (4,), (4, 6), (6,)]
    weights = [random.standard_normal(shape).astype("float32") for shape in shapes]
    codebook = random.standard_normal((3, 2)).astype("float32")
    xs = random.random((10, 8, 6)).astype("float32")
    tolerance = 1e-8 if precision == "float64" else 1e-5
    with in_precision(precision):
        if kind == "fsq":
            quantizer, loop = kg.layers.FSQ(LEVELS), FSQLoop(weights, codebook)
        else:
            loop = Loop(weights, codebook)
            quantizer = kg.layers.VectorQuantizer(3, DECAY, BETA, revive_below=0)
            quantizer.build((None, 2))
            quantizer.codebook.assign(codebook)
            quantizer.started.assign(1.0)
        model = linear(quantizer, precision)
        for weight, value in zip(model.trainable_weights, weights, strict=True):
            weight.assign(value)
        model.compile(keras.optimizers.SGD(RATE), **mode)
        for x in xs[: 3 if is_slow(mode) else 10]:
            model.reset_metrics()
            logs = model.train_on_batch(x.astype(precision), return_dict=True)
            for name, value in loop.step(x.astype("float64")).items():
                # Logs are means in float32.
                np.testing.assert_allclose(logs[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    for weight, value in zip(model.trainable_weights, loop.weights, strict=True):
        np.testing.assert_allclose(numpy(weight), value, rtol=tolerance, atol=tolerance)
    if kind == "vector_quantizer":
        np.testing.assert_allclose(numpy(quantizer.codebook), loop.e, rtol=tolerance)


@pytest.fixture(scope="module")
def trained():
    """A model that was trained on two images, and the images."""
    keras.utils.set_random_seed(0)
    x = np.repeat((np.arange(2).reshape(2, 1, 1, 1) == np.eye(8)[None, :, :, None]), 20, axis=0)
    networks = kg.networks.vqvae((8, 8, 1), 3, filters=(4, 6))
    model = kg.VQVAE(*networks, kg.layers.VectorQuantizer(5, seed=1), seed=1)
    model.compile(keras.optimizers.Adam(0.01))
    x = x.astype("float32")
    model.fit(x, epochs=15, batch_size=20, verbose=0)
    return model, x


def small_prior(num_classes=None, num_codes=5):
    sizes = {"width": 16, "depth": 1, "heads": 2, "dropout": 0.0, "num_classes": num_classes}
    return kg.priors.CodePrior(kg.networks.code_transformer(num_codes, 4, **sizes))


@pytest.mark.once
def test_a_prior_of_two_equally_frequent_maps_of_codes_gets_to_log_2(trained, tmp_path):
    model, x = trained
    maps = np.unique(model.encode(x).reshape(40, 4), axis=0)
    assert len(maps) == 2
    with pytest.raises(ValueError, match=r"has no prior of its codes yet.* Call `fit_prior\(x\)`"):
        model.sample(4)
    uniform = model.elbo(x)
    found = model.fit_prior(
        x, 60, small_prior(), optimizer=keras.optimizers.Adam(0.01), verbose=0, seed=0
    )
    assert found["uniform"] == pytest.approx(4 * np.log(5))
    # The entropy of the data is the least that a prior can reach on all of them.
    assert found["train"] == pytest.approx(np.log(2), abs=0.1)
    codes = model.encode(x).reshape(40, 4)
    gained = numpy(model.prior.log_prob(codes)) + 4 * np.log(5)
    np.testing.assert_allclose(model.elbo(x) - uniform, gained, rtol=1e-4, atol=1e-4)

    draws = model.draw_codes(200, seed=0).reshape(200, 4)
    known = (draws[:, None] == maps).all(axis=-1)
    assert known.any(axis=1).mean() > 0.85 and abs(known[:, 0].mean() - 0.5) < 0.15
    images = model.sample(6, seed=2)
    np.testing.assert_array_equal(images, model.decode(model.draw_codes(6, seed=2)))
    cold = model.draw_codes(50, temperature=0.1, seed=0).reshape(50, 4)
    assert (cold[:, None] == maps).all(axis=-1).any(axis=1).all()

    model.save(tmp_path / "model.keras")
    loaded = kg.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(6, seed=2), images)
    before = [np.array(w) for w in loaded.prior.get_weights()]
    loaded.fit(x, batch_size=20, verbose=0)  # It moves the networks alone.
    for a, b in zip(loaded.prior.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_codes_go_in_and_out(trained):
    model, x = trained
    codes = model.encode(x)
    assert codes.shape == (40, 2, 2) and codes.dtype == np.int32
    np.testing.assert_array_equal(model.decode(codes), model.reconstruct(x))
    np.testing.assert_allclose(numpy(model(x)), model.reconstruct(x), atol=1e-6)
    z = numpy(model.encoder(x))
    distances = np.square(z[..., None, :] - numpy(model.quantizer.codebook)).sum(-1)
    np.testing.assert_array_equal(codes, distances.argmin(-1))
    for bad in (codes[:, 0], codes + 5, codes.astype("float32"), codes - 5):
        with pytest.raises(ValueError, match="`codes` "):
            model.decode(bad)
    for name in ("interpolate", "generate", "log_likelihood"):
        assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="codes, integers, which have nothing between them"):
        model.interpolate(x, x)


@pytest.mark.once
def test_perplexity_and_codes_used_are_those_of_the_frequencies(trained):
    model, _ = trained
    perplexity, used = model.usage(ops.convert_to_tensor([[0, 0], [0, 0], [1, 3], [1, 3]], "int32"))
    assert float(perplexity) == pytest.approx(2**1.5)  # Of 1/2, 1/4 and 1/4.
    assert float(used) == 3


@pytest.mark.once
def test_bits_are_of_discrete_data(trained):
    model, x = trained
    expected = -model.elbo(x) / (64 * np.log(2))
    np.testing.assert_allclose(model.bits_per_dim(x), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="Bernoulli gives these a density"):
        model.bits_per_dim(0.5 * x)
    networks = kg.networks.vqvae((8, 8, 1), 2, filters=(4, 6), parameters_per_value=4)
    likelihood = kg.likelihoods.Categorical(4)
    model = kg.VQVAE(*networks, kg.layers.FSQ((3, 4)), likelihood)
    for weight in model.decoder.weights:
        weight.assign(np.zeros(weight.shape))
    # All levels are equally likely, and so are the codes: 64 pixels of 2 bits, 4 codes of log2 12.
    bits = model.bits_per_dim(np.zeros((3, 8, 8, 1), "float32"))
    np.testing.assert_allclose(bits, 2 + 4 * np.log2(12) / 64, rtol=1e-6)


@pytest.mark.once
def test_labels_reach_the_networks_and_the_prior():
    model = tiny.conditional_fsq_vqvae()
    x, y = tiny.images(12), np.arange(12) % 3
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, y, batch_size=4, verbose=0)
    found = model.fit_prior(x, 2, y=y, verbose=0, seed=0)
    assert set(found) == {"uniform", "train", "held_out", "epochs"}
    assert model.sample(6, y=2, seed=0).shape == (6, 8, 8, 1)
    expected = numpy(model.prior.log_prob(model.encode(x, y=y).reshape(12, 4), y))
    bound = model.elbo(x, y=y)
    parameters = model.decoder([numpy(model.code(x, y)), y])
    log_p = numpy(model.likelihood.log_prob(ops.convert_to_tensor(x), parameters))
    np.testing.assert_allclose(bound, log_p + expected, rtol=1e-5)
    with pytest.raises(ValueError, match="The labels are missing"):
        model.sample(2)


def test_a_batch_that_is_left_out_does_not_start_the_codebook():
    networks = kg.networks.vqvae((8, 8, 1), 3, filters=(4, 6))
    model = kg.VQVAE(*networks, kg.layers.VectorQuantizer(5, seed=1))
    model.compile(keras.optimizers.SGD(0.01))
    batches = kg.data.ArrayDataset(tiny.images(4), batch_size=4, shuffle=False)
    spoil = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: batches.x.fill(np.nan))
    before = numpy(model.quantizer.counts).copy()
    with pytest.warns(UserWarning, match="updates were left out"):
        model.fit(batches, callbacks=[spoil], verbose=0)
    assert numpy(model.skipped_updates).tolist() == [1]
    assert float(numpy(model.quantizer.started)) == 0
    np.testing.assert_array_equal(numpy(model.quantizer.counts), before)


@pytest.mark.once
def test_what_does_not_fit_is_refused():
    networks = kg.networks.vqvae((8, 8, 1), 3, filters=(4, 6))
    with pytest.raises(ValueError, match="`quantizer` is a int"):
        kg.VQVAE(*networks, 512)
    with pytest.raises(ValueError, match="Let the encoder end in 2 channels"):
        kg.VQVAE(*networks, kg.layers.FSQ((3, 4)))
    quantizer = kg.layers.VectorQuantizer(5)
    quantizer.build((None, 7))
    with pytest.raises(ValueError, match="was built for vectors of size 7, and these have 3"):
        kg.VQVAE(*networks, quantizer)
    with pytest.raises(ValueError, match="4 positions of 6 codes without labels, and this VQVAE"):
        kg.VQVAE(*networks, kg.layers.VectorQuantizer(5), prior=small_prior(num_codes=6))
    labelled = kg.networks.vqvae((8, 8, 1), 3, filters=(4, 6), num_classes=3)
    with pytest.raises(ValueError, match="is for 2 classes, and this VQVAE has 3"):
        kg.VQVAE(
            *labelled, kg.layers.VectorQuantizer(5), num_classes=3, prior=small_prior(num_classes=2)
        )
    with pytest.raises(ValueError, match="`code_dim` is 0"):
        kg.networks.vqvae((8, 8, 1), 0)
    with pytest.raises(ValueError, match="for a table or a series build networks of your own"):
        kg.networks.vqvae((8, 1, 1), 3)
    with pytest.raises(ValueError, match="need a `kg.priors.CodePrior`"):
        kg.VQVAE(*networks, kg.layers.VectorQuantizer(5), prior=kg.priors.Mixture())


def test_encode_and_decode_are_exported(backend, tmp_path):
    formats = {"torch": ("onnx", ("onnx", "onnxruntime"))}
    format, packages = formats.get(backend, ("tf_saved_model", ("tensorflow",)))
    if not all(map(importlib.util.find_spec, packages)):
        pytest.skip(f"{packages} are not installed")
    model = tiny.vqvae(num_classes=3) if backend != "torch" else tiny.conditional_fsq_vqvae()
    differences = model.export(tmp_path / "model", format=format, verbose=False)
    assert set(differences) == {"reconstruct", "encode", "decode"}
    assert differences["encode"] == 0 and max(differences.values()) < 1e-5


@pytest.mark.once
def test_what_is_frozen_stays_while_the_rest_trains():
    model = tiny.vqvae()
    model.trainable = True  # The prior, too; `compile` takes that back.
    model.quantizer.trainable = False
    model.compile("adam")
    assert not model.prior.trainable_variables
    frozen = [model.quantizer.codebook, model.quantizer.started, *model.prior.variables]
    before = [numpy(variable).copy() for variable in frozen]
    first = numpy(model.decoder.trainable_variables[0]).copy()
    model.fit(tiny.images(8), batch_size=4, verbose=0)
    for variable, value in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    assert np.any(numpy(model.decoder.trainable_variables[0]) != first)


@pytest.mark.once
def test_the_optimizer_of_a_prior_has_a_name_or_is_new(trained):
    model, x = trained
    spent = keras.optimizers.Adam()
    spent.build(model.decoder.trainable_variables)
    with pytest.raises(ValueError, match="has trained other variables. Pass a new one"):
        model.fit_prior(x, 1, small_prior(), optimizer=spent, verbose=0)
    result = model.fit_prior(x, 1, small_prior(), optimizer="sgd", verbose=0)
    assert np.isfinite(result["train"])


@pytest.mark.once
def test_the_code_of_an_example_is_the_vectors_that_are_decoded(trained):
    model, x = trained
    z = model.code_of(model.encode(x[:3]))
    np.testing.assert_allclose(z, numpy(model.code(x[:3])), rtol=1e-6)
