import multiprocessing.pool
import random

import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.data import ArrayDataset

N = 12


def ids(n=N, **kwargs):
    """Example i is the number i + 1, one example a batch."""
    x = np.arange(1, n + 1, dtype="float32")[:, None]
    return ArrayDataset(x, **{"batch_size": 1, "seed": 3, **kwargs})


def by_hand(dataset, epoch):
    dataset.epoch = epoch
    return [int(x.item()) for x in dataset]


def seen_by_fit(dataset, epochs, built=True, callbacks=(), **kwargs):
    """The numbers that a Keras model meets in `fit`, from its running mean loss, per epoch."""
    layers = [
        keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        keras.layers.ActivityRegularization(l1=1.0),
    ]
    model = keras.Sequential([keras.Input((1,)), *layers] if built else layers)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    record = Record()
    kwargs = {"shuffle": False, "verbose": 0, **kwargs}
    model.fit(dataset, epochs=epochs, callbacks=[*callbacks, record], **kwargs)
    return [np.rint(losses).astype(int).tolist() for losses in record.losses()]


def seen_by_fit_of_ours(dataset, epochs, callbacks=(), **kwargs):
    """The numbers that a model of keras_gen meets, whose loss is (x / N)^2 and a constant."""
    x, z = keras.Input((1,)), keras.Input((1,))
    encoder = keras.Model(x, keras.layers.Dense(1)(x))
    decoder = keras.Model(z, keras.layers.Dense(1, kernel_initializer="zeros")(z))
    model = kg.Autoencoder(encoder, decoder, likelihood=kg.likelihoods.Gaussian(1.0))
    model.compile(keras.optimizers.SGD(0.0))
    record = Record()
    model.fit(dataset, epochs=epochs, callbacks=[*callbacks, record], verbose=0, **kwargs)
    constant = 0.5 * np.log(2 * np.pi)
    squares = [2 * (losses - constant) for losses in record.losses()]
    return [np.rint(N * np.sqrt(np.maximum(x, 0))).astype(int).tolist() for x in squares]


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.means = []

    def on_epoch_begin(self, epoch, logs=None):
        self.means.append([])

    def on_train_batch_end(self, batch, logs=None):
        self.means[-1].append(float(logs["loss"]))

    def losses(self):
        """The loss of each batch, per epoch."""
        numbers = [np.arange(1, len(means) + 1) for means in self.means]
        return [
            np.diff(np.array(m) * n, prepend=0) for m, n in zip(self.means, numbers, strict=True)
        ]


class Fraction(keras.callbacks.Callback):
    """A progress bar of one's own, as anyone may write it."""

    def __init__(self, data):
        super().__init__()
        self.data = data
        self.fractions = []

    def on_epoch_begin(self, epoch, logs=None):
        self.fractions.append(self.data.epoch / self.data.num_batches)

    def on_train_batch_begin(self, batch, logs=None):
        self.fractions.append(batch / self.data.num_batches)

    def on_train_batch_end(self, batch, logs=None):
        self.fractions.append((batch + 1) / self.data.num_batches)


def numbered(**kwargs):
    """Example i is the number (i + 1) / N, one example a batch."""
    x = np.arange(1, N + 1, dtype="float32")[:, None] / N
    return ArrayDataset(x, **{"batch_size": 1, "seed": 3, **kwargs})


def test_uint8_becomes_float32_between_0_and_1():
    x = ArrayDataset(np.array([[0], [51], [255]], dtype="uint8")).x
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, np.array([[0], [0.2], [1]], dtype="float32"))


def test_last_batch_holds_the_rest():
    dataset = ArrayDataset(np.zeros((10, 2, 2, 1), "uint8"), batch_size=4)
    assert [x.shape for x in dataset] == [(4, 2, 2, 1), (4, 2, 2, 1), (2, 2, 2, 1)]
    assert len(dataset) == 3


def test_multiple_of_leaves_out_what_devices_cannot_share():
    dataset = ArrayDataset(np.zeros((11, 1), "uint8"), batch_size=4)
    dataset.multiple_of = 2
    assert [len(batch) for batch in dataset] == [4, 4, 2]
    dataset.multiple_of = 4
    assert [len(batch) for batch in dataset] == [4, 4]


def test_parts_make_up_the_batch():
    """Of three processes, each reads its third of the same batches."""
    x = np.arange(21, dtype="float32")[:, None]
    readers = [ArrayDataset(x, batch_size=6, seed=5) for _ in range(3)]
    for index, reader in enumerate(readers):
        reader.multiple_of, reader.part = 3, (index, 3)
    whole = list(ArrayDataset(x, batch_size=6, seed=5))
    assert len(readers[0]) == len(whole) == 4
    for index, batch in enumerate(whole):
        parts = [reader[index] for reader in readers]
        assert [len(part) for part in parts] == [len(batch) // 3] * 3
        np.testing.assert_array_equal(np.concatenate(parts), batch)


def test_drop_remainder_leaves_the_rest_out():
    dataset = ArrayDataset(np.zeros((10, 1), "uint8"), batch_size=4, drop_remainder=True)
    assert [len(x) for x in dataset] == [4, 4]


def test_labels_stay_with_their_examples():
    x = np.arange(10, dtype="float32")[:, None]
    dataset = ArrayDataset(x, y=np.arange(10), batch_size=4)
    batches = list(dataset)
    assert all((x[:, 0] == y).all() for x, y in batches)
    assert sorted(np.concatenate([y for _, y in batches])) == list(range(10))


def test_labels_false_yields_x_alone_and_keeps_y():
    dataset = ArrayDataset(np.zeros((4, 1), "uint8"), y=np.arange(4), labels=False)
    assert dataset[0].shape == (4, 1)
    np.testing.assert_array_equal(dataset.y, np.arange(4))


def test_every_epoch_holds_every_example_once_in_an_order_of_its_own():
    orders = [by_hand(ids(), epoch) for epoch in range(5)]
    assert all(sorted(order) == list(range(1, N + 1)) for order in orders)
    assert len(set(map(tuple, orders))) == 5


def test_order_is_a_function_of_seed_and_epoch():
    assert by_hand(ids(seed=3), 4) == by_hand(ids(seed=3), 4)
    assert by_hand(ids(seed=3), 4) != by_hand(ids(seed=4), 3)


def test_shuffle_false_keeps_the_order():
    assert by_hand(ids(shuffle=False), 7) == list(range(1, N + 1))


@pytest.mark.parametrize("built", [True, False])
def test_fit_sees_the_order_of_each_epoch_from_0_on(built):
    seen = seen_by_fit(ids(), epochs=3, built=built)
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]


def test_what_else_draws_random_numbers_does_not_change_what_fit_sees():
    keras.utils.set_random_seed(1)
    first = seen_by_fit(ids(), epochs=2)
    random.seed(2)
    assert seen_by_fit(ids(), epochs=2) == first


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("workers", [1, 4])
def test_our_models_see_that_order_whatever_fit_is_told(shuffle, workers):
    dataset = numbered()
    dataset.workers = workers
    seen = seen_by_fit_of_ours(dataset, epochs=3, shuffle=shuffle)
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]
    assert dataset.epoch == 3


def test_a_keras_model_that_shuffles_sees_the_same_batches_in_another_order():
    seen = seen_by_fit(ids(), epochs=2, shuffle=True)
    assert [sorted(epoch) for epoch in seen] == [list(range(1, N + 1))] * 2


@pytest.mark.parametrize(("workers", "steps"), [(1, None), (4, None), (1, N // 3)])
def test_reading_num_batches_at_any_moment_changes_nothing(workers, steps):
    dataset = ids()
    dataset.workers = workers
    fraction = Fraction(dataset)
    epochs = 2 if steps is None else 6
    seen = seen_by_fit(dataset, epochs, callbacks=[fraction], steps_per_epoch=steps)
    passes = seen if steps is None else [sum(seen[:3], []), sum(seen[3:], [])]
    assert passes == [by_hand(ids(), 0), by_hand(ids(), 1)]
    assert fraction.fractions[:3] == [0, 0, 1 / N]


def test_workers_and_steps_per_epoch_are_refused_together():
    dataset = numbered()
    dataset.workers = 2
    with pytest.raises(ValueError, match="which Keras starts from batch 0 in every epoch"):
        seen_by_fit_of_ours(dataset, epochs=2, steps_per_epoch=4)


def read_as_keras_3_16_does(dataset, workers=4):
    """The batches of one epoch. Keras 3.16 reads `num_batches` once per batch."""
    dataset.on_epoch_begin()
    with multiprocessing.pool.ThreadPool(workers) as pool:
        batches = pool.imap(dataset.__getitem__, range(dataset.num_batches))
        for i, batch in enumerate(batches):
            yield batch
            if i >= dataset.num_batches - 1:
                break
    dataset.on_epoch_end()


def test_keras_3_16_reads_the_order_of_each_epoch():
    dataset = ids()
    seen = [[int(x.item()) for x in read_as_keras_3_16_does(dataset)] for _ in range(3)]
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]
    assert dataset.epoch == 3


def test_fit_with_validation_sees_the_same_order():
    dataset = ids()
    seen = seen_by_fit(dataset, epochs=3, validation_data=ids(4, shuffle=False))
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]


def test_resumed_fit_sees_what_the_uninterrupted_one_saw():
    dataset = ids()
    dataset.epoch = 2
    resumed = seen_by_fit(dataset, initial_epoch=2, epochs=4)
    assert resumed == seen_by_fit(ids(), epochs=4)[2:]
    assert dataset.epoch == 4


def test_a_second_fit_goes_on_with_the_next_epoch():
    dataset = ids()
    seen = seen_by_fit(dataset, epochs=1) + seen_by_fit(dataset, epochs=2)
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]


def test_steps_per_epoch_spreads_a_pass_over_several_epochs():
    seen = seen_by_fit(ids(), epochs=9, steps_per_epoch=N // 3)
    passes = [sum(seen[start : start + 3], []) for start in (0, 3, 6)]
    assert passes == [by_hand(ids(), epoch) for epoch in range(3)]


def test_reading_the_last_batch_by_hand_in_every_epoch_changes_nothing():
    dataset = ids()
    peek = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: dataset[N - 1],
        on_train_batch_end=lambda batch, logs: dataset[N - 1],
    )
    seen = seen_by_fit(dataset, epochs=3, callbacks=[peek])
    assert seen == [by_hand(ids(), epoch) for epoch in range(3)]


def test_reading_by_hand_during_fit_costs_fit_no_example():
    dataset = ids()
    peek = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: dataset[5])
    for epoch in seen_by_fit(dataset, epochs=2, callbacks=[peek]):
        assert sorted(epoch) == list(range(1, N + 1))


@pytest.mark.parametrize("n", [1, 2])
def test_a_set_of_few_batches_has_one_order_per_epoch(n):
    """So few that tf.data reads the next pass to its end before the epoch ends."""
    dataset = ids(n)
    seen = seen_by_fit(dataset, epochs=6)
    assert seen == [by_hand(ids(n), epoch) for epoch in range(6)]
    assert dataset.epoch == 6


def test_a_fit_that_was_interrupted_is_followed_by_the_whole_epoch():
    def stop(batch, logs):
        if batch == 4:
            raise KeyboardInterrupt

    dataset = ids()
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        seen_by_fit(dataset, epochs=1, callbacks=[callback])
    assert seen_by_fit(dataset, epochs=2) == [by_hand(ids(), 0), by_hand(ids(), 1)]


def test_a_fit_that_ended_within_a_pass_is_followed_by_the_next():
    """Else a loop around `fit(steps_per_epoch=4, epochs=1)` would read the same four for ever."""
    dataset = ids()
    seen = [seen_by_fit(dataset, epochs=1, steps_per_epoch=4)[0] for _ in range(3)]
    assert seen == [by_hand(ids(), epoch)[:4] for epoch in range(3)]


def test_evaluate_and_predict_count_as_passes_and_reading_by_hand_does_not():
    dataset = ids()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    model.compile(loss="mse")
    assert [list(dataset)[0], dataset[0], dataset[N - 1]] and dataset.epoch == 0
    model.predict(dataset, verbose=0)
    assert dataset.epoch == 1
    seen = model.predict(dataset, verbose=0)[:, 0] / 2
    assert seen.tolist() == by_hand(ids(), 1)
    assert dataset.epoch == 2
    model.evaluate(ArrayDataset(dataset.x, dataset.x, batch_size=5), verbose=0)
    assert dataset.epoch == 2


def test_other_processes_are_refused():
    with pytest.raises(ValueError, match="Set `workers` alone"):
        ids().use_multiprocessing = True


def test_predict_reads_an_unshuffled_set_in_order():
    dataset = ArrayDataset(np.arange(8, dtype="float32")[:, None], shuffle=False, batch_size=3)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    np.testing.assert_array_equal(model.predict(dataset, verbose=0), 2 * dataset.x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((0, 2), "uint8")}, "0 examples"),
        ({"x": np.zeros((3, 2), "uint8"), "y": [1, 2]}, "3 examples and `y` 2"),
        ({"x": np.zeros((3, 2), "uint8"), "batch_size": 0}, "`batch_size` is 0"),
        ({"x": np.zeros((3, 2), "uint8"), "drop_remainder": True}, "at least 128"),
        ({"x": np.zeros((3, 2), "int64")}, "type int64"),
        ({"x": np.ma.masked_equal(np.eye(3, dtype="float32"), 1)}, "`x` has masked values"),
        ({"x": np.eye(3), "y": np.ma.masked_equal([0, 1, 2], 1)}, "`y` has masked values"),
        ({"x": np.eye(3), "seed": None}, "`seed` is None. Pass an integer, at least 0"),
        ({"x": np.eye(3), "seed": 1.5}, "`seed` is 1.5"),
        (
            {"x": [np.zeros((3, 2)), np.zeros((2, 2))]},
            "examples of different shapes.*pad_sequences",
        ),
    ],
)
def test_what_cannot_be_batched_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataset(**arguments)


ROWS = np.arange(12.0).reshape(6, 2)
TABLES = {
    "nullable": lambda pd, sparse: pd.DataFrame(ROWS, dtype="Float64"),
    "objects": lambda pd, sparse: pd.DataFrame(ROWS).astype(object),
    "words": lambda pd, sparse: pd.DataFrame(ROWS).astype(str),
    "a column of words": lambda pd, sparse: pd.DataFrame(ROWS).assign(name="a"),
    "structured": lambda pd, sparse: np.rec.fromarrays(ROWS.T, names="a,b"),
    "sparse": lambda pd, sparse: sparse.csr_matrix(ROWS),
    "masked rows": lambda pd, sparse: list(np.ma.array(ROWS, mask=[[False, True], *[[0, 0]] * 5])),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_taken_or_refused_with_the_line_that_makes_one(kind):
    pd, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    x = TABLES[kind](pd, sparse)
    if kind != "nullable":  # The numbers of pandas that may be missing are numbers.
        with pytest.raises(
            ValueError, match=r"`x` (holds no real|is sparse|has masked)"
        ) as refused:
            ArrayDataset(x)
        x = eval(str(refused.value).split("`")[-2], {"np": np, "pd": pd, "x": x})  # noqa: S307
    awaited = ROWS if kind != "masked rows" else np.where(ROWS == 1, 0, ROWS)
    np.testing.assert_array_equal(ArrayDataset(x).x, awaited)


@pytest.mark.parametrize(
    "path, line",
    [
        ("a.csv", "pd.read_csv(x)"),
        ("a.tsv", 'pd.read_csv(x, sep="\\t")'),
        ("a.XLSX", "pd.read_excel(x)"),
        ("a.h5", "h5py.File(x)"),
    ],
)
def test_the_path_of_a_table_is_to_be_read_first(path, line):
    with pytest.raises(ValueError) as refused:
        ArrayDataset(path)
    assert f"Read the table first: `{line}`" in str(refused.value)


def test_no_batch_beyond_the_last():
    with pytest.raises(IndexError, match="Batch 12 was asked for; there are 12"):
        ids()[12]
