import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers, losses, networks
from tests import steps


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(params=["as it is", "by oneDNN"])
def products(request, monkeypatch):
    if request.param == "by oneDNN":
        if keras.config.backend() != "torch":
            pytest.skip("the others have one kind of product")
        from keras_gen.backend import torch_product

        monkeypatch.setattr(torch_product, "SMALL", 0)
        monkeypatch.setattr(torch_product, "_is_faster", lambda: True)
    return request.param


@pytest.mark.parametrize(
    "shape, options",
    [
        ((5, 4), {"activation": "tanh", "bias_initializer": "ones"}),
        ((2, 3, 4), {"use_bias": False}),
        ((0, 4), {}),
        ((5, 4), {"dtype": "mixed_bfloat16"}),
    ],
)
def test_it_and_its_gradients_are_those_of_keras(products, shape, options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("float32")
    ours, keras_s = (library.Dense(6, **options) for library in (layers, keras.layers))
    ours(x), keras_s(x)
    keras_s.set_weights(ours.get_weights())
    y = value(keras_s(x))
    np.testing.assert_allclose(value(ours(x)), y, atol=1e-6)
    v = rng.normal(size=y.shape).astype("float32")
    slopes = [
        steps.input_gradient(lambda x: ops.cast(f(x), "float32") * ops.convert_to_tensor(v), x)  # noqa: B023
        for f in (ours, keras_s)
    ]
    np.testing.assert_allclose(*slopes, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float64"])
def test_it_takes_numbers_of_other_types_as_keras_does(products, dtype):
    x = np.arange(12).reshape(3, 4).astype(dtype)
    ours, keras_s = (
        library.Dense(2, kernel_initializer="ones", autocast=False)
        for library in (layers, keras.layers)
    )
    y = ours(x)
    assert y.dtype == keras_s(x).dtype
    np.testing.assert_array_equal(value(y), np.repeat(x.sum(1, keepdims=True), 2, 1))


def test_torch_differentiates_it_forward(products, backend):
    if backend != "torch":
        pytest.skip("the others have one kind of product")
    import torch

    layer = layers.Dense(6, activation="tanh")
    x = torch.ones(5, 4)
    y, slope = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    expected = (1 - value(y) ** 2) * value(layer.kernel).sum(0)
    np.testing.assert_allclose(value(slope), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_networks_of_it_are_quantized_and_saved(tmp_path):
    _, decoder = networks.mlp_vae((8, 8, 1), 3, hidden=(16,))
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    whole = value(decoder(z))
    decoder.quantize("int8")
    dense = [layer for layer in decoder.layers if isinstance(layer, layers.Dense)]
    assert {layer.quantization_mode for layer in dense} == {"int8"}
    quantized = value(decoder(z))
    assert 0 < np.abs(quantized - whole).max() < 0.05 * np.abs(whole).max()
    decoder.save(tmp_path / "decoder.keras")
    loaded = keras.saving.load_model(tmp_path / "decoder.keras")
    np.testing.assert_array_equal(value(loaded(z)), quantized)


def test_a_penalty_has_the_gradient_of_finite_differences(products):
    keras.utils.set_random_seed(0)
    discriminator = keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    discriminator.build(x.shape)
    step = steps.PenaltyStep(discriminator, losses.penalties.R1(1.0), x)
    kernel = discriminator.layers[0].kernel
    gradient = next(g for g in step.gradient() if g.shape == kernel.shape)
    weights, h = value(kernel).copy(), 1e-2
    for place in ((0, 0), (3, 4)):
        ends = []
        for sign in (1, -1):
            moved = weights.copy()
            moved[place] += sign * h
            kernel.assign(moved)
            ends.append(step.value())
        kernel.assign(weights)
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=2e-4)


def test_a_model_trains_to_the_same_weights(products):
    x = np.random.default_rng(0).random((16, 4)).astype("float32")
    ends = []
    for library in (layers, keras.layers):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([library.Dense(5, "tanh"), library.Dense(4)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, x, epochs=5, verbose=0)
        ends.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(*ends, atol=1e-5)
