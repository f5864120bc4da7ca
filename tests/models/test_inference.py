"""Functions of `kg.inference` are the methods of the models."""

import ast
import pathlib

import numpy as np
import pytest

import keras_gen as kg
from tests.models import tiny


def test_the_functions_answer_as_the_methods_do():
    vae, x = tiny.conditional_vae(), tiny.images(3)
    y = np.array([0, 1, 2])
    for kind in ("elbo", "reconstruction"):
        np.testing.assert_array_equal(
            kg.inference.anomaly_score(vae, x, kind, y=y), vae.anomaly_score(x, kind, y=y)
        )
    strips = kg.inference.interpolate_examples(vae, x, x[::-1], steps=4, y=y)
    np.testing.assert_array_equal(strips, vae.interpolate(x, x[::-1], steps=4, y=y))
    same = tiny.conditional_vae()
    same.set_weights(vae.get_weights())
    np.testing.assert_array_equal(  # Both draw from the same seed.
        kg.inference.log_likelihood(vae, x, num_samples=20, y=y, verbose=0),
        same.log_likelihood(x, num_samples=20, y=y, verbose=0),
    )


def test_inference_knows_no_model():
    folder = pathlib.Path(kg.inference.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.module.startswith("keras_gen.models"), path
                if node.module == "keras_gen":
                    assert "models" not in [alias.name for alias in node.names], path


@pytest.mark.once
def test_a_walk_is_a_closed_path_of_even_steps():
    z = np.array([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    points = kg.inference.walk(z, steps=3)
    assert points.shape == (12, 2)
    angle = np.arange(12) * np.pi / 6  # Around the circle, through each z, and never twice.
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(points, circle, atol=1e-12)
    np.testing.assert_allclose(kg.inference.walk(z, 2, spherical=False)[1], [1, 1])
    assert kg.inference.walk(z.reshape(4, 1, 2), 3).shape == (12, 1, 2)
    with pytest.raises(ValueError, match=r"`z` has shape \(1, 2\). Pass at least 2"):
        kg.inference.walk(z[:1])
