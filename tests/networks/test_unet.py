import numpy as np
import pytest
from keras import ops

from keras_gen import networks


def test_a_unet_keeps_the_features_of_every_resolution():
    encoder, decoder = networks.unet_autoencoder((12, 8, 3), (4, 5, 6), parameters_per_value=2)
    assert encoder.output_shape == (None, 12 * 8 * 4 + 6 * 4 * 5 + 3 * 2 * 6)
    x = np.random.default_rng(0).random((2, 12, 8, 3), dtype="float32")
    assert decoder(encoder(x)).shape == (2, 12, 8, 6)


def test_detail_passes_beside_what_is_coarse():
    # A z whose coarse part is 0 still shows one pixel of the finest part, and only around it.
    _, decoder = networks.unet_autoencoder((16, 16, 1), (2, 3), activation="linear")
    z = np.zeros((2, decoder.input_shape[1]), "float32")
    z[1].flat[2 * (16 * 5 + 9)] = 1.0  # channel 0 at row 5, column 9
    blank, pixel = ops.convert_to_numpy(decoder(z))[..., 0]
    rows, columns = np.nonzero(np.abs(pixel - blank) > 1e-7)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 7, 7, 11)


@pytest.mark.parametrize(
    "shape, filters, match",
    [
        ((30, 30, 1), (4, 4, 4), "divisible by 4"),
        ((28, 28), (4, 4), "height, width, channels"),
        ((28, 28, 1), (4,), "at least two"),
        ((28, 28, 1), (4, 0), "`filters` is 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(shape, filters, match):
    with pytest.raises(ValueError, match=match):
        networks.unet_autoencoder(shape, filters)
