"""What is traced gives the numbers of what is not, to the bit."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

if keras.config.backend() != "torch":
    pytest.skip("the others compile their steps", allow_module_level=True)

from keras_gen.backend import torch_capture  # noqa: E402

# Dropout draws from a generator that a trace cannot hold; of the GAN it is in one player.
UNTRACED = [tiny.regular_vae]


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


class Changed(kg.VAE):
    """Its loss is multiplied by `factor()`, of which more and more becomes known."""

    factor = staticmethod(lambda model: 1.0)

    def objective(self, *data, **kwargs):
        loss, terms = super().objective(*data, **kwargs)
        return loss * self.factor(self), {**terms, "loss": loss * self.factor(self)}


def changed_vae(factor=lambda model: 1.0):
    keras.utils.set_random_seed(0)
    model = Changed(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
    model.factor = factor
    model.compile(keras.optimizers.SGD(0.001))
    return model


def losses(model, steps=4, before=lambda model, step: None):
    x, found = tiny.images(8), []
    for step in range(steps):
        before(model, step)
        found.append(float(model.train_on_batch(x, return_dict=True)["loss"]))
        model.reset_metrics()
    return found


DRAWS = np.random.default_rng(0)
OUTSIDE = keras.Variable(1.0)
TENSOR = ops.ones(())


def counted(model):
    OUTSIDE.assign_add(1.0)
    return 2.0


@pytest.mark.parametrize(
    "factor",
    [
        lambda model: 2.0 if float(ops.stop_gradient(model.encoder.weights[0][0, 0])) else 1.0,
        lambda model: TENSOR,
        lambda model: float(model.optimizer.iterations) + 1,
        lambda model: ops.cast(model.optimizer.iterations, "float32") + 1,
        lambda model: ops.convert_to_tensor(OUTSIDE),
        counted,
        lambda model: float(DRAWS.random()),
        lambda model: ops.convert_to_tensor(DRAWS.random(1).astype("float32"))[0],
    ],
    ids=["branch", "tensor", "number", "optimizer", "outside", "assigned", "drawn", "array"],
)
def test_what_a_trace_cannot_hold_stays_as_it_is(warm_up, factor):
    model = changed_vae(factor)
    losses(model, 2)
    assert set(traces(model)) == {-1}


def beta_of_numpy(model, step):
    model.beta = np.linspace(0, 50, 4)[step]


def another_likelihood(model, step):
    model.likelihood = kg.likelihoods.Gaussian(0.1 * (step + 1))


class Tempered(kg.likelihoods.Bernoulli):
    """Reads a number behind a property, and one of another likelihood within it.

    And one named as what Keras changes in a model.
    """

    def __init__(self, inner=None):
        super().__init__()
        self._temperature, self.inner = 1.0, inner
        self.history = 1.0

    def value_log_prob(self, x, parameters):
        inner = 1.0 if self.inner is None else self.inner.temperature
        scale = self._temperature * inner * self.history
        return scale * super().value_log_prob(x, parameters)

    @property
    def temperature(self):
        return self._temperature

    @temperature.setter
    def temperature(self, value):
        self._temperature = value


def private_attribute(model, step):
    if step == 0:
        model.likelihood = Tempered()
    model.likelihood.temperature = step + 1.0


def attribute_of_a_part(model, step):
    if step == 0:
        model.likelihood = Tempered(Tempered())
    model.likelihood.inner.temperature = step + 1.0


def attribute_with_a_name_of_kerass(model, step):
    if step == 0:
        model.likelihood = Tempered()
    model.likelihood.history = step + 1.0


def another_decoder(model, step):
    if step == 2:
        model.decoder.get_layer("parameters").activation = keras.activations.tanh
        model.compile(keras.optimizers.SGD(0.001))


@pytest.mark.parametrize(
    "before",
    [
        *(beta_of_numpy, another_likelihood, private_attribute, attribute_of_a_part),
        *(attribute_with_a_name_of_kerass, another_decoder),
    ],
    ids=lambda f: f.__name__,
)
def test_what_changes_is_traced_anew(warm_up, before):
    found = []
    for steps in (0, 10_000):
        warm_up(steps)
        found.append(losses(changed_vae(), before=before))
    assert found[0] == found[1] and len(set(found[0])) == 4


def test_a_penalty_that_changes_is_traced_anew(warm_up):
    found = []
    for steps in (0, 10_000):
        warm_up(steps)
        model = compiled(tiny.r3gan)
        for _ in range(3):
            logs = model.train_on_batch(tiny.examples(model), return_dict=True)
            model.penalties[0].gamma = 100.0
        found.append(logs)
    assert found[0] == found[1]


class TwoInputs(kg.VAE):
    """Learns to give `target` of what may be the same tensor."""

    def train_step(self, data):
        x = self.unpack(data)[0]
        target = x if self.same else 1 - x
        hidden = self.encoder(x, training=True)[0] if self.leads_back else x
        loss = kg.backend.descend(
            self.optimizer, self.trainable_variables, self.distance, x, target, hidden
        )
        return self.track({**dict.fromkeys(self.logged, loss)}, x)

    train_step = kg.backend.step(train_step)

    def distance(self, x, target, hidden):
        mean, _ = self.encoder(x, training=True)
        return ops.mean(ops.square(self.decoder(mean, training=True) - target)) + ops.mean(hidden)


@pytest.mark.parametrize("leads_back", [False, True])
def test_inputs_may_be_the_same_or_lead_back(warm_up, leads_back):
    found = []
    for steps in (0, 10_000):
        warm_up(steps)
        keras.utils.set_random_seed(0)
        model = TwoInputs(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
        model.leads_back, model.same = leads_back, [True]
        model.compile(keras.optimizers.SGD(0.1))
        x = tiny.images(8)
        model.train_on_batch(x)
        model.same.clear()  # Not seen by a trace, and no part of it.
        model.train_on_batch(x)
        found.append([ops.convert_to_numpy(weight) for weight in model.weights])
    for traced, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(traced, plain)


def test_a_variable_may_take_what_another_held(warm_up):
    class Swapping(kg.VAE):
        def objective(self, *data, **kwargs):
            self.earlier.assign(self.now)
            self.now.assign(self.now + 1)
            return super().objective(*data, **kwargs)

    model = Swapping(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
    model.earlier, model.now = (model.add_weight(shape=(), trainable=False) for _ in range(2))
    model.now.assign(0.0)
    model.compile(keras.optimizers.SGD(0.001))
    losses(model, 3)
    assert isinstance(traces(model)[0], torch_capture._Trace)
    assert float(ops.convert_to_numpy(model.earlier)) == 2
    assert float(ops.convert_to_numpy(model.now)) == 3


def test_what_is_written_to_is_read_before_and_after(warm_up):
    class Writing(kg.VAE):
        def objective(self, x, *data, **kwargs):
            rows, kernel = ops.reshape(x, (-1, 8, 8)), ops.ones((8, 2))
            once = ops.matmul(rows, kernel)
            once += 1.0  # In place.
            again = ops.matmul(rows, kernel)
            copied = ops.copy(once)
            copied[0] = 0.0
            loss, terms = super().objective(x, *data, **kwargs)
            sums = [ops.sum(value) for value in (once, again, ops.copy(copied), once)]
            return loss, {**terms, "loss": sums[0] + 3 * sums[1] + 7 * sums[2]}

    found = []
    for steps in (0, 10):
        warm_up(steps)
        model = Writing(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
        model.compile("sgd")
        found.append(losses(model, 2))
        made = [isinstance(trace, torch_capture._Trace) for trace in traces(model)]
        assert made == [steps == 0]
    assert found[0] == found[1]


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


@pytest.mark.parametrize("build", [tiny.vae, tiny.conditional_vae], ids=["vae", "conditional"])
def test_a_traced_likelihood_is_that_of_the_model_itself(warm_up, build):
    runs = []
    for steps in (0, 10_000):
        warm_up(steps)
        model = compiled(build)
        labels = [] if (y := tiny.labels(model, 3)) is None else [y]
        x = tiny.examples(model, 3)
        values = [model.log_likelihood(x, *labels, num_samples=5, chunk_size=2, verbose=0)]
        values.append(model.log_likelihood(x, *labels, num_samples=5, chunk_size=2, verbose=0))
        ((drawer, _),) = model._drawers.made.values()
        made = [isinstance(trace, torch_capture._Trace) for trace in traces(drawer)]
        assert made == [steps == 0]
        runs.append(np.array(values))
    np.testing.assert_array_equal(*runs)
    assert (runs[0][0] != runs[0][1]).all()


def test_a_traced_likelihood_of_half_precision_is_that_of_the_model_itself(warm_up):
    values = []
    for steps in (0, 10_000):
        warm_up(steps)
        keras.utils.set_random_seed(3)
        with_policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
            model = kg.VAE(*networks, likelihood=kg.likelihoods.Gaussian(0.0123), seed=1)
            values.append(model.log_likelihood(tiny.images(3), 4, chunk_size=2, verbose=0))
        finally:
            keras.config.set_dtype_policy(with_policy)
    np.testing.assert_array_equal(*values)


def test_validation_and_predictions_make_no_other_trace(warm_up):
    model, x = compiled(tiny.vae), tiny.images(8)
    model.fit(x, epochs=3, validation_data=x, verbose=0)
    (trace,) = traces(model)
    model.predict(x, verbose=0)
    model.fit(x, validation_data=x, callbacks=[keras.callbacks.EarlyStopping()], verbose=0)
    assert traces(model) == [trace]


def test_data_are_freed_when_fit_ends(warm_up):
    model, validation = compiled(tiny.vae), dataset(tiny.vae())
    model.fit(tiny.images(8), epochs=3, validation_data=validation, verbose=0)
    assert traces(model)
    held = weakref.ref(validation)
    del validation
    gc.collect()
    assert held() is None


def test_a_model_that_was_traced_trains_within_autocast(warm_up):
    import torch

    found = []
    for steps in (0, 10_000):
        warm_up(steps)
        model, x = compiled(tiny.vae), tiny.images(8)
        losses = [model.train_on_batch(x) for _ in range(2)]
        with torch.autocast("cpu"):
            losses.append(model.train_on_batch(x))
        found.append(losses)
    assert found[0] == found[1]


def test_a_model_that_was_traced_is_freed(warm_up):
    model = compiled(tiny.vae)
    model.fit(dataset(model), verbose=0)
    model.log_likelihood(tiny.images(2), 2, verbose=0)
    assert any(isinstance(trace, torch_capture._Trace) for trace in traces(model))
    seen = weakref.ref(model)
    del model
    gc.collect()
    assert seen() is None


def test_a_loss_of_one_number_in_a_vector_is_descended_on(warm_up):
    class Vector(kg.VAE):
        def objective(self, *args, **kwargs):
            loss, terms = super().objective(*args, **kwargs)
            return loss[None], terms

    model = Vector(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)), seed=1)
    model.compile(keras.optimizers.SGD(0.01))
    losses = model.fit(dataset(model), epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]


def test_products_by_onednn_are_traced_to_the_bit(warm_up, monkeypatch):
    from keras_gen.backend import torch_product

    taken = []
    multiplied = torch_product._multiplied
    monkeypatch.setattr(torch_product, "SMALL", 0)
    monkeypatch.setattr(torch_product, "_is_faster", lambda: True)
    monkeypatch.setattr(
        torch_product, "_multiplied", lambda *args: [taken.append(1), multiplied(*args)][1]
    )
    test_a_traced_run_is_that_of_the_model_itself(warm_up, tiny.vae)
    assert taken
