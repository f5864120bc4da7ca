"""Data in memory on TensorFlow: one pipeline, the batches and the epochs that Keras would read."""

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.models import tiny

if keras.config.backend() != "tensorflow":
    pytest.skip("tf.data reads for TensorFlow alone", allow_module_level=True)

from keras_gen.accelerate import tensorflow_data


class Plain(kg.data.ArrayDataset):
    """A subclass, which Keras reads itself."""


def fitted(kind, labels, **options):
    """Return the weights, the history and the epochs read after some fits."""
    keras.utils.set_random_seed(0)
    model = tiny.vae()
    model.compile(keras.optimizers.SGD(1e-3))
    x = tiny.examples(model, 44)
    y = np.arange(44) % 3 if labels else None
    train, test = kind(x, y, batch_size=8, seed=1), kind(x[:12], batch_size=8, seed=2)
    history = model.fit(train, validation_data=test, epochs=2, verbose=0, **options).history
    evaluated = model.evaluate(test, verbose=0)
    history = [history, model.fit(train, epochs=3, verbose=0, **options).history]
    return [*model.get_weights(), history, evaluated, train.epoch, test.epoch]


@pytest.mark.parametrize("options", [{}, {"steps_per_epoch": 3}, {"steps_per_epoch": 6}])
@pytest.mark.parametrize("labels", [False, True])
def test_training_reads_what_keras_would_read(labels, options):
    results = [fitted(kind, labels, **options) for kind in (kg.data.ArrayDataset, Plain)]
    keras.tree.map_structure(np.testing.assert_array_equal, *results)


def test_a_pipeline_is_made_once_and_goes_with_its_data():
    model = tiny.vae()
    model.compile("sgd")
    train = kg.data.ArrayDataset(tiny.examples(model, 16), batch_size=8)
    model.fit(train, verbose=0)
    (pipeline,) = tensorflow_data._pipelines[train].values()
    model.fit(train, verbose=0)
    assert list(tensorflow_data._pipelines[train].values()) == [pipeline]
    train.batch_size = 4
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: steps.append(step))
    model.fit(train, callbacks=[count], verbose=0)
    assert len(steps) == 4
    gone = weakref.ref(train)
    del train
    model.fit(tiny.examples(model, 16), verbose=0)
    gc.collect()
    assert gone() is None


def test_several_workers_and_subclasses_are_read_by_keras():
    model = tiny.vae()
    x = tiny.examples(model, 16)
    assert not tensorflow_data._is_replaced(Plain(x, batch_size=8))
    train = kg.data.ArrayDataset(x, batch_size=8)
    train.workers = 2
    assert not tensorflow_data._is_replaced(train)
