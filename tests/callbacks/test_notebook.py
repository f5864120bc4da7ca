"""What Jupyter shows: cells run in its own kernel, on the backend of the tests."""

import base64
import io

import keras
import numpy as np
import pytest
from PIL import Image

import keras_gen as kg

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = pytest.mark.once

TRAIN = """
import numpy as np
import keras_gen as kg
x = np.random.default_rng(0).random((32, 4, 4, 1))
vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(8,)))
vae.compile("adam")
samples = kg.callbacks.SampleGrid({folder!r}, num_samples=4)
vae.fit(x, epochs=2, verbose=0, callbacks=[samples])
samples.every
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Return the outputs of three cells, and the folder of the pictures."""
    folder = tmp_path_factory.mktemp("samples")
    fit_again = "vae.fit(x, epochs=1, verbose=0, callbacks=[samples])\nNone"
    sources = [TRAIN.format(folder=str(folder)), fit_again, "vae"]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [[output.get("data", {}) for output in cell.outputs] for cell in notebook.cells], folder


def test_a_grid_takes_the_place_of_the_one_before_it(cells):
    (first, second, _), folder = cells
    shown = [
        [data["image/png"] for data in cell if "image/png" in data] for cell in (first, second)
    ]
    assert [len(pictures) for pictures in shown] == [1, 1]
    # The second fit has written epoch_0001.png again.
    for (png,), name in zip(shown, ("epoch_0002.png", "epoch_0001.png"), strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
        np.testing.assert_array_equal(picture, np.asarray(Image.open(folder / name)))


def test_a_model_shows_its_networks(cells):
    (*_, ((data,))), _ = cells
    vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(8,)))
    text = data["text/html"]
    assert text == vae._repr_html_()
    for words in ("<b>VAE</b>", "likelihood = Bernoulli", "beta = 1.0", "prior = StandardNormal"):
        assert words in text
    # 16 -> 8 -> (2, 2), and 2 -> 8 -> 16.
    assert "encoder</td><td>4 x 4 x 1</td><td>2 and 2</td><td>172</td>" in text
    assert "decoder</td><td>2</td><td>4 x 4 x 1</td><td>168</td>" in text


def test_labels_and_penalties_are_named():
    networks = kg.networks.mlp_gan((4, 4, 1), 2, (8,), (8,), num_classes=3)
    penalties = [kg.losses.R1(1.0), kg.losses.R2(1.0)]
    text = kg.GAN(*networks, latent_dim=2, num_classes=3, penalties=penalties)._repr_html_()
    assert "num_classes = 3" in text and "penalties = R1, R2" in text
    assert "<td>2 and a label</td>" in text


def test_outside_a_notebook_it_cannot_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match="Leave it out: the pictures are files in `directory`"):
        kg.callbacks.SampleGrid(tmp_path, display=True)
    assert not kg.callbacks.SampleGrid(tmp_path).cell.shows


class Encoder(keras.Model):
    """A network that knows no shapes."""

    def __init__(self):
        super().__init__()
        self.heads = [keras.layers.Dense(2), keras.layers.Dense(2)]

    def call(self, x):
        x = keras.ops.reshape(x, (-1, 16))
        return [head(x) for head in self.heads]


def test_a_subclassed_network_shows_its_parameters_alone():
    _, decoder = kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(8,))
    vae = kg.VAE(Encoder(), decoder)
    vae.build((None, 4, 4, 1))
    assert "<td>encoder</td><td></td><td></td><td>68</td>" in vae._repr_html_()
