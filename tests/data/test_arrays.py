import random

import keras
import numpy as np
import pytest

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
    """The numbers that a model meets in `fit`, told from its running mean loss, per epoch."""
    layers = [
        keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        keras.layers.ActivityRegularization(l1=1.0),
    ]
    model = keras.Sequential([keras.Input((1,)), *layers] if built else layers)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    record = Record()
    model.fit(dataset, epochs=epochs, callbacks=[*callbacks, record], verbose=0, **kwargs)
    return [
        [
            int(i)
            for i in np.rint(np.diff(np.array(means) * np.arange(1, len(means) + 1), prepend=0))
        ]
        for means in record.means
    ]


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.means = []

    def on_epoch_begin(self, epoch, logs=None):
        self.means.append([])

    def on_train_batch_end(self, batch, logs=None):
        self.means[-1].append(float(logs["loss"]))


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
    assert seen_by_fit(ids(), epochs=2, shuffle=False) == first


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
    seen = seen_by_fit(ids(), epochs=6, steps_per_epoch=N // 3)
    passes = [sum(seen[:3], []), sum(seen[3:], [])]
    assert passes == [by_hand(ids(), 0), by_hand(ids(), 1)]


def test_reading_by_hand_during_fit_costs_fit_no_example():
    dataset = ids()
    peek = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: dataset[5])
    for epoch in seen_by_fit(dataset, epochs=2, callbacks=[peek]):
        assert sorted(epoch) == list(range(1, N + 1))


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
    ],
)
def test_what_cannot_be_batched_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataset(**arguments)


def test_no_batch_beyond_the_last():
    with pytest.raises(IndexError, match="Batch 12 was asked for; there are 12"):
        ids()[12]
