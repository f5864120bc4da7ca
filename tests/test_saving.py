"""Files with bad intentions are refused, and what this library writes is not."""

import ast
import contextlib
import json
import pathlib
import pickle
import re
import warnings
import zipfile

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.faults import hostile
from tests.models import tiny

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return {model: saved(model, folder) for model in ("vae", "gan")}


def saved(model, folder):
    (folder / model).mkdir()
    path = folder / model / "good.keras"
    hostile.build(model).save(path)
    return path


@pytest.mark.parametrize("model", ["vae", "gan"])
@pytest.mark.parametrize("name", [*hostile.CONFIGS, *hostile.ARCHIVES, *hostile.NUMBERS])
def test_a_hostile_file_is_refused_and_nothing_of_it_runs(good, name, model):
    attempt = hostile.Attempt(name, good[model])
    assert attempt(kg.saving.load_model)


@pytest.mark.parametrize("name", ["lambda_layer", "lambda_activation"])
def test_the_same_files_do_harm_where_nothing_is_checked(good, name):
    attempt = hostile.Attempt(name, good["vae"])
    with contextlib.suppress(ValueError):  # What it runs first fits in no network.
        keras.saving.load_model(attempt.path, safe_mode=False).encode(tiny.images(2, (4, 4, 1)))
    assert attempt.bait.exists()


def test_weights_that_lie_elsewhere_would_be_read(good):
    h5py = pytest.importorskip("h5py")
    attempt = hostile.Attempt("external_link", good["vae"])
    with zipfile.ZipFile(attempt.path) as archive:
        path = pathlib.Path(archive.extract(hostile.WEIGHTS, attempt.folder))
    found = []
    with h5py.File(path) as weights:
        keys = []
        weights.visit(keys.append)
        for key in keys:
            for name in weights[key] if isinstance(weights[key], h5py.Group) else ():
                link = weights[key].get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    found.append(weights[key][name][:])
    assert len(found) == 1 and np.all(found[0] == 42)
    with pytest.raises(ValueError, match="its weights hold a link"):
        kg.saving.check_weights(path)


def test_the_counter_counts(good, tmp_path, monkeypatch):
    monkeypatch.setattr(hostile, "ARCHIVES", {"climbing": hostile.climbing})
    monkeypatch.setattr(hostile, "NUMBERS", {})
    monkeypatch.setattr(hostile, "CONFIGS", {"deep": hostile.deep})
    # Keras reads past both, without harm; this library refuses both.
    for load, counted in ((kg.saving.load_model, [True, True]), (lambda path: path, [False] * 2)):
        results = [attempt(load) for _, attempt in hostile.attempts("vae", tmp_path)]
        assert results == counted


def test_they_are_counted_in_a_process_of_their_own(tmp_path, backend):
    count = len(hostile.CONFIGS) + len(hostile.ARCHIVES) + len(hostile.NUMBERS)
    assert hostile.hostile_files(backend, "gan", tmp_path) == (count, count)
    assert f"Of the {count} files" in (ROOT / "docs" / "saving.md").read_text()


@pytest.mark.parametrize("build", tiny.MODELS, ids=lambda build: build.__name__)
def test_what_the_library_writes_is_loaded(build, tmp_path):
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 100)
    tiny.compile_model(
        model, lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(schedule))
    )
    model.save(tmp_path / "model.keras")
    loaded = kg.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(tiny.drawn(model), tiny.drawn(loaded))
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    model.save_weights(tmp_path / "model.weights.h5")
    kg.saving.check_weights(tmp_path / "model.weights.h5")


def test_layers_of_a_users_own_are_loaded_where_they_are_registered(tmp_path):
    @keras.saving.register_keras_serializable("test_saving")
    class Own(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    x = keras.Input((4, 4, 1))
    h = keras.ops.reshape(Own()(x), (-1, 16))
    h = keras.layers.Dense(3, kernel_regularizer="l2")(keras.ops.tanh(h))
    encoder = keras.Model(x, [h, keras.layers.Dense(3, "relu", kernel_initializer="ones")(h)])
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))]
    )
    vae = kg.VAE(encoder, decoder)
    vae.save(tmp_path / "model.keras")
    x = tiny.images(2, (4, 4, 1))
    np.testing.assert_array_equal(
        kg.saving.load_model(tmp_path / "model.keras").reconstruct(x), vae.reconstruct(x)
    )
    del keras.saving.get_custom_objects()["test_saving>Own"]
    with pytest.raises(ValueError, match="it asks for .*Own"):
        kg.saving.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("sizes", [(3, (4,)), (2, (5,)), (2, (4, 4))])
def test_weights_of_other_networks_are_refused_and_the_models_own_stay(sizes, tmp_path):
    def build(latent_dim, hidden):
        model = kg.VAE(*kg.networks.mlp_vae((6,), latent_dim, hidden), seed=0)
        model.compile("adam")
        return model

    path, model = tmp_path / "a.weights.h5", build(*sizes)
    build(2, (4,)).save_weights(path)
    before = model.get_weights()
    with pytest.raises(ValueError, match="a.weights.h5' does not hold the weights of this VAE"):
        model.load_weights(path)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_config_alone_keeps_to_safe_mode(tmp_path):
    config = hostile.build("vae").get_config()
    bait = tmp_path / "bait"
    wrapped = {"config": config}
    for change in (hostile.lambda_layer, hostile.class_of_subprocess, hostile.another_part):
        spoiled = json.loads(json.dumps(wrapped))
        change(spoiled, bait, tmp_path / "secret")
        with pytest.raises((TypeError, ValueError)):
            kg.VAE.from_config(spoiled["config"])
    assert not bait.exists()


def test_no_source_file_can_run_what_it_reads():
    """The linter's rules S301, S307, S506 again, without a comment that turns them off."""
    modules = ("pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "yaml")
    calls = ("eval", "exec", "compile", "__import__", "enable_unsafe_deserialization")
    paths = {*ROOT.glob("keras_gen/**/*.py"), *ROOT.glob("train/**/*.py")}
    for path in paths - {ROOT / "train" / "tutorials.py"}:  # It runs pages of docs/, our own code.
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            else:
                names = []
            assert not set(names) & set(modules), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls, path
            if isinstance(node, ast.keyword) and node.arg in ("safe_mode", "allow_pickle"):
                assert getattr(node.value, "value", None) is (node.arg == "safe_mode"), path


def test_what_a_model_writes_holds_no_pickle(tmp_path):
    hostile.build("gan").save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert b"__lambda__" not in content
            with pytest.raises((pickle.UnpicklingError, EOFError, ValueError, IndexError)):
                pickle.loads(content)


def test_a_class_that_is_not_registered_is_named_with_the_way_to_load_it(tmp_path):
    # As in a script or a notebook; a class in a module of its own Keras finds by itself.
    NotRegistered = type("NotRegistered", (kg.VAE,), {"__module__": "__main__"})
    model = NotRegistered(*kg.networks.mlp_vae((4, 4, 1), 2, hidden=(3,)))
    path = tmp_path / "own.keras"
    model.save(path)
    with pytest.raises(ValueError, match="it needs NotRegistered, a class") as error:
        kg.saving.load_model(path)
    line = re.findall(r"`([^`]+)`", str(error.value))[-1]
    names = {"keras": keras, "path": path, "NotRegistered": NotRegistered}
    assert type(eval(line, names)) is NotRegistered  # noqa: S307


@keras.saving.register_keras_serializable("tests")
class Forgetful(kg.VAE):
    def __init__(self, encoder, decoder, capacity=5.0, **kwargs):
        super().__init__(encoder, decoder, **kwargs)
        self.capacity = capacity


@keras.saving.register_keras_serializable("tests")
class ForgetfulLoss(kg.losses.NonSaturating):
    def __init__(self, margin=1.0, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin


@pytest.mark.once
def test_an_argument_that_no_file_will_have_is_told(tmp_path):
    networks = kg.networks.mlp_vae((4, 4, 1), 2, hidden=(3,))
    with pytest.warns(UserWarning, match="of Forgetful does not return `capacity`, so"):
        Forgetful(*networks, capacity=9.0).save(tmp_path / "vae.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        Forgetful(*networks, capacity=float("5")).save(tmp_path / "vae.keras")
    gan = kg.GAN(*kg.networks.mlp_gan((4, 4, 1), 2), latent_dim=2, loss=ForgetfulLoss(3.0))
    with pytest.warns(UserWarning, match='ForgetfulLoss .*"margin": self.margin'):
        gan.save(tmp_path / "gan.keras")
