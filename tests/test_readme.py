"""The code of the README and of the pages in docs/ runs as it stands there.

The blocks of a page are one program, without those that follow a comment "not run: ...".
"""

import importlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from tests.test_tutorials import OTHERS, TUTORIALS

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
TRACKERS = ("wandb", "mlflow", "comet_ml", "keras_tuner", "tensorflow")
BLOCK = r"(<!-- not run: .*? -->\n)?```python\n(.*?)```"


def blocks(text):
    return [block for left_out, block in re.findall(BLOCK, text, re.DOTALL) if not left_out]


def short(program):
    return re.sub(r"epochs=\d+", "epochs=1", program)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a program in a folder and return what it prints. The digits are prepared once for all."""
    data = str(tmp_path_factory.mktemp("tfds"))

    def run(program, folder):
        process = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": data},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


def test_the_readme(run, tmp_path):
    check = """
import math
import numpy as np

assert images.shape == (64, 28, 28, 1) and gan.sample(2).shape == (2, 28, 28, 1)
assert keras.saving.load_model("vae.keras").sample(3).shape == (3, 28, 28, 1)
x = np.random.default_rng(0).random((64, 28, 28, 1), "float32")
for model, scale in ((BitsVAE, 784 * math.log(2)), (TwiceVAE, 1)):
    vae = model(*kg.networks.mlp_vae((28, 28, 1), 2), beta=kg.schedules.LinearWarmUp(2))
    vae.compile("adam")
    history = vae.fit(x, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][1]
    # Beta has risen to 1: what a step does to its data, the step of one's own does, too.
    last = {name: values[-1] for name, values in history.items()}
    expected = (last["reconstruction"] + last["kl"]) / scale
    assert abs(last["loss"] / expected - 1) < 1e-4
    steps = keras.ops.convert_to_numpy(vae.optimizer.iterations)
    assert steps == 4 * 2 * (2 if model is TwiceVAE else 1)
"""
    run("\n".join(blocks(README)) + check, tmp_path)
    assert (tmp_path / "runs/mine/samples/epoch_0020.png").exists()
    assert (tmp_path / "runs/mine/gan/epoch_0001.png").exists()


@pytest.mark.once
def test_the_guide(run, tmp_path):
    check = """
assert images.shape == (64, 28, 28, 1) and strips.shape == (4, 8, 28, 28, 1)
assert nats.shape == scores.shape == (8,) and whole.shape == x.shape
assert np.array_equal(whole[:, :14], x[:, :14])
assert sevens.shape == (8, 28, 28, 1) and digits.shape == (10, 28, 28, 1)
assert mean.shape == (8, 10)

sizes = {"generator_hidden": (8,), "discriminator_hidden": (8,)}
x = np.random.default_rng(0).random((64, 8, 8, 1), "float32")
for recipe in (r3gan, wgan_gp, smoothed, pacgan):
    networks = kg.networks.mlp_gan((8, 8, 1), 4, packing=recipe.get("packing", 1), **sizes)
    kg.GAN(*networks, latent_dim=4, **recipe)
for num_classes in (None, 10):
    networks = kg.networks.dcgan((8, 8, 1), 4, filters=(4,), num_classes=num_classes)
    gan = TwiceGAN(*networks, latent_dim=4, num_classes=num_classes)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    gan.fit(*((x, np.arange(64) % 10) if num_classes else (x,)), epochs=1, verbose=0)
    steps = [gan.optimizer.generator.iterations, gan.optimizer.discriminator.iterations]
    assert [int(keras.ops.convert_to_numpy(n)) for n in steps] == [2, 4]
"""
    program = blocks(PAGES["guide.md"])
    run(short("\n".join(program)) + check, tmp_path)
    (stopped,) = [block for block in program if "kg.callbacks.Checkpoint(" in block]
    output = run(short(program[0] + stopped), tmp_path)  # The same script, again.
    assert "Resumed from runs/mine/checkpoint, after epoch 1." in output


@pytest.mark.once
def test_the_page_on_data(run, tmp_path):
    for name in ("cat", "dog"):  # What a reader has.
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = np.random.default_rng(i).integers(256, size=(80, 100, 3), dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    check = """
import os

assert os.path.exists("preview.png") and mean.shape == (100, 2)
"""
    said = run(short("\n".join(blocks(PAGES["data.md"]))) + check, tmp_path)
    assert "['cat', 'dog'] (32, 64, 64, 3)" in said


@pytest.mark.once
@pytest.mark.parametrize("page", ["devices.md", "quality.md"])
def test_the_page(run, page, tmp_path):
    run(short("\n".join(blocks(PAGES[page]))), tmp_path)


@pytest.mark.once
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, TRACKERS)),
    reason="a tracker is not installed: `pip install wandb mlflow comet_ml keras-tuner tensorflow`",
)
def test_the_page_on_trackers(run, tmp_path):
    check = """
assert run.data.metrics["loss"] == -run.data.metrics["elbo"] and run.data.params["epochs"] == "2"
assert experiment.get_metric("val_loss") == -experiment.get_metric("val_elbo")
assert images.shape == best.sample(8).shape == (8, 28, 28, 1)
scores = [trial.score for trial in tuner.oracle.get_best_trials(2)]
assert 0 < scores[0] <= scores[1]
"""
    run("\n".join(blocks(PAGES["trackers.md"])) + check, tmp_path)


@pytest.mark.once
def test_a_network_of_the_page_on_saving_loads_without_the_library(run, tmp_path):
    run(short("\n".join(blocks(PAGES["saving.md"]))), tmp_path)
    alone = """
import sys

sys.modules["keras_gen"] = None
import keras

decoder = keras.saving.load_model("decoder.keras")
assert decoder(keras.random.normal((4, 10))).shape == (4, 28, 28, 1)
"""
    run(alone, tmp_path)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="the files are the same")
def test_the_page_on_export_whose_files_need_no_library(run, tmp_path):
    onnx = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))
    export, with_tensorflow, with_onnx = blocks(PAGES["export.md"])
    run("\n".join(line for line in export.splitlines() if onnx or "onnx" not in line), tmp_path)
    alone = "import sys\nsys.modules['keras_gen'] = None\n"
    # The request that the page sends, to the function that would answer it.
    request = json.loads(re.search(r"-d '(\{.*\})'", PAGES["export.md"]).group(1))
    check = f"""
request = {request!r}
inputs = {{name: tf.constant(value) for name, value in request["inputs"].items()}}
outputs = vae.signatures[request["signature_name"]](**inputs)
assert [value.shape for value in outputs.values()] == [(3, 28, 28, 1)]
assert images.shape == (64, 28, 28, 1) and mean.shape == (64, 10)
"""
    run(alone + with_tensorflow + check, tmp_path)
    if not onnx:
        pytest.skip("onnxruntime is not installed: `pip install onnx onnxruntime`")
    check = "\nassert images.shape == (64, 28, 28, 1) and mean.shape == (64, 10)"
    run(alone + with_onnx + check, tmp_path)


@pytest.mark.once
def test_each_page_with_code_is_run_here():
    with_code = {page for page, text in PAGES.items() if blocks(text)}
    assert with_code == {
        "guide.md",
        "data.md",
        "devices.md",
        "saving.md",
        "export.md",
        "quality.md",
        "trackers.md",
        *(f"{name}.md" for name in OTHERS),
    }


@pytest.mark.once
def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


def anchors(text):
    """The names by which links reach the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.once
@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in PAGES | TUTORIALS)])
def test_the_links_of_a_page_lead_somewhere(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
    if page == "docs/README.md":
        assert set(PAGES | TUTORIALS) - {"README.md"} <= set(links)


@pytest.mark.once
def test_files_that_the_pages_name_exist():
    for page in ("README.md", *(f"docs/{name}" for name in PAGES | TUTORIALS)):
        text = (ROOT / page).read_text()
        paths = re.findall(r"`((?:keras_gen|tests|train)/[\w/.]*)`", text)
        missing = [path for path in paths if not (ROOT / path).exists()]
        assert not missing, page


@pytest.mark.once
@pytest.mark.parametrize("script", ["vae", "gan"])
def test_the_commands_of_the_pages_have_options_that_there_are(script):
    parser = importlib.import_module(f"train.{script}").make_parser()
    texts = "\n".join([README, *PAGES.values(), *TUTORIALS.values()]).replace(
        "`python -m\ntrain", "`python -m train"
    )
    commands = set(re.findall(rf"python -m train\.{script}((?: [\w./~-]+)*)", texts))
    assert len(commands) > 2
    for command in commands:
        if "..." not in command:
            parser.parse_args(command.split())
