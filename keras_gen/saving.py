"""Load a `.keras` file that someone else wrote, without running code that it brings along."""

import io
import json
import os
import re
import stat
import zipfile

import h5py
import keras

from keras_gen.borrowed import SOURCE
from keras_gen.models import GAN, VAE

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = ("metadata.json", CONFIG, WEIGHTS)
CONFIG_BYTES = 64 * 2**20
NESTING = 200
# Keras does not compress; a file that was packed again may unpack to at most this many times.
EXPANSION = 100

# Registered names of version 0.1 -> the classes that read its files now. They are for loading
# only: the models that are saved have the names of these classes.
OLD_NAMES = {
    "keras_gen>ConditionalGAN": GAN,
    "keras_gen>ConditionalVAE": VAE,
    "keras_gen>Conv2D": keras.layers.Conv2D,
    "keras_gen>Conv2DTranspose": keras.layers.Conv2DTranspose,
    "keras_gen>Dense": keras.layers.Dense,
}
for _name, _class in OLD_NAMES.items():
    keras.saving.get_custom_objects().setdefault(_name, _class)

# Modules that a class may come from. Their `from_config` makes an object of plain values. Keras
# itself allows nearly all that it exports, with downloads, plots and whole trained applications.
MODULES = {
    "keras.constraints": keras.constraints,
    "keras.initializers": keras.initializers,
    "keras.layers": keras.layers,
    "keras.losses": keras.losses,
    "keras.metrics": keras.metrics,
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
    "keras.regularizers": keras.regularizers,
}
CLASSES = {
    ("keras", "DTypePolicy"),
    ("keras", "Functional"),
    ("keras", "Sequential"),
    ("keras.models", "Functional"),
    ("keras.models", "Sequential"),
    (f"{SOURCE}models.functional", "Functional"),
}
# Layers that run code, or read files, that their config holds or names.
REFUSED_LAYERS = (
    "FlaxLayer",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
)
# The class behind a function of `keras.ops` in a functional model.
OPERATIONS = re.compile(re.escape(SOURCE) + r"ops\.[a-z]+")
ACTIVATIONS = set(dir(keras.activations)) - {"deserialize", "get", "serialize"}
# How Keras writes values that JSON cannot hold.
PLAIN = ("__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")


def load_model(path, compile=True):
    """Load a `.keras` file that need not be trusted; `compile=False` leaves its optimizers out.

    It is `keras.saving.load_model` in safe mode after stricter checks. The archive holds a model's
    three files and nothing else. The model is made of this library's classes, those that you have
    registered, and Keras's layers, activations, initializers, regularizers, constraints,
    optimizers and operations; not of layers that carry code or name files (Lambda, TFSMLayer,
    TorchModuleWrapper, lookups). The weights lie in the file itself. Nothing is built before all
    of that has been checked.

    A file can still ask for memory without breaking a rule: a layer may be of any width.

    Raises:
        ValueError: The file breaks one of these rules; nothing of it was run.
        FileNotFoundError: There is no such file.

    Example:

    ```python
    vae = kg.saving.load_model("vae.keras")
    ```
    """
    check(path)
    try:
        return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except (TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} holds no model that can be built: {error}") from error


def check(path):
    """Raise ValueError unless a `.keras` file keeps to the rules of `load_model`."""
    name = os.fspath(path)
    if not name.endswith(".keras"):
        raise ValueError(f"{name} is not a .keras file. Pass what `model.save` has written.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, name)
            _check_config(archive.read(CONFIG), name)
            _check_weights(archive.read(WEIGHTS), name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"{name} is damaged, or no .keras file: {error}") from error


def check_weights(path):
    """Raise ValueError unless a `.weights.h5` or `.keras` file holds all its numbers itself."""
    name = os.fspath(path)
    if name.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            _check_weights(archive.read(WEIGHTS), name)
        return
    with open(path, "rb") as file:
        _check_weights(file, name)


def _check_members(archive, name):
    found = archive.infolist()
    if sorted(member.filename for member in found) != sorted(MEMBERS):
        others = [member.filename for member in found if member.filename not in MEMBERS]
        _refuse(name, f"its archive holds {others[:4] or 'a file too few or twice'}", MEMBERS)
    for member in found:
        if stat.S_ISLNK(member.external_attr >> 16):
            _refuse(name, f"its {member.filename} is a link", "files")
        if member.file_size > EXPANSION * max(member.compress_size, 1000):
            _refuse(
                name,
                f"its {member.filename} unpacks from {member.compress_size:,} to "
                f"{member.file_size:,} bytes",
                f"at most {EXPANSION} times as many",
            )
    size = archive.getinfo(CONFIG).file_size
    if size > CONFIG_BYTES:
        _refuse(name, f"its {CONFIG} has {size:,} bytes", f"at most {CONFIG_BYTES:,}")


def _check_config(text, name):
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is refused: its {CONFIG} is no JSON ({error}).") from error
    registered = keras.saving.get_custom_objects()
    pending = [(config, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > NESTING:
            _refuse(name, f"its {CONFIG} is nested deeper than {NESTING}", "a model's config")
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(value, registered, name)
            pending += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            pending += [(inner, depth + 1) for inner in value]
    if not isinstance(config, dict) or "class_name" not in config:
        _refuse(name, f"its {CONFIG} names no model", "a model's config")


def _check_class(value, registered, name):
    class_name, module = value["class_name"], value.get("module")
    if class_name in PLAIN:
        return
    # Keras looks a function up by its name, a class by its registered name.
    key = value.get("config") if class_name == "function" else class_name
    looked_up = key if class_name == "function" else value.get("registered_name", key)
    if isinstance(looked_up, str) and looked_up in registered:
        return
    of_a_script = module in (None, "__main__") and isinstance(looked_up, str)
    if of_a_script and looked_up == key and key.isidentifier():
        raise ValueError(
            f"{name} is refused: it needs {key}, a class or function that is not registered here. "
            f"Import the file that defines it with "
            f"`@keras.saving.register_keras_serializable()`. Or, if it lacks that line and you "
            f"trust the file: `keras.saving.load_model(path, custom_objects={{{key!r}: {key}}})`."
        )
    if isinstance(key, str) and isinstance(module, str) and looked_up in (None, key):
        if class_name == "function":
            allowed = module in ("builtins", "keras.activations") and key in ACTIVATIONS
        elif module in MODULES:
            found = getattr(MODULES[module], key, None)
            allowed = isinstance(found, type) and key not in REFUSED_LAYERS
        else:
            allowed = (module, key) in CLASSES or OPERATIONS.fullmatch(module)
        if allowed:
            return
    _refuse(
        name,
        f"it asks for {module}.{key}"
        + (f" as {looked_up!r}" if looked_up not in (None, key) else ""),
        "this library's classes, registered ones, and Keras's layers, initializers and optimizers "
        "without those that carry code or name files",
    )


def _check_weights(content, name):
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with h5py.File(file, "r") as weights:
            _check_group(weights, name)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name} is refused: its weights cannot be read ({error}).") from error


def _check_group(root, name):
    pending, seen = [root], set()
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            _refuse(name, f"the group {group.name} of its weights is in it twice", "a tree")
        seen.add(address)
        for key in group:
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                _refuse(name, f"its weights hold a link, {group.name}/{key}", "numbers")
            item = group[key]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                _refuse(name, f"the numbers of {item.name} lie outside the file", "its own numbers")
            elif item.nbytes > EXPANSION * max(item.id.get_storage_size(), 1000):
                _refuse(
                    name,
                    f"{item.name} unpacks to {item.nbytes:,} bytes",
                    f"at most {EXPANSION} times the {item.id.get_storage_size():,} stored",
                )


def _refuse(name, came, expected):
    expected = ", ".join(expected) if isinstance(expected, tuple) else expected
    raise ValueError(
        f"{name} is refused: {came}. Expected: {expected}. If you trust whoever wrote it, "
        f"`keras.saving.load_model` allows more."
    )
