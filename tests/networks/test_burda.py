import numpy as np

import keras_gen as kg


def shapes(network):
    return [tuple(weight.shape) for weight in network.trainable_weights]


def dense(*widths):
    return [s for a, b in zip(widths, widths[1:], strict=False) for s in ((a, b), (b,))]


def activations(network):
    named = [getattr(layer, "activation", None) for layer in network.layers]
    return [activation.__name__ for activation in named if activation is not None]


def test_one_layer_has_the_sizes_of_the_paper():
    encoder, decoder = kg.networks.burda_vae((28, 28, 1))
    assert shapes(encoder) == dense(784, 200, 200, 50) + dense(200, 50)
    assert shapes(decoder) == dense(50, 200, 200, 784)
    assert activations(encoder) == ["tanh", "tanh", "linear", "linear"]
    assert activations(decoder) == ["tanh", "tanh", "linear"]


def test_two_layers_have_the_sizes_of_the_paper():
    networks = kg.networks.burda_two_layer_vae((28, 28, 1))
    encoder, decoder, top_encoder, top_decoder = networks
    assert shapes(encoder) == dense(784, 200, 200, 100) + dense(200, 100)
    assert shapes(top_encoder) == dense(100, 100, 100, 50) + dense(100, 50)
    assert shapes(top_decoder) == dense(50, 100, 100, 100) + dense(100, 100)
    assert shapes(decoder) == dense(100, 200, 200, 784)
    assert all(activations(network)[:2] == ["tanh", "tanh"] for network in networks)
    assert kg.TwoLayerIWAE(*networks).latent_dim == 100


def test_both_start_at_the_mean_image():
    mean = np.random.default_rng(0).uniform(0.1, 0.9, size=(4, 4, 1))
    for build in (kg.networks.burda_vae, kg.networks.burda_two_layer_vae):
        decoder = build((4, 4, 1), mean_image=mean)[1]
        bias = decoder.get_weights()[-1]
        np.testing.assert_allclose(1 / (1 + np.exp(-bias)), mean.ravel(), rtol=1e-5)
