"""Model files as a stranger with bad intentions would write them.

    python -m tests.faults.hostile vae FOLDER

writes them all, tries each on `keras_gen.saving.load_model` and prints how many were refused.
"""

import base64
import io
import json
import os
import pathlib
import pickle
import stat
import subprocess
import sys
import zipfile

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def hostile_files(backend, model, folder):
    """Return (refused, tried) for a "vae" or "gan" on a backend; the files stay in `folder`.

    Refused means: ValueError, no command run, no file written outside, nothing else read.
    """
    command = [sys.executable, "-m", "tests.faults.hostile", model, os.fspath(folder)]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    root = pathlib.Path(__file__).parents[2]
    process = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr}")
    results = json.loads(process.stdout.splitlines()[-1])
    return sum(results.values()), len(results)


def main(argv=None):
    model, folder = sys.argv[1:] if argv is None else argv
    from keras_gen import saving

    results = {name: attempt(saving.load_model) for name, attempt in attempts(model, folder)}
    for name, refused in results.items():
        print(f"{name:<24}{'refused' if refused else 'LET THROUGH'}")
    print(json.dumps(results))


def attempts(model, folder):
    """Yield pairs of a name and a function that says whether a loader refuses the file."""
    folder = pathlib.Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    good = folder / "good.keras"
    build(model).save(good)
    for name in (*CONFIGS, *ARCHIVES, *NUMBERS):
        yield name, Attempt(name, good)


def build(model):
    """Return a tiny compiled "vae" or "gan"."""
    import keras_gen as kg

    if model == "vae":
        vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), 2, hidden=(3,)), seed=1)
        vae.compile(optimizer="adam")
        return vae
    gan = kg.GAN(*kg.networks.mlp_gan((4, 4, 1), 2, (3,), (3,)), latent_dim=2, seed=1)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    return gan


class Attempt:
    """One hostile file, in a folder of its own, next to what it must not touch."""

    def __init__(self, name, good):
        self.folder = good.parent / name
        self.folder.mkdir(exist_ok=True)
        self.bait = self.folder / "bait"  # Exists if anything has run, or climbed out.
        self.bait.unlink(missing_ok=True)
        self.secret = self.folder / "secret"
        self.path = self.folder / "inner" / "model.keras"
        self.path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(good) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        if name in CONFIGS:
            config = json.loads(members[CONFIG])
            CONFIGS[name](config, self.bait, self.secret)
            members[CONFIG] = json.dumps(config).encode()
            pack(self.path, members)
        elif name in ARCHIVES:
            ARCHIVES[name](self.path, members, self.bait)
        else:
            members[WEIGHTS] = changed(members[WEIGHTS], NUMBERS[name], self.secret)
            pack(self.path, members)

    def __call__(self, load):
        before = self.files()
        try:
            load(self.path)
        except ValueError:
            return not self.bait.exists() and self.files() == before
        return False

    def files(self):
        return sorted(path for path in self.folder.rglob("*"))


def pack(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# What a config.json can ask for.


def layers(config):
    """Return the layers of a network inside; the second is the first after the input."""
    inner = config["config"]
    return inner.get("encoder", inner.get("generator"))["config"]["layers"]


def dense(config):
    """Return the config of a Dense layer inside."""
    return next(layer for layer in layers(config) if layer["class_name"] == "Dense")["config"]


def replace(config, module, class_name, inner, registered_name=None):
    """Put another class in the place of a layer."""
    layers(config)[1].update(
        module=module, class_name=class_name, config=inner, registered_name=registered_name
    )


def function(module, name):
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def code(bait):
    """Return the config of a Lambda layer whose function makes the bait."""
    import keras

    # When it is loaded its globals are those of Keras: it imports what it needs.
    def touch(x):
        return (__import__("pathlib").Path("BAIT").touch(), x)[1]

    constants = touch.__code__.co_consts
    touch.__code__ = touch.__code__.replace(
        co_consts=tuple(os.fspath(bait) if c == "BAIT" else c for c in constants),
        co_name="<lambda>",
    )
    touch.__name__ = "<lambda>"
    return keras.layers.Lambda(touch).get_config()


def anonymous(bait):
    """Return the same function where Keras expects an activation or a learning rate."""
    value = code(bait)["function"]["config"]
    return {
        "class_name": "__lambda__",
        "config": {"value": [value["code"], value["defaults"], value["closure"]]},
    }


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def lambda_layer(config, bait, secret):
    replace(config, "keras.layers", "Lambda", code(bait))


def lambda_activation(config, bait, secret):
    dense(config)["activation"] = anonymous(bait)


def lambda_schedule(config, bait, secret):
    for optimizer in optimizers(config):
        optimizer["config"]["learning_rate"] = anonymous(bait)


def optimizers(config):
    compiled = config["compile_config"]
    return [value for name, value in compiled.items() if name.endswith("optimizer")]


def class_of_os(config, bait, secret):
    replace(config, "os", "system", {"command": f"touch '{bait}'"})


def class_of_subprocess(config, bait, secret):
    replace(config, "subprocess", "Popen", {"args": ["touch", str(bait)]})


def whole_model(config, bait, secret):
    config.update(module="subprocess", class_name="Popen", config={"args": ["touch", str(bait)]})
    config["registered_name"] = None


def builtin(config, bait, secret):
    dense(config)["activation"] = function("builtins", "eval")


def registered_as_another(config, bait, secret):
    inner = {**dense(config), "units": 3}
    replace(config, "keras.layers", "Dense", inner, registered_name="posix>system")


def another_as_registered(config, bait, secret):
    dense(config)["activation"] = {
        **function("posix", "system"),
        "registered_name": "keras_gen>Bernoulli",
    }


def nested_fn(config, bait, secret):
    config["compile_config"]["run_eagerly"] = {
        "module": "keras.metrics",
        "class_name": "MeanMetricWrapper",
        "config": {"fn": function("subprocess", "getoutput"), "name": "m", "dtype": "float32"},
        "registered_name": None,
    }


def safe_mode_off(config, bait, secret):
    layers(config).insert(
        1, {**function("keras.config", "enable_unsafe_deserialization"), "name": "off"}
    )
    replace(config, "keras.config", "enable_unsafe_deserialization", {})
    layers(config)[2].update(module="keras.layers", class_name="Lambda", config=code(bait))


def download(config, bait, secret):
    dense(config)["activation"] = function("keras.utils", "get_file")


def private_download(config, bait, secret):
    dense(config)["activation"] = function("keras.src.utils.file_utils", "get_file")


def data_set(config, bait, secret):
    dense(config)["kernel_initializer"] = function("keras.datasets.mnist", "load_data")


def application(config, bait, secret):
    replace(config, "keras.applications", "MobileNet", {"weights": str(secret)})


def plot(config, bait, secret):
    dense(config)["activation"] = function("keras.utils", "plot_model")


def deserializer(config, bait, secret):
    dense(config)["activation"] = function("keras.layers", "deserialize")


def saved_model(config, bait, secret):
    inner = {"filepath": str(secret), "call_endpoint": "serve", "name": "x"}
    replace(config, "keras.layers", "TFSMLayer", inner)


def torch_module(config, bait, secret):
    pickled = base64.b64encode(pickle.dumps(Touch(bait))).decode()
    replace(config, "keras.layers", "TorchModuleWrapper", {"module": pickled, "name": "x"})


def local_file(config, bait, secret):
    secret.write_text("of no concern\n")
    inner = {"vocabulary": str(secret), "name": "x", "output_mode": "multi_hot"}
    replace(config, "keras.layers", "StringLookup", inner)


def module_of_mine(config, bait, secret):
    replace(config, "tests.faults.hostile", "Touch", {"path": str(bait)})


def without_a_module(config, bait, secret):
    replace(config, None, "Lambda", code(bait))
    del layers(config)[1]["module"]


def another_part(config, bait, secret):
    part = "likelihood" if "likelihood" in config["config"] else "loss"
    config["config"][part] = {
        "module": "keras.layers",
        "class_name": "Flatten",
        "config": {},
        "registered_name": None,
    }


def another_optimizer(config, bait, secret):
    for optimizer in optimizers(config):
        optimizer.update(module="keras.layers", class_name="Flatten", config={})


def unknown_argument(config, bait, secret):
    config["config"]["run"] = f"touch '{bait}'"


def deep(config, bait, secret):
    inner = config
    for _ in range(400):
        inner["more"] = inner = {}


CONFIGS = {
    name.__name__: name
    for name in (
        lambda_layer,
        lambda_activation,
        lambda_schedule,
        class_of_os,
        class_of_subprocess,
        whole_model,
        builtin,
        registered_as_another,
        another_as_registered,
        nested_fn,
        safe_mode_off,
        download,
        private_download,
        data_set,
        application,
        plot,
        deserializer,
        saved_model,
        torch_module,
        local_file,
        module_of_mine,
        without_a_module,
        another_part,
        another_optimizer,
        unknown_argument,
        deep,
    )
}


# What an archive can be.


def climbing(path, members, bait):
    pack(path, {**members, f"../../{bait.name}": b"out", f"assets/../../{bait.name}": b"out"})


def absolute(path, members, bait):
    pack(path, {**members, str(bait): b"out"})


def backslashes(path, members, bait):
    pack(path, {**members, f"..\\{bait.name}": b"out"})


def link(path, members, bait):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        info = zipfile.ZipInfo("assets")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(bait.parent))
        archive.writestr(f"assets/{bait.name}", b"out")


def linked_config(path, members, bait):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == CONFIG else 0o600 << 16
            archive.writestr(info, content)


def twice(path, members, bait):
    import warnings

    config = json.loads(members[CONFIG])
    lambda_layer(config, bait, None)
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(CONFIG, json.dumps(config))


def bomb(path, members, bait):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if name != WEIGHTS else bytes(2**26))


def forged_bomb(path, members, bait):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.getinfo(WEIGHTS).file_size = 2**41


def spaces(path, members, bait):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + (b" " * 2**26 if name == CONFIG else b""))


def brackets(path, members, bait):
    pack(path, {**members, CONFIG: b"[" * 100_000 + b"]" * 100_000})


def pickled_numbers(path, members, bait):
    import numpy as np

    file = io.BytesIO()
    np.savez(file, vars=np.array([Touch(bait)], dtype=object))
    del members[WEIGHTS]
    pack(path, {**members, "model.weights.npz": file.getvalue()})


def no_archive(path, members, bait):
    path.write_bytes(pickle.dumps(Touch(bait)))


ARCHIVES = {
    name.__name__: name
    for name in (
        climbing,
        absolute,
        backslashes,
        link,
        linked_config,
        twice,
        bomb,
        forged_bomb,
        spaces,
        brackets,
        pickled_numbers,
        no_archive,
    )
}


# What numbers can be.


def changed(content, change, secret):
    """Return a weights file in which one array is changed."""
    import h5py

    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        places = []
        weights.visititems(lambda name, item: places.append((name, item)))
        name, item = next(
            (name, item)
            for name, item in places
            if isinstance(item, h5py.Dataset) and len(item.shape) == 2
        )
        parent, key, shape, dtype = item.parent, name.rsplit("/", 1)[1], item.shape, item.dtype
        del parent[key]
        change(parent, key, shape, dtype, secret)
    return file.getvalue()


def other_file(secret, shape, dtype):
    """Write a private weights file of someone else, and return its path."""
    import h5py
    import numpy as np

    with h5py.File(secret, "w") as file:
        file["numbers"] = np.full(shape, 42, dtype)
    return str(secret)


def external_link(parent, key, shape, dtype, secret):
    import h5py

    parent[key] = h5py.ExternalLink(other_file(secret, shape, dtype), "/numbers")


def soft_link(parent, key, shape, dtype, secret):
    import h5py
    import numpy as np

    parent["other"] = np.full(shape, 42, dtype)
    parent[key] = h5py.SoftLink(f"{parent.name}/other")


def external_numbers(parent, key, shape, dtype, secret):
    secret.write_bytes(b"*" * 4096)
    parent.create_dataset(key, shape, dtype, external=[(str(secret), 0, 4096)])


def virtual_numbers(parent, key, shape, dtype, secret):
    import h5py

    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(other_file(secret, shape, dtype), "numbers", shape, dtype)
    parent.create_virtual_dataset(key, layout)


def huge_numbers(parent, key, shape, dtype, secret):
    parent.create_dataset(key, (2**20, 2**20), dtype, chunks=(1024, 1024), compression="gzip")


def a_group_in_itself(parent, key, shape, dtype, secret):
    parent[key] = parent


NUMBERS = {
    name.__name__: name
    for name in (
        external_link,
        soft_link,
        external_numbers,
        virtual_numbers,
        huge_numbers,
        a_group_in_itself,
    )
}


if __name__ == "__main__":
    main()
