"""Whatever users have for data works, or is refused at the door in a sentence that mends it.

A cell of the matrix is a container, a dtype, a way in and a model. No cell ends inside Keras.
"""

import array
import functools
import itertools
import pathlib
import re
import traceback

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import keras_gen as kg
from tests.helpers import put_back, state_of, weights_of
from tests.models import tiny

pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

# Keras says so of every generator that ends.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

N, SHAPE = 16, (6,)
GOOD = ("float16", "float32", "float64")
SCALED = {"uint8": " / 255", "uint16": " / 65535", "int64": "", "bool": ""}
DTYPES = (*GOOD, *SCALED, "object")


def examples(dtype="float32"):
    """Multiples of 1/8, which float16 holds; levels in bytes; 0 and 1 in a type of integers."""
    values = np.random.default_rng(0).integers(0, 9, (N, *SHAPE))
    if dtype.startswith("uint"):
        return (values * (np.iinfo(dtype).max // 8)).astype(dtype)
    return (values / 8 if dtype in GOOD else values % 2).astype(dtype)


LABELS = np.arange(N) % 3


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        batch = tuple(array[8 * index : 8 * index + 8] for array in self.arrays)
        return batch if len(batch) > 1 else batch[0]


def pair(x, y):
    return (x,) if y is None else (x, y)


def loader(x, y):
    tensors = [torch.as_tensor(array) for array in pair(x, y)]
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=8)


def pipeline(x, y):
    return tf.data.Dataset.from_tensor_slices(x if y is None else (x, y)).batch(8)


def csr(x, y):
    return sparse.csr_matrix(x if x.dtype.kind in "biu" else x.astype("float32")), y


# Each makes (data, y) of arrays; y is None where the data hold it.
CONTAINERS = {
    "array": lambda x, y: (x, y),
    "list": lambda x, y: (list(x), None if y is None else y.tolist()),
    "DataFrame": lambda x, y: (pd.DataFrame(x), None if y is None else pd.Series(y)),
    "sparse": csr,
    "tf.data": lambda x, y: (pipeline(x, y), None),
    "PyDataset": lambda x, y: (Batches(*pair(x, y)), None),
    "generator": lambda x, y: ((batch for batch in list(Batches(*pair(x, y)))), None),
    "DataLoader": lambda x, y: (loader(x, y), None),
    "dictionary": lambda x, y: ({"x": x} if y is None else {"x": x, "y": y}, None),
}
STREAMS = ("tf.data", "PyDataset", "generator", "DataLoader")
TRAINABLE = [name for name in CONTAINERS if name not in ("sparse", "dictionary")]
# TensorFlow and PyTorch make no tensors of objects.
NO_OBJECTS = ("tf.data", "DataLoader", "sparse")


def vae(**kwargs):
    return kg.VAE(*kg.networks.mlp_vae(SHAPE, 2, hidden=(4,), **kwargs), seed=1, **kwargs)


def gan(**kwargs):
    return kg.GAN(*kg.networks.point_gan(SHAPE, 2, hidden=(4,), **kwargs), 2, seed=1, **kwargs)


FAMILIES = {
    "VAE": lambda: vae(),
    "conditional VAE": lambda: vae(num_classes=3),
    "GAN": lambda: gan(),
    "conditional GAN": lambda: gan(num_classes=3),
}


def compiled(family):
    model = FAMILIES[family]()
    tiny.compile_model(model, tiny.sgd)
    return model, None if model.num_classes is None else LABELS


@functools.cache
def shared(family="VAE"):
    """A compiled model that several tests train on: a new one would be traced again."""
    return compiled(family)[0]


def refusal(call):
    """The error of a call, which must be the library's own, in one line; None if it works."""
    try:
        call()
    except ValueError as error:
        where = pathlib.PurePath(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert "keras_gen" in where.parts, f"{where}: {error}"
        assert len(str(error)) < 350 and "\n" not in str(error)
        return str(error)
    return None


def admitted(model, arguments, method):
    model.admit_arguments(arguments, method)
    return arguments


def ways_in(model, container, x, y):
    """The ways for data into a model, without a step: name -> call."""

    def made():
        return CONTAINERS[container](x, y)

    def admit(method):
        data, labels = made()
        return admitted(model, {"x": data, "y": labels}, method)

    def validation():
        data, labels = made()
        arguments = {"x": examples(), "y": y}
        arguments["validation_data"] = data if labels is None else (data, labels)
        return admitted(model, arguments, "fit")

    def use():
        data, labels = made()
        return model.encode(data, y=labels)

    ways = {"fit": lambda: admit("fit"), "evaluate": lambda: admit("evaluate")}
    ways |= {"train_on_batch": lambda: admit("train_on_batch"), "validation": validation}
    return {**ways, "use": use} if isinstance(model, kg.VAE) else ways


def expected(container, dtype, way):
    """What a refusal must say, or None where the cell works."""
    if way == "train_on_batch" and container in STREAMS:
        return "Pass one batch" if dtype in GOOD else "Pass one batch|type "
    if container == "dictionary":
        return r"dictionary with the keys x.*`.*data\[\"x\"\]"
    if container == "sparse":
        return r"sparse.*`x\.toarray\(\)`"
    if dtype == "object":
        return r"type object\. Pass `.*float32.*`"
    if dtype in SCALED:
        return f"type {dtype}, but floats are expected: .*`.*float.*{SCALED[dtype]}`"
    return None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_each_cell_works_or_is_refused_at_the_door(container, family):
    model, y = shared(family), None if "conditional" not in family else LABELS
    for dtype in DTYPES:
        if dtype == "object" and container in NO_OBJECTS:
            continue
        for way, call in ways_in(model, container, examples(dtype), y).items():
            said, awaited = refusal(call), expected(container, dtype, way)
            cell = f"{dtype}, {way}: {said}"
            assert (said is None) == (awaited is None), cell
            assert said is None or re.search(awaited, said), cell


@pytest.mark.parametrize("family", FAMILIES)
def test_each_container_and_float_trains_as_a_float32_array(family):
    model, y = compiled(family)
    variables = [*model.variables, *model.optimizer.variables]
    start = [ops.convert_to_numpy(variable) for variable in variables]

    def trained(container, dtype):
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        data, labels = CONTAINERS[container](examples(dtype), y)
        model.fit(data, labels, batch_size=8, shuffle=False, verbose=0)
        return [ops.convert_to_numpy(weight) for weight in model.trainable_variables]

    first = ops.convert_to_numpy(model.trainable_variables[0])
    plain = trained("array", "float32")
    assert np.any(plain[0] != first)
    for container, dtype in [*((name, "float64") for name in TRAINABLE), ("array", "float16")]:
        for a, b in zip(trained(container, dtype), plain, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6, err_msg=f"{container} of {dtype}")


def test_batches_of_another_float_later_in_a_stream_train_too():
    class Mixed(Batches):
        def __getitem__(self, index):
            return super().__getitem__(index).astype(["float32", "float64"][index])

    model, _ = compiled("VAE")
    for data in (Mixed(examples()), (x for x in list(Mixed(examples())))):
        model.fit(data, verbose=0)
    assert int(model.optimizer.iterations) == 4
    assert int(model.skipped_updates[0]) == 0


def test_a_step_itself_casts_what_no_door_has_seen():
    model = shared()
    logs = [
        keras.Model.test_on_batch(model, examples(), return_dict=True),
        keras.Model.test_on_batch(model, examples("float64"), return_dict=True),
    ]
    assert all(np.isfinite(list(each.values())).all() for each in logs)


def test_a_batch_of_float64_moves_the_weights_as_one_of_float32_does():
    model, ends = shared(), []
    start, before = state_of(model), weights_of(model)
    for dtype in ("float32", "float64"):
        put_back(model, start)
        model.reset_metrics()
        loss = model.train_on_batch(examples(dtype), return_dict=True)["loss"]
        ends.append([loss, *weights_of(model)])
    assert any(np.any(a != b) for a, b in zip(ends[0][1:], before, strict=True))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_validation_data_of_float64_have_the_losses_of_float32():
    model, logs = shared(), []
    start = state_of(model)
    for dtype in ("float32", "float64"):
        put_back(model, start)
        validation = pipeline(examples(dtype), None)
        fitted = model.fit(examples(), validation_data=validation, shuffle=False, verbose=0)
        logs.append(fitted.history)
    assert logs[0].keys() == logs[1].keys() >= {"loss", "val_loss"}
    for name, values in logs[0].items():
        np.testing.assert_allclose(values, logs[1][name], rtol=1e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")  # JAX makes float32 of it.
@pytest.mark.parametrize("build", [tiny.scheduled_vae, tiny.r3gan])
def test_models_train_in_float64_where_that_is_keras_float_type(build):
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    try:
        for name in (policy.name, "float64"):  # Keras's layers go on in float32 until told.
            keras.config.set_dtype_policy(name)
            model = build()
            if isinstance(model, kg.GAN):
                model.penalties[0].gamma = keras.Variable(0.1)
            tiny.compile_model(model, tiny.sgd)
            x = tiny.examples(model)
            arguments = {} if isinstance(model, kg.GAN) else {"sample_weight": np.ones(20)}
            history = model.fit(x, validation_data=x, verbose=0, **arguments).history
            assert np.isfinite(history["val_loss"])
            types = {v.dtype for v in model.trainable_variables}
            assert types == {name}
            if isinstance(model, kg.VAE):
                assert np.isfinite(model.anomaly_score(x, num_samples=1)).all()
                assert np.isfinite(model.log_likelihood(x, num_samples=2, verbose=0)).all()
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


# What comes, and what the labels become; the model has three classes.
ACCEPTED_LABELS = {
    "(n, 1)": LABELS[:, None],
    "list": LABELS.tolist(),
    "bytes of an array": array.array("i", LABELS.tolist()),
    "column": pd.DataFrame({"label": LABELS}),
    "integers as floats": LABELS.astype("float64"),
    "tensor": ops.convert_to_tensor(LABELS),
    "uint8": LABELS.astype("uint8"),
}


@pytest.mark.parametrize("kind", ACCEPTED_LABELS)
def test_labels_of_every_kind_are_the_same_labels(kind):
    model = shared("conditional VAE")
    x, y = examples(), ACCEPTED_LABELS[kind]
    for arguments in (
        admitted(model, {"x": x, "y": y, "validation_data": (x, y)}, "fit"),
        admitted(model, {"x": (x, y)}, "train_on_batch"),
    ):
        assert arguments["y"].dtype == "int32"
        np.testing.assert_array_equal(arguments["y"], LABELS)
    np.testing.assert_array_equal(model.encode(x, y=y)[0], model.encode(x, y=LABELS)[0])
    assert int(model.admit(x, LABELS > 0)[1].sum()) == np.sum(LABELS > 0)


def test_labels_of_a_stream_may_be_a_tuple_of_numbers():
    model = shared("conditional VAE")
    labels = tuple(LABELS.tolist())
    logs = [
        model.evaluate(((examples(), y) for _ in range(2)), verbose=0, return_dict=True)
        for y in (labels, LABELS)
    ]
    assert logs[0].keys() == logs[1].keys() and all(map(np.isfinite, logs[0].values()))


def test_one_value_for_a_label_may_be_a_numpy_integer():
    model = shared("conditional GAN")
    z = np.zeros((2, 2))
    np.testing.assert_array_equal(model.generate(z, y=np.int64(2)), model.generate(z, y=[2, 2]))


@pytest.mark.parametrize(
    "weights", [[1] * N, np.ones((N, 1)), pd.Series(np.ones(N)), np.ones(N, "int64")]
)
def test_weights_of_every_kind_are_floats(weights):
    model = shared()
    x, y, given = model.admit(examples("float64").tolist(), None, weights)
    assert given.dtype == x.dtype == "float32"
    assert given.shape == y.shape == (N,)
    model.fit(examples().tolist(), sample_weight=weights, validation_split=0.25, verbose=0)


class Steps(keras.callbacks.Callback):
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


@pytest.mark.parametrize(
    "build, validation, match",
    [
        (vae, (examples(), examples()), "reconstructs `x` itself"),
        (vae, (examples(), None, np.ones((N, 6))), "one weight for each example"),
        (vae, (examples(), np.ones(N), np.ones(3)), "`sample_weight` 3"),
        (vae, (x for x in [examples()[:, :3]]), "was built for"),
        (gan, (examples(), np.ones(N), np.ones(N)), "cannot weight examples"),
        (gan, pipeline(examples(), None).unbatch(), "not batched"),
        (lambda: kg.WGAN(*kg.networks.point_gan(SHAPE, 2), 2), examples()[:3], "too small"),
        (lambda: kg.WGAN(*kg.networks.point_gan(SHAPE, 2), 2), Batches(examples()[:3]), "small"),
    ],
)
def test_validation_data_are_checked_before_the_first_step(build, validation, match):
    model, steps = build(), Steps()
    tiny.compile_model(model, tiny.sgd)
    with pytest.raises(ValueError, match=match):
        model.fit(examples(), validation_data=validation, callbacks=[steps], verbose=0)
    assert steps.count == 0


class Folder(torch.utils.data.Dataset):
    """A data set of PyTorch, one example at a time."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return examples()[index]


def images(dtype="float32", n=4):
    return np.random.default_rng(0).random((n, 8, 8, 1)).astype(dtype)


def pillow(side):
    return Image.fromarray(np.full((side, side, 3), 128, "uint8"))


def moments():
    days = np.random.default_rng(0).integers(0, 100, (N, *SHAPE))
    return pd.DataFrame(pd.Timestamp("2020-01-01") + days * pd.Timedelta(hours=1))


# Bad data of a VAE, by the shape of its examples, and what the message says of them.
ADVICE = {
    "tf.data of dictionaries": (
        lambda: tf.data.Dataset.from_tensor_slices({"label": LABELS, "x": examples()}).batch(8),
        "keys label, x",
    ),
    "dictionary": (lambda: {"x": examples()}, "dictionary with the keys x"),
    "generator of dictionaries": (
        lambda: ({"y": LABELS, "x": examples()} for _ in range(2)),
        "batch of the generator is a dictionary",
    ),
    "sparse": (lambda: sparse.random(N, 6, format="csr"), "a scipy csr_matrix"),
    "tf.data without batches": (
        lambda: tf.data.Dataset.from_tensor_slices((examples(), LABELS)),
        "not batched: examples of a tf.data.Dataset of shape (6,)",
    ),
    "Dataset of PyTorch": (lambda: Folder(), "not batched"),
    "DataLoader without batches": (
        lambda: torch.utils.data.DataLoader(Folder(), batch_size=None),
        "not batched",
    ),
    "one example": (lambda: examples()[0], "not batched"),
    "counts": (lambda: np.random.default_rng(0).integers(0, 2, (N, 6)), "type int64"),
    "8 bits": (lambda: np.full((N, 6), 255, "uint8"), "/ 255`"),
    "16 bits": (lambda: np.full((N, 6), 65535, "uint16"), "/ 65535`"),
    "booleans": (lambda: examples() > 0.5, "type bool"),
    "list of integers": (lambda: [[0, 1, 0, 1, 1, 1]] * N, "type int64"),
    "tensor of TensorFlow": (lambda: tf.ones((N, 6), "uint8"), "type uint8"),
    "tensor of PyTorch": (lambda: torch.ones((N, 6), dtype=torch.uint8), "type uint8"),
    "objects": (lambda: examples().astype(object), "type object"),
    "arrays in an object": (
        lambda: np.array([*examples(), None], dtype=object)[:-1],
        "type object",
    ),
    "table with a column of text": (
        lambda: pd.DataFrame(examples()).assign(name="a"),
        'select_dtypes(["number", "bool"]',
    ),
    "table with a moment, a span and a bool": (
        lambda: pd.DataFrame(examples()[:, :5] > 0.5).assign(
            moment=moments().iloc[:, 0], span=pd.to_timedelta(np.arange(N), unit="s"), x=0.5
        ),
        'exclude="timedelta"',
    ),
    "table of answers from 1 to 5": (
        lambda: pd.DataFrame(np.arange(6 * N).reshape(N, 6) % 5 + 1),
        '`(x.astype("float32") - 1) / 4`',
    ),
    "answers from 1 to 5": (
        lambda: (np.arange(6 * N).reshape(N, 6) % 5 + 1).astype("float32"),
        "For levels from 1 to 5 pass `(x - 1) / 4`",
    ),
    "column of arrays": (lambda: pd.Series(list(examples())), "type object"),
    "complex": (lambda: examples().astype("complex64"), "type complex64"),
    "moments": (lambda: moments().to_numpy(), "type datetime64"),
    "table of moments": (moments, "type datetime64"),
    "table of moments in a time zone": (
        lambda: moments().apply(lambda column: column.dt.tz_localize("UTC")),
        "np.timedelta64",
    ),
    "table of spans of time": (lambda: moments() - moments().min(), "type timedelta64"),
    "table with holes in an object": (
        lambda: pd.DataFrame(examples()).astype(object).replace({0: {0.5: None}}),
        "rows whose cells are all numbers",
    ),
    "table with decimal commas": (
        lambda: pd.DataFrame(examples()).astype(str).replace(r"\.", ",", regex=True),
        "regex=True",
    ),
    "table with thousands": (
        lambda: pd.DataFrame(1e3 * examples() + 1000).map("{:,.0f}".format),
        'between thousands, pass `x.astype(str).replace(",", "", regex=True)',
    ),
    "list of moments": (lambda: moments().to_numpy().tolist(), "type"),
    "rows that are dictionaries": (
        lambda: pd.DataFrame(examples()).to_dict("records"),
        "pd.DataFrame(list(x))",
    ),
    "table with a column of arrays": (
        lambda: pd.DataFrame({"a": list(examples())}),
        "np.stack(x.iloc[:, 0])",
    ),
    "one row of a table": (lambda: pd.DataFrame(examples()).iloc[0], "np.asarray(x)[None]"),
    "one list": (lambda: examples()[0].tolist(), "np.asarray(x)[None]"),
    "zip of examples": (lambda: zip(examples(), examples(), strict=True), "x[None]` is a batch"),
    "table of objects": (
        lambda: pd.DataFrame(examples()).astype(object),
        'x.astype("float32")',
    ),
    "table with a cell of text": (
        lambda: pd.DataFrame(examples()).astype(object).replace({0: {0.5: "n/d"}}).assign(name="a"),
        "rows whose cells are all numbers",
    ),
    "structured": (
        lambda: np.rec.fromarrays([*examples().T, ["a"] * N], names="a,b,c,d,e,f,name"),
        "'f'",
    ),
    "far above float32": (lambda: examples("float64") * 1e44, "reach 1e+44, and float32"),
    "far below float32": (lambda: examples("float64") * 1e-50, "reach 1e-50, and float32"),
    "numbers as strings": (lambda: examples().astype(str), "type <U"),
    "masked": (lambda: np.ma.masked_equal(examples(), 0.5), "masked"),
    "list of masked rows": (
        lambda: list(np.ma.masked_equal(examples(), 0.5)),
        "np.ma.array(x).filled(0)",
    ),
    "ragged": (lambda: [[0.5], [0.5, 1.0], [0.1] * 6] * 3, "(1,) and (2,)"),
    "images of several sizes": (
        lambda: [images(n=1)[0], images(n=1)[0, :4]] * 4,
        "(8, 8, 1) and (4, 8, 1)",
    ),
    "images of several sizes in an object": (
        lambda: np.array([images(n=1)[0], images(n=1)[0, :4]] * 4, dtype=object),
        "The shapes of its items differ, such as",
    ),
    "pictures of Pillow": (lambda: [pillow(64)] * 4, "type uint8"),
    "pictures of Pillow of two sizes": (lambda: [pillow(8), pillow(64)] * 2, "(8, 8, 3) and (64"),
    "pictures of Pillow in an object": (
        lambda: np.array([pillow(64), pillow(64), None], dtype=object)[:-1],
        "type object",
    ),
}
NAMES = {"Image": Image, "pd": pd, "np": np, "keras": keras, "tf": tf, "torch": torch}


def advised(said, data, trained=None):
    """What the last line of code of a message makes of the data, after labels `trained`."""
    line = re.findall(r"`([^`]+)`", said)[-1]
    names = {**NAMES, "x": data, "data": data, "batch": data, "y": data}
    names["y_train"] = data if trained is None else trained
    if assigned := re.search(r"`classes = ([^`]+)`", said):
        names["classes"] = eval(assigned[1], names)  # noqa: S307
    return eval(line, names)  # noqa: S307


def likelihood_of_any_number():
    model = kg.VAE(*kg.networks.mlp_vae(SHAPE, 2, (4,)), likelihood="gaussian")
    model.compile("sgd")
    return model


@pytest.mark.once
@pytest.mark.parametrize("kind", ADVICE)
def test_the_advice_works_when_it_is_followed(kind):
    make, awaited = ADVICE[kind]
    model, data = shared(), make()
    if "answers from 1" in kind:
        networks = kg.networks.mlp_vae(SHAPE, 2, (4,), parameters_per_value=5)
        model = kg.VAE(*networks, likelihood=kg.likelihoods.Categorical(num_classes=5))
        model.compile("sgd")
    if kind.startswith(("images", "pictures")):
        channels = 1 if kind.startswith("images") else 3
        model = kg.VAE(*kg.networks.mlp_vae((64, 64, channels), 2, hidden=(4,)))
        model.compile("sgd")
    said = refusal(lambda: model.fit(data, verbose=0))
    assert awaited in said
    if kind.startswith("zip "):  # Its advice is for a generator of one's own.
        return
    if kind.startswith(("far ", "moments", "list of m", "table of", "table with th")):
        model = likelihood_of_any_number()
    assert np.isfinite(model.fit(advised(said, data), verbose=0).history["loss"])


@pytest.mark.once
@pytest.mark.parametrize(
    "make, awaited",
    [
        (lambda: pillow(16), "For a single example"),
        (lambda: [pillow(16), pillow(8)], "(16, 16, 3) and (8, 8, 3)"),
        (lambda: [np.full((side, 16, 3), 128, "uint8") for side in (16, 8)], "(8, 16, 3)"),
    ],
)
def test_advice_for_images_knows_the_size_and_the_range_of_the_model(make, awaited):
    model, data = kg.VAE(*kg.networks.mlp_vae((16, 16, 3), 2, hidden=(4,))), make()
    said = refusal(lambda: model.reconstruct(data))
    assert awaited in said
    x = np.array(advised(said, data))
    assert x.shape[1:] == (16, 16, 3)
    np.testing.assert_allclose(x, 128 / 255, rtol=1e-6)
    model.reconstruct(x)


MODES = [("P",), ("RGBA",), ("L",), ("1",), ("CMYK",), ("RGB", "RGBA"), ("L", "P", "RGB")]


@pytest.mark.once
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("modes", MODES, ids="+".join)
def test_advice_for_pictures_of_other_modes_gives_their_colours(modes, channels):
    if modes in (("L",), ("1",)) and channels == 1:
        return  # They are what the model expects.
    model = kg.VAE(*kg.networks.mlp_vae((8, 16, channels), 2, hidden=(4,)))
    white = Image.fromarray(np.full((8, 16, 3), 255, "uint8"))
    pictures = [white.convert(mode) for mode in modes] * 2
    for data in (pictures, pictures[0], [picture.resize((5, 5)) for picture in pictures]):
        if {"RGB": 3, "L": 1}.get(getattr(data, "mode", None)) == channels:
            continue  # One picture, which is what the model expects.
        said = refusal(lambda data=data: model.reconstruct(data))
        assert "The pictures of Pillow are of mode" in said
        x = advised(said, data)
        np.testing.assert_array_equal(x, np.ones((len(x), 8, 16, channels)))
        model.reconstruct(x)


@pytest.mark.once
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_advice_for_transparent_pictures_reads_them_as_a_folder_does(tmp_path, mode):
    pixels = np.full((8, 8, 4), (200, 200, 200, 255), "uint8")
    pixels[:4] = (255, 0, 0, 0)  # A colour that nobody sees.
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    for channels in (1, 3):
        model = kg.VAE(*kg.networks.mlp_vae((8, 8, channels), 2, hidden=(4,)))
        said = refusal(lambda model=model: model.reconstruct(picture))
        x = eval(re.findall(r"`([^`]+)`", said)[-1], {"np": np, "Image": Image, "x": picture})  # noqa: S307
        read, _ = kg.data.folder([tmp_path / "a.png"], channels=channels, test=0)
        np.testing.assert_allclose(x, read.x, atol=1e-6)
        assert x[0, 0, 0, 0] == 1


@pytest.mark.once
@pytest.mark.parametrize("kind", [tuple, list])
def test_two_data_sets_are_to_be_taken_apart(tmp_path, kind):
    model, sets = shared("VAE"), kind(kg.data.ArrayDataset(examples()) for _ in range(2))
    for use in (
        lambda: model.fit(sets),
        lambda: model.fit(examples(), validation_data=sets),
        lambda: model.encode(sets),
        lambda: kg.data.preview(tuple(sets), tmp_path / "a.png"),
    ):
        said = refusal(use)
        assert "several data sets. Pass one of them" in said and "`train, test = ...`" in said


@pytest.mark.once
def test_predict_gives_the_order_of_the_examples_as_every_use_does(tmp_path):
    model = kg.VAE(*kg.networks.mlp_vae((8, 8, 1), 2, hidden=(4,)))
    model.compile("sgd")
    images = np.random.default_rng(0).random((20, 8, 8, 1), "float32")
    np.savez(tmp_path / "images.npz", x=(255 * images).astype("uint8"))
    flipped, _ = kg.data.folder(tmp_path / "images.npz", flip=True, multiple_of=3, test=0, seed=0)
    array = kg.data.ArrayDataset(images, batch_size=8, drop_remainder=True, seed=0)
    for data in (array, flipped):
        data.part = (1, 2)  # As `fit` of two processes has left it.
        lengths, expected = len(data), model.reconstruct(data.x)
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, atol=1e-6)
        assert len(expected) == 20 and data.epoch == 0 and len(data) == lengths


@pytest.mark.once
def test_a_set_has_no_order_and_an_iterator_is_not_to_be_iterated():
    model, x = shared("conditional VAE"), examples()[:3]
    assert refusal(lambda: model.encode(x, y={0, 1, 2})).endswith("no order. Pass a list.")
    said = refusal(lambda: model.encode(x, y=iter([0, 1, 2])))
    assert "iter(" not in said


@pytest.mark.once
def test_advice_for_a_folder_reads_it(tmp_path):
    for i in range(3):
        pillow(8).save(tmp_path / f"{i}.png")
    model, x = kg.VAE(*kg.networks.mlp_vae((16, 16, 3), 2, hidden=(4,))), str(tmp_path)
    line = re.findall(r"`([^`]+)`", refusal(lambda: model.reconstruct(x)))[-1]
    names = {"kg": kg, "x": x}
    exec(line, names)  # noqa: S102
    assert model.reconstruct(names["train"]).shape == (3, 16, 16, 3)
    grey, file = kg.VAE(*kg.networks.mlp_vae((16, 16, 1), 2, hidden=(4,))), str(tmp_path / "x.npy")
    np.save(file, np.stack([np.asarray(pillow(8))] * 3))
    for given in (x, [f"{x}/0.png", f"{x}/1.png"], file):
        line = re.findall(r"`([^`]+)`", refusal(lambda given=given: grey.reconstruct(given)))[-1]
        names["x"] = given
        exec(line, names)  # noqa: S102
        assert grey.reconstruct(names["train"]).shape[1:] == (16, 16, 1)


@pytest.mark.once
def test_answers_of_0_and_1_are_no_levels_of_grey():
    x = np.tile(np.array([[0, 1, 1, 0, 1, 0]], "uint8"), (8, 1))
    said = refusal(lambda: shared().fit(x, verbose=0))
    np.testing.assert_array_equal(advised(said, x), x)
    assert "reaches only 1." in refusal(lambda: kg.data.ArrayDataset(x))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["grey", "equal widths", "mixed", "colour", "grey floats"])
def test_advice_makes_pictures_of_one_shape(kind, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 4), "uint8")
    x = {
        "grey": [pixels[:8, :6, 0], pixels[:5, :9, 0]],
        "equal widths": [pixels[:8, :6, 0], pixels[:5, :6, 0]],
        "mixed": [pixels[:8, :6, 0], pixels[:8, :6, :3], pixels[:4]],
        "colour": [pixels[:8, :6, :3], pixels[:4, :4, :3]],
        "grey floats": [pixels[:8, :6, 0] / np.float32(255), pixels[:5, :9, 0] / np.float32(255)],
    }[kind]
    objects = np.empty(len(x), object)
    objects[:] = x
    model = kg.VAE(*kg.networks.mlp_vae((4, 5, channels), 2, (4,)))
    model.compile("sgd")
    depth = {"mixed": channels, "colour": 3}.get(kind, 1)
    for given in (x, objects):
        found = advised(refusal(lambda given=given: model.fit(given, verbose=0)), given)
        assert found.shape == (len(x), 4, 5, depth) and 0 <= found.min() < found.max() <= 1
        if depth == channels:
            model.fit(found, verbose=0)
        if kind != "equal widths":  # Without a model these are series of several channels.
            found = advised(refusal(lambda given=given: kg.data.ArrayDataset(given)), given)
            assert kg.data.ArrayDataset(found).x.max() <= 1


@pytest.mark.once
@pytest.mark.parametrize("columns", [2, 3])
def test_advice_stacks_the_columns_of_a_dictionary(columns):
    model = kg.VAE(*kg.networks.mlp_vae((columns,), 1, (4,)), likelihood="gaussian")
    model.compile("sgd")
    data = {f"column {i}": np.arange(8) + i for i in range(columns)}
    expected = np.stack(list(data.values()), axis=1)
    found = advised(refusal(lambda: model.fit(data, verbose=0)), data)
    np.testing.assert_array_equal(found, expected)
    stream = tf.data.Dataset.from_tensor_slices(data).batch(8)
    (batch,) = advised(refusal(lambda: model.fit(stream, verbose=0)), stream)
    assert batch.dtype == tf.float32
    np.testing.assert_array_equal(batch, expected)


@pytest.mark.once
def test_small_whole_numbers_of_a_table_are_no_levels_of_grey():
    ages = np.random.default_rng(0).integers(18, 90, (N, 6))
    for dtype in ("uint8", "uint16"):
        said = refusal(lambda dtype=dtype: shared().fit(ages.astype(dtype), verbose=0))
        np.testing.assert_array_equal(advised(said, ages), ages)
    model = kg.VAE(*kg.networks.mlp_vae((4, 4, 1), 2, (4,)))
    model.compile("sgd")
    said = refusal(lambda: model.fit(np.full((N, 4, 4, 1), 90, "uint8"), verbose=0))
    assert said.endswith('`x.astype("float32") / 255`.')


@pytest.mark.once
def test_a_number_is_no_second_array():
    for family in ("VAE", "GAN"):
        said = refusal(lambda family=family: shared(family).fit(examples(), 10, verbose=0))
        assert said == "`y` is 10. Pass numbers, as `batch_size`, by their names."
    assert "`y` is 32." in refusal(lambda: shared().evaluate(examples(), 32, verbose=0))


@pytest.mark.once
def test_groups_of_a_table_are_a_stream_of_tables():
    table = pd.DataFrame(examples())
    groups = table.groupby(np.arange(N) % 2)
    model = shared()
    found = advised(refusal(lambda: model.encode(groups)), groups)
    mean, _ = model.encode(found)
    order = [*range(0, N, 2), *range(1, N, 2)]
    np.testing.assert_allclose(mean, model.encode(examples()[order])[0], atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "data, expected",
    [
        (np.random.default_rng(0).poisson(3, (N, 6)), np.random.default_rng(0).poisson(3, (N, 6))),
        (examples() > 0.5, np.where(examples() > 0.5, 1, 0)),
        (np.full((N, 6), 65535, "uint16"), np.ones((N, 6))),
        (np.full((N, 6), 255, "uint8"), np.ones((N, 6))),
    ],
    ids=["counts", "booleans", "16 bits", "8 bits"],
)
def test_advice_divides_levels_of_grey_and_keeps_counts_and_booleans(data, expected):
    said = refusal(lambda: likelihood_of_any_number().fit(data, verbose=0))
    np.testing.assert_array_equal(advised(said, data), expected)


@pytest.mark.once
@pytest.mark.parametrize(
    "kind",
    [
        list,
        pd.Series,
        lambda y: np.array(y, object),
        lambda y: pd.Series(y, dtype="string"),
        lambda y: pd.Series(y, dtype=object).convert_dtypes(),
    ],
)
def test_the_advice_for_missing_labels_leaves_their_examples_out(kind):
    x, y = examples(), kind([None if label == 2 else "ab"[label] for label in LABELS])
    said = refusal(lambda: shared("conditional VAE").fit(x, y, verbose=0))
    names = {**NAMES, "x": x, "y": y}
    known, of_x, of_y = re.findall(r"`([^`]+)`", said)[-3:]
    exec(known, names)  # noqa: S102
    assert list(eval(of_y, names)) == [label for label in y if pd.notna(label)]  # noqa: S307
    assert len(eval(of_x, names)) == np.sum(LABELS != 2)  # noqa: S307


@pytest.mark.once
@pytest.mark.parametrize("data", [list(np.arange(8.0)), pd.Series(np.arange(8.0))])
def test_the_advice_for_another_shape_is_for_whatever_has_it(data):
    model = kg.VAE(*kg.networks.mlp_vae((1,), 2, (4,)), likelihood="gaussian")
    model.compile("sgd")
    said = refusal(lambda: model.fit(data, verbose=0))
    assert np.isfinite(model.fit(advised(said, data), verbose=0).history["loss"])


@pytest.mark.once
def test_data_scaled_to_1_in_float32_are_not_above_it():
    x = np.minimum(examples(), 1) * np.float32(1.0000001)
    assert x.max() > 1
    model = shared()
    before = int(keras.ops.convert_to_numpy(model.skipped_updates)[0])
    model.fit(x, verbose=0)
    assert int(keras.ops.convert_to_numpy(model.skipped_updates)[0]) == before


@pytest.mark.once
def test_the_advice_for_a_raw_table_lets_a_gaussian_learn():
    x = np.random.default_rng(0).normal((1500, 7), (300, 0), (64, 2)).astype("float32")
    vae = kg.VAE(*kg.networks.mlp_vae((2,), 1, (4,)))
    vae.compile("sgd")
    line = re.findall(r"`([^`]+)`", refusal(lambda: vae.fit(x, verbose=0)))[-1]
    scaled = eval(line, {"x": x, "x_train": x})  # noqa: S307
    vae = kg.VAE(*kg.networks.mlp_vae((2,), 1, (4,)), likelihood=kg.likelihoods.Gaussian())
    vae.compile(keras.optimizers.SGD(0.01))
    # Entropy of two normal numbers of variance 1, a model that knows nothing: one is constant.
    assert (
        vae.fit(scaled, epochs=30, verbose=0).history["loss"][-1] < np.log(2 * np.pi * np.e) + 0.3
    )
    assert not np.any(keras.ops.convert_to_numpy(vae.skipped_updates))


@pytest.mark.once
@pytest.mark.parametrize(
    "labels, awaited",
    [
        (np.eye(3)[LABELS], "one-hot. Pass `y.argmax(-1)`"),
        (np.eye(3)[LABELS].tolist(), "one-hot. Pass `np.argmax(y, -1)`"),
        (tf.one_hot(LABELS, 3), "one-hot. Pass `tf.argmax(y, -1)`"),
        (np.array(["a", "b", "c"])[LABELS], "`[classes.index(label) for label in y]`"),
        (pd.Series(np.array(["a", "b", "c"])[LABELS]), "`[classes.index(label) for label in y]`"),
        (np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1]])[LABELS], "for label in y.tolist()]`"),
        (pd.DataFrame({"y": np.array(["a", "b", "c"])[LABELS]}), "for label in y.iloc[:, 0]]`"),
        (pd.Series(pd.period_range("2020-01", periods=3, freq="M")[LABELS]), "for label in y]`"),
        (pd.Series(pd.interval_range(0, 3)[LABELS]), "for label in y]`"),
        (pd.Series(pd.date_range("2020-01-01", periods=3)[LABELS]), "for label in y]`"),
        (np.array(["2020-01", "2020-02", "2021"], "datetime64[ns]")[LABELS], "for label in y]`"),
    ],
)
def test_the_advice_for_labels_gives_the_labels(labels, awaited):
    model = shared("conditional VAE")
    said = refusal(lambda: model.fit(examples(), labels, verbose=0))
    assert awaited in said
    np.testing.assert_array_equal(model.admit(examples(), advised(said, labels))[1], LABELS)
    if "classes" in said:  # Later, where not all classes come: the numbers are those of training.
        said = refusal(lambda: model.encode(examples()[:2], y=labels[1:3]))
        np.testing.assert_array_equal(advised(said, labels[1:3], labels), LABELS[1:3])
        is_table = isinstance(labels, pd.DataFrame)
        seven = labels[1:3].assign(y=7) if is_table else np.full_like(labels[1:3], 7)
        with pytest.raises(ValueError, match="not in list"):
            advised(said, seven, labels)


@pytest.mark.once
@pytest.mark.parametrize(
    "labels, match",
    [
        (np.zeros((N, 2)), r"shape \(16, 2\) for 16 examples. Pass one integer for each"),
        (LABELS[:-1], r"shape \(15,\) for 16 examples"),
        (LABELS + 0.5, "hold 0.5"),
        (np.where(LABELS > 1, np.nan, LABELS), "hold nan"),
    ],
)
def test_labels_that_are_none_are_refused(labels, match):
    model = shared("conditional GAN")
    with pytest.raises(ValueError, match=match):
        model.fit(examples(), labels, verbose=0)


@pytest.mark.parametrize("family", ["VAE", "GAN"])
@pytest.mark.parametrize("wrap", [iter, lambda x: tf.data.Dataset.from_tensor_slices(np.stack(x))])
def test_values_out_of_range_later_in_a_stream_move_nothing(wrap, family):
    x = examples()
    if family == "VAE":
        model = vae()
    else:
        model, x = kg.GAN(*kg.networks.mlp_gan((2, 3, 1), 2, (4,), (4,)), 2), x.reshape(-1, 2, 3, 1)
    tiny.compile_model(model, tiny.sgd)
    with pytest.warns(UserWarning, match=r"Values outside \[0, 1\] count as NaN"):
        model.fit(wrap([x, 255 * x, x - 1]), shuffle=False, verbose=0)
    skipped = np.array(ops.convert_to_numpy(model.skipped_updates))
    model.fit(wrap([x, x]), shuffle=False, verbose=0)
    assert skipped[-1] >= 2
    np.testing.assert_array_equal(skipped, ops.convert_to_numpy(model.skipped_updates))


def test_labels_that_are_no_integers_later_in_a_stream_move_nothing():
    model, y = compiled("conditional VAE")
    keras.Model.train_on_batch(model, examples(), y + 0.5)
    assert int(model.skipped_updates[0]) == 1


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"x": None}, "no data"),
        ({"x": iter([])}, "no data"),
        ({"x": pipeline(examples()[:0], None)}, "no data"),
        ({"x": "a.csv"}, r"`x` is a path.*`pd.read_csv\(x\)`"),
        ({"x": pathlib.Path("a.h5")}, r"`h5py.File\(x\)`"),
        ({"x": iter(["1,2", "3,4"])}, r"gives text.*`pd.read_csv\(x\)`"),
        ({"x": "folder"}, "`x` is a str. Pass arrays"),
        ({"x": pathlib.Path("a.png")}, r"kg.data.folder\(\[x\], size=64"),
        ({"x": ["a.png", "b.png"]}, r"kg.data.folder\(x, size=64"),
        ({"x": np.array([pathlib.Path("a")], dtype=object)}, r"kg.data.folder\(list\(x\), size"),
        ({"x": {1, 2}}, r"`x` is a set, which has no order. Pass a list"),
        ({"x": 3.0}, "are a float, and a batch"),
        ({"x": pipeline(examples(), None), "y": LABELS}, "next to a tf.data.Dataset"),
        ({"x": Batches(examples()), "validation_split": 0.5}, "divides arrays"),
        ({"x": np.where(examples() > 0.5, np.nan, examples())}, "NaN"),
        ({"x": pipeline((examples(),) * 4, None)}, r"4 parts, of shapes \(8, 6\), .*Pass x, "),
        ({"x": [examples(), examples()[:, :3]]}, r"2 arrays, of shapes \(16, 6\), \(16, 3\), and"),
        ({"x": (examples(),) * 4}, "holds 4 arrays"),
        ({"x": examples(), "batch_size": 8.5}, "`batch_size` is 8.5. Pass an integer"),
        ({"x": examples(), "validation_split": 20}, "`validation_split` is 20. Pass a fraction"),
        ({"x": examples(), "validation_split": -0.1}, "is -0.1. Pass a fraction, at least 0"),
        ({"x": examples(), "validation_split": "0.2"}, "is '0.2'. Pass a fraction"),
    ],
)
def test_what_is_none_of_all_is_named(arguments, match):
    model = shared()
    with pytest.raises(ValueError, match=match):
        model.fit(**arguments, verbose=0)


# More that must train: what comes, for a VAE of vectors of 6.
SIBLINGS = {
    "big-endian": lambda: examples().astype(">f4"),
    "long double": lambda: examples().astype(np.longdouble),
    "matrix": lambda: np.matrix(examples()),
    "masked, with nothing hidden": lambda: np.ma.masked_array(examples()),
    "nested lists": lambda: examples().tolist(),
    "nested tuples": lambda: tuple(map(tuple, examples().tolist())),
    "list of tensors": lambda: list(torch.as_tensor(examples())),
    "tensor of PyTorch, float64": lambda: torch.as_tensor(examples("float64")).requires_grad_(),
    "tensor of PyTorch, bfloat16": lambda: torch.as_tensor(examples()).bfloat16(),
    "tensor of TensorFlow, float64": lambda: tf.constant(examples("float64")),
    "tensor of the backend, float16": lambda: ops.convert_to_tensor(examples("float16")),
    "tensor of the backend, bfloat16": lambda: ops.cast(examples(), "bfloat16"),
    "tf.data of float64": lambda: pipeline(examples("float64"), None),
    "iterator": lambda: iter([examples(), examples("float64")]),
    "generator of lists": lambda: (examples().tolist() for _ in range(2)),
    "generator of three": lambda: ((examples(), LABELS, [1] * N) for _ in range(2)),
    "generator of weights alone": lambda: ((examples(), None, np.ones(N)) for _ in range(2)),
    "tf.data of three": lambda: tf.data.Dataset.from_tensors((examples(), LABELS, np.ones(N))),
    "PyDataset of DataFrames": lambda: Batches(pd.DataFrame(examples())),
    "pair": lambda: (examples(), LABELS),
    "pair in a list": lambda: [examples(), LABELS],
    "pair of lists": lambda: (examples().tolist(), LABELS.tolist()),
    "three examples in a list": lambda: list(examples()[:3]),
    "one example": lambda: examples()[:1],
}


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", SIBLINGS)
def test_siblings_train(kind):
    model, make = shared(), SIBLINGS[kind]
    before = int(model.optimizer.iterations)
    history = model.fit(make(), validation_data=make(), verbose=0).history
    assert int(model.optimizer.iterations) > before
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    codes, _ = model.encode(make())
    assert len(codes) in (1, 3, N, 2 * N)


@pytest.mark.parametrize("spec", [tf.TensorSpec(None), tf.TensorSpec((None, None))])
def test_sizes_that_a_pipeline_leaves_open_are_those_of_its_first_batch(spec):
    def read():
        return iter([(examples()[:8], LABELS[:8]), (examples()[8:], LABELS[8:])])

    specs = (spec, tf.TensorSpec(None, "int64"))
    data = tf.data.Dataset.from_generator(read, output_signature=specs)
    model, plain = shared("conditional VAE"), pipeline(examples(), LABELS)
    model.optimizer.learning_rate = 0.0
    losses = [model.evaluate(each, verbose=0, return_dict=True)["loss"] for each in (data, plain)]
    assert model.fit(data, verbose=0).history["loss"] != []
    assert losses[0] == pytest.approx(losses[1], rel=0.2)  # The noise differs.


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")  # NumPy, of a list.
@pytest.mark.parametrize("masked", [np.ma.masked_equal(LABELS, 1), [*np.ma.array([0, 1, 2] * 5)]])
def test_examples_of_masked_labels_are_left_out(masked):
    if isinstance(masked, list):
        masked[1] = np.ma.masked
    said = refusal(lambda: shared("conditional VAE").fit(examples(), masked))
    names = {"np": np, "y": masked}
    names["known"] = eval(re.search("`known = ([^`]+)`", said)[1], names)  # noqa: S307
    kept = eval(re.findall("`([^`]+)`", said)[-1], names)  # noqa: S307
    hidden = LABELS == 1 if len(masked) == N else np.arange(15) == 1
    np.testing.assert_array_equal(kept, np.array([0, 1, 2] * 6)[: len(hidden)][~hidden])


@pytest.mark.once
def test_a_dataset_of_a_closed_file_is_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = examples()
        data = file["x"]
        assert shared().encode(data)[0].shape == (N, 2)
    assert "HDF5 file that is closed" in refusal(lambda: shared().encode(data))


def test_batches_of_several_shapes_are_refused_wherever_they_come():
    for bad in (examples()[:, :5], examples()[..., None]):
        for use in ("encode", "reconstruct", "anomaly_score", "predict", "fit"):
            with pytest.raises(
                ValueError, match=rf"of shape \({bad.shape[1]},.*\(6,\) is expected"
            ):
                getattr(shared(), use)(iter([examples(), bad, examples()]))


@pytest.mark.once
def test_networks_for_the_shape_of_a_whole_table_are_named():
    model = kg.VAE(*kg.networks.mlp_vae((N, *SHAPE), 2, (4,)))
    model.compile("sgd")
    said = refusal(lambda: model.fit(examples()))
    assert f"If these are {N} examples, build the networks" in said


@pytest.mark.once
def test_targets_labels_and_weights_of_two_ranks_follow_each_other():
    model = compiled("VAE")[0]
    for targets in (LABELS, np.ones((N, 2), "float32"), np.ones((N, 2, 2), "float32")):
        assert np.isfinite(model.evaluate(pipeline(examples(), targets), verbose=0)[0])
    for weights in (np.ones(N), np.ones((N, 1))):
        data = tf.data.Dataset.from_tensor_slices((examples(), LABELS, weights)).batch(8)
        assert np.isfinite(model.evaluate(data, verbose=0)[0])
    model = shared("conditional VAE")
    for labels in (LABELS, LABELS[:, None]):
        assert np.isfinite(model.evaluate(pipeline(examples(), labels), verbose=0)[0])


def test_predict_is_given_what_fit_is():
    model = shared()
    awaited = model.reconstruct(examples())
    for container in ("array", "list", "DataFrame", "tf.data", "PyDataset", "generator"):
        data, _ = CONTAINERS[container](examples("float64"), None)
        np.testing.assert_allclose(model.predict(data, verbose=0), awaited, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(examples().tolist()), awaited, atol=1e-6)
    for bad, match in ((255 * examples(), "Divide"), (examples("uint8"), "/ 255"), (0.5, "float")):
        for predict in (
            lambda x: model.predict(x, batch_size=8.0, verbose=0),
            model.predict_on_batch,
        ):
            with pytest.raises(ValueError, match=match):
                predict(bad)
    model = shared("conditional GAN")
    z = np.random.default_rng(0).normal(size=(4, 2))
    images = model.predict([z.tolist(), [0, 1, 2, 0]], verbose=0)
    np.testing.assert_allclose(images, model.generate(z, y=[0, 1, 2, 0]), atol=1e-6)
    with pytest.raises(ValueError, match=r"Pass \(n, 2\)"):
        model.predict([z[:, :1], [0, 1, 2, 0]], verbose=0)


@pytest.mark.once
def test_a_memory_map_is_read_and_stays_as_it_is(tmp_path):
    x = np.memmap(tmp_path / "x", "float64", "w+", shape=(N, *SHAPE))
    x[:] = examples()
    model = shared()
    model.fit(np.memmap(tmp_path / "x", "float64", "r", shape=(N, *SHAPE)), verbose=0)
    np.testing.assert_array_equal(x, examples())


def test_steps_per_epoch_of_a_generator():
    model = shared()
    before = int(model.optimizer.iterations)
    data = (examples("float64").tolist() for _ in itertools.count())
    model.fit(data, steps_per_epoch=2, epochs=3, verbose=0)
    assert int(model.optimizer.iterations) == before + 6


def every_use(model, data, y=None):
    """The results of all uses of a trained VAE that take data, NumPy; `data` makes them."""
    hidden = np.arange(SHAPE[0]) < 2
    return {
        "encode": model.encode(data(), y=y)[0],
        "reconstruct": model.reconstruct(data(), y=y),
        "anomaly_score": model.anomaly_score(data(), num_samples=2, y=y),
        "interpolate": model.interpolate(data(), data(), steps=2, y=y),
        "denoise": model.denoise(data(), y=y),
        "inpaint": model.inpaint(data(), hidden, method="map", steps=1, y=y)[:, ~hidden],
    }


def test_uses_read_what_fit_reads_in_its_own_order():
    networks = kg.networks.mlp_vae(SHAPE, 2, hidden=(4,), num_classes=3)
    model = kg.DenoisingVAE(*networks, stddev=0.1, seed=1, num_classes=3)
    made = every_use(model, lambda: pipeline(examples("float64"), LABELS))
    for name, result in every_use(model, examples, LABELS).items():
        np.testing.assert_allclose(made[name], result, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("family", ["VAE", "conditional VAE"])
def test_each_container_is_encoded_as_a_float32_array(family):
    model, y = shared(family), None if family == "VAE" else LABELS
    expected = model.encode(examples(), y=y)[0]
    for container in TRAINABLE:
        data, labels = CONTAINERS[container](examples("float64"), y)
        codes, _ = model.encode(data, y=labels)
        np.testing.assert_allclose(codes, expected, atol=1e-6, err_msg=container)


def test_a_large_stream_is_read_in_parts():
    model, sizes = vae(num_classes=3), []
    x = np.tile(examples(), (20, 1))  # 320
    y = np.arange(320) % 3

    def spied(x, y):
        sizes.append(len(x))
        return x, y

    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    found, labels = model.over_parts(spied, data)
    assert sizes == [150, 150, 20]
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(labels, y)
    # Labels that are given go before those of the data, part by part.
    _, given = model.over_parts(spied, data, y=(y + 1) % 3)
    np.testing.assert_array_equal(given, (y + 1) % 3)
    with pytest.raises(ValueError, match="`y` has 321 labels for 320 examples"):
        model.over_parts(spied, data, y=np.append(y, 0))
    values = model.log_likelihood(data, num_samples=3, verbose=0)
    assert values.shape == (320,)


def test_a_data_set_of_the_library_is_used_in_the_order_of_its_examples():
    x = tiny.images(30)
    model = tiny.vae()
    data = kg.data.ArrayDataset(x, np.arange(30) % 3, batch_size=8, drop_remainder=True)
    np.testing.assert_array_equal(model.encode(data)[0], model.encode(x)[0])


def test_a_stream_without_end_is_refused_by_a_use():
    model = shared()
    with pytest.raises(ValueError, match=r"never end.*take"):
        model.encode(pipeline(examples(), None).repeat())


def test_pictures_are_drawn_of_data_sets(tmp_path):
    x, y = tiny.images(20), np.arange(20) % 3
    data = kg.data.ArrayDataset(x, y, batch_size=8)
    grid = kg.callbacks.ReconstructionGrid(data, tmp_path)
    np.testing.assert_array_equal(grid.images, x[:16])
    np.testing.assert_array_equal(grid.labels, y[:16])
    codes = kg.callbacks.LatentScatter(x.tolist(), y[:, None], tmp_path)
    np.testing.assert_array_equal(codes.images, x)
    np.testing.assert_array_equal(codes.labels, y)
