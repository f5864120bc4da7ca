import numpy as np
import pytest
from keras import ops

from keras_gen import networks

pytestmark = pytest.mark.once


def test_the_textbook_mlp_is_784_500_z():
    encoder, decoder = networks.mlp_vae((28, 28, 1), latent_dim=20)
    assert encoder.count_params() == (784 * 500 + 500) + 2 * (500 * 20 + 20)
    assert decoder.count_params() == (20 * 500 + 500) + (500 * 784 + 784)


def test_the_mlp_is_relu_of_a_product_and_linear_at_its_end():
    encoder, _ = networks.mlp_vae((2, 2, 1), latent_dim=1, hidden=(2,))
    kernel = np.array([[1.0, -1], [1, 1], [1, 1], [-1, 1]])
    encoder.set_weights(
        [kernel, np.array([0, -10.0]), np.ones((2, 1)), np.zeros(1), -np.ones((2, 1)), np.ones(1)]
    )
    x = np.array([[[[1.0], [2]], [[3], [4]]]])
    mean, log_var = encoder(x)  # h = relu([1 + 2 + 3 - 4, -1 + 2 + 3 + 4 - 10]) = [2, 0]
    assert float(ops.convert_to_numpy(mean)[0, 0]) == 2
    assert float(ops.convert_to_numpy(log_var)[0, 0]) == -1


@pytest.mark.parametrize("build", [networks.mlp_vae, networks.conv_vae])
@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28, 3), (32, 32, 1), (32, 32, 3)])
def test_pairs_fit_the_usual_images(build, shape):
    encoder, decoder = build(shape, 5, (4, 6), parameters_per_value=2)
    mean, log_var = encoder(np.zeros((2, *shape)))
    assert mean.shape == log_var.shape == (2, 5)
    assert decoder(mean).shape == (2, *shape[:-1], 2 * shape[-1])


def test_an_autoencoder_has_one_code():
    for build in (networks.mlp_autoencoder, networks.conv_autoencoder):
        encoder, decoder = build((8, 8, 1), 3, (4,))
        assert encoder.output_shape == (None, 3)
        assert decoder.output_shape == (None, 8, 8, 1)


def test_an_mlp_takes_a_table():
    encoder, decoder = networks.mlp_vae((7,), 2, hidden=(5, 4))
    assert encoder.input_shape == decoder.output_shape == (None, 7)


@pytest.mark.parametrize(
    "build, arguments, match",
    [
        (networks.mlp_vae, ((28, 28, 1), 0), "latent_dim"),
        (networks.mlp_vae, ((28, 28, 1), 2, ()), "`hidden` is"),
        (networks.mlp_vae, ((28, 28, 1), 2, (5, -1)), "`hidden` is -1"),
        (networks.mlp_vae, ((28, None, 1), 2), "image_shape"),
        (networks.conv_vae, ((30, 30, 1), 2), "divisible by 4"),
        (networks.conv_vae, ((28, 28), 2), "height, width, channels.*use `mlp_vae`"),
        (networks.conv_vae, ((64, 1, 3), 2), "sides of 2 and more.*use `mlp_vae`"),
        (networks.resnet_vae, ((64, 3), 2), "height, width, channels.*use `mlp_vae`"),
        (networks.resnet_gan, ((64, 3), 2), "use `mlp_vae` or `mlp_gan`"),
    ],
)
def test_sizes_that_cannot_be_are_refused(build, arguments, match):
    with pytest.raises(ValueError, match=match):
        build(*arguments)


def test_the_advice_for_a_size_helps_with_it():
    with pytest.raises(ValueError, match="2 convolutions .* divisible by 4; resize or pad the im"):
        networks.conv_vae((17, 23, 3), 2)  # Odd sides: no number of convolutions halves them.
    with pytest.raises(ValueError, match="1 convolution of stride 2 .* by 2; resize or pad the im"):
        networks.conv_vae((17, 23, 3), 2, filters=(2,))
    with pytest.raises(ValueError, match="divisible by 4; take fewer of them"):
        networks.conv_vae((10, 6, 3), 2)
    networks.conv_vae((10, 6, 3), 2, filters=(2,))
    for build in (networks.conv_vae, networks.unet_autoencoder):
        options = {"latent_dim": 2} if build is networks.conv_vae else {}
        with pytest.raises(ValueError, match="channels come first; Keras's layers expect them la"):
            build((3, 8, 8), **options)
        with pytest.raises(ValueError, match=r"is \(None, None, 1\). Pass positive integers"):
            build((None, None, 1), **options)
    with pytest.raises(ValueError, match=r"Pass an integer, at least 1\.$"):  # It has no `y=`.
        networks.mlp_vae((4, 4, 1), 2, num_classes=["a", "b"])
