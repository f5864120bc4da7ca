"""What is traced gives the numbers of what is not, to the bit."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

if keras.config.backend() != "torch":
    pytest.skip("the others compile their steps", allow_module_level=True)

from keras_gen.backend import torch_capture  # noqa: E402

# Their dropout draws from a generator that a trace cannot hold.
UNTRACED = [tiny.regular_vae, tiny.gan]


@pytest.fixture
def warm_up(monkeypatch):
    """Sets after how many steps a trace is made."""

    def warm_up(steps):
        monkeypatch.setattr(torch_capture, "WARM_UP", steps)

    warm_up(0)
    return warm_up


def dataset(model, n=20):
    y = tiny.labels(model, n)
    return kg.data.ArrayDataset(tiny.examples(model, n), y, batch_size=8)


def compiled(build, **kwargs):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01), **kwargs)
    return model


def traces(model):
    return list(torch_capture._models.get(model, {}).values())


@pytest.mark.parametrize("build", tiny.MODELS, ids=lambda build: build.__name__)
def test_a_traced_run_is_that_of_the_model_itself(warm_up, build):
    runs = []
    for steps in (0, 3, 10_000):  # From the start, in the midst of it, never.
        warm_up(steps)
        model = compiled(build)
        history = model.fit(dataset(model), epochs=3, verbose=0).history
        made = [isinstance(trace, torch_capture._Trace) for trace in traces(model)]
        assert made and any(made) == (steps < 10_000 and build not in UNTRACED)
        weights = [ops.convert_to_numpy(weight) for weight in model.variables]
        runs.append([*weights, *(np.array(history[name]) for name in sorted(history))])
    for values in zip(*runs, strict=True):
        np.testing.assert_array_equal(values[0], values[2])
        np.testing.assert_array_equal(values[1], values[2])


def test_attributes_and_frozen_layers_are_obeyed(warm_up):
    losses = []
    for steps in (0, 10_000):
        warm_up(steps)
        model = compiled(tiny.vae)
        model.fit(dataset(model), epochs=2, verbose=0)
        model.beta = 100.0
        history = model.fit(dataset(model), epochs=1, verbose=0).history
        assert history["loss"][0] > 10 * history["kl"][0]
        model.encoder.trainable = False
        tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01))
        frozen = [ops.convert_to_numpy(weight) for weight in model.encoder.weights]
        after = model.fit(dataset(model), epochs=1, verbose=0).history
        for weight, value in zip(model.encoder.weights, frozen, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)
        losses.append([*history["loss"], *after["loss"]])
    assert losses[0] == losses[1]


class Branching(kg.VAE):
    def objective(self, *data, **kwargs):
        loss, terms = super().objective(*data, **kwargs)
        if float(loss.detach()) > 0:
            loss = 2 * loss
        return loss, terms


class WithATensor(kg.VAE):
    """Its tensor is no variable, and known to nobody."""

    hidden = (ops.ones(()),)

    def objective(self, *data, **kwargs):
        loss, terms = super().objective(*data, **kwargs)
        return loss * self.hidden[0], terms


@pytest.mark.parametrize("Model", [Branching, WithATensor])
def test_what_a_trace_cannot_hold_stays_as_it_is(warm_up, Model):
    keras.utils.set_random_seed(0)
    model = Model(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
    model.compile(keras.optimizers.SGD(0.001))
    model.fit(dataset(model), epochs=1, verbose=0)
    assert set(traces(model)) == {-1}


def test_an_eager_model_is_not_traced(warm_up):
    model = compiled(tiny.vae, run_eagerly=True)
    model.fit(dataset(model), epochs=1, verbose=0)
    assert traces(model) == []


def test_each_size_of_a_batch_has_a_trace(warm_up):
    model = compiled(tiny.vae)
    model.fit(dataset(model, 20), epochs=2, verbose=0)  # 8, 8 and 4
    assert len(traces(model)) == 2


def test_what_changes_in_every_step_fills_no_memory(warm_up):
    class Counting(kg.VAE):
        steps = 0

        def train_step(self, data):
            self.steps += 1
            return super().train_step(data)

    model = Counting(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
    model.compile(keras.optimizers.SGD(0.001))
    warm_up(5)
    model.fit(dataset(model), epochs=50, verbose=0)
    assert len(traces(model)) == torch_capture.MOST
