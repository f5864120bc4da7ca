"""Every example of a docstring runs as it stands there, but for its number of epochs."""

import ast
import importlib
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

ROOT = pathlib.Path(__file__).parents[1]
MNIST = ROOT.parent / "shared" / "data" / "tfds"
KINDS = (ast.Module, ast.ClassDef, ast.FunctionDef)


def examples():
    for path in sorted((ROOT / "keras_gen").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            text = (ast.get_docstring(node) or "") if isinstance(node, KINDS) else ""
            for block in re.findall(r"```(?:python)?\n(.*?)```", text, re.DOTALL):
                name = f"{module}.{getattr(node, 'name', '')}".removeprefix("keras_gen.")
                yield pytest.param(module, block, id=name)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Names that examples use without making them, all small, and a model for each example."""
    x = np.random.default_rng(0).random((32, 28, 28, 1), "float32")
    y = np.arange(32) % 10
    networks = kg.networks.mlp_vae((28, 28, 1), 4, hidden=(8,))
    sizes = {"generator_hidden": (8,), "discriminator_hidden": (8,)}

    def vae():
        model = kg.VAE(*networks)
        model.compile("adam")
        return model

    def gan():
        model = kg.GAN(*kg.networks.mlp_gan((28, 28, 1), 4, **sizes), latent_dim=4)
        model.compile(generator_optimizer="adam", discriminator_optimizer="adam")
        return model

    folder = tmp_path_factory.mktemp("examples")
    (folder / "runs/gan/samples").mkdir(parents=True)
    picture = np.zeros((4, 4, 3), "uint8")
    kg.callbacks.save_png(folder / "runs/gan/samples/epoch_0001.png", picture)
    vae().save(folder / "vae.keras")
    gan().save(folder / "runs/gan/model.keras")
    (folder / "runs/gan/config.json").write_text('{"arguments": {}}')
    given = {"kg": kg, "keras": keras, "np": np, "ops": ops, "pathlib": pathlib}
    given |= {"x": x, "y": y, "x_test": x, "x_noisy": x, "networks": networks}
    given["train"] = given["test"] = kg.data.ArrayDataset(x, y, batch_size=16)
    return folder, given, {"vae": vae, "gan": gan, "model": vae}


@pytest.mark.once
@pytest.mark.parametrize("module, example", list(examples()))
def test_the_example_runs(module, example, names, monkeypatch):
    folder, given, models = names
    needs_mnist = "stacked_mnist" in example
    if needs_mnist and not (MNIST / "mnist").exists():
        pytest.skip(f"There is no MNIST in {MNIST}.")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(MNIST if needs_mnist else folder / "tfds"))
    made = {name: build() for name, build in models.items() if re.search(rf"\b{name}\.", example)}
    code = re.sub(r"epochs=\d+", "epochs=1", example)
    exec(code, {**vars(importlib.import_module(module)), **given, **made})
