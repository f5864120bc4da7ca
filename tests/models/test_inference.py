"""Functions of `kg.inference` are the methods of the models."""

import ast
import pathlib

import numpy as np

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
