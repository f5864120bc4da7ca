"""Several steps as one program give what they give one after the other, to the bit."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny

if keras.config.backend() != "jax":
    pytest.skip("TensorFlow's loop is Keras's, and torch has none", allow_module_level=True)


def fitted(steps, build, n=32, **kwargs):
    """A model, and all numbers that come of its training in batches of 8 and its evaluation."""
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, keras.optimizers.Adam, steps_per_execution=steps, **kwargs)
    x, y = tiny.examples(model, n), tiny.labels(model, n)
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    evaluated = model.evaluate(x, y, batch_size=8, verbose=0)
    return model, [history, evaluated, *map(ops.convert_to_numpy, model.weights)]


def assert_equal(results, others):
    keras.tree.map_structure(np.testing.assert_array_equal, results, others)


@pytest.mark.parametrize("build", [tiny.vae, tiny.gan])
def test_an_execution_is_one_program(build):
    _, alone = fitted(1, build)
    model, together = fitted(4, build)
    assert_equal(together, alone)
    for function in (model.train_function, model.test_function):
        assert function.fused._cache_size() == 1  # Compiled, and once in two epochs.
        assert function.step._cache_size() == 0  # Never run by itself.


def test_what_is_left_goes_step_by_step():
    _, alone = fitted(1, tiny.vae, n=60)  # 8 batches, the last of 4.
    model, together = fitted(3, tiny.vae, n=60)
    assert_equal(together, alone)
    assert model.train_function.step._cache_size() == 2  # For 8 and for 4.


def test_a_batch_by_itself_is_one_step():
    model, _ = fitted(4, tiny.vae)
    model.train_on_batch(tiny.examples(model, 8))
    assert tiny.steps(model) == 9


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}])
def test_what_is_not_compiled_stays_so(options):
    model = tiny.vae()
    tiny.compile_model(model, keras.optimizers.Adam, steps_per_execution=4, **options)
    model.make_train_function()
    assert not hasattr(model.train_function, "fused")


def test_a_convolution_is_not_run_in_a_loop_on_a_cpu():
    _, alone = fitted(1, tiny.conv_vae)
    model, together = fitted(4, tiny.conv_vae)
    assert_equal(together, alone)
    assert bool(model.train_function.fused) == (not kg.backend.dilates_slowly())


def test_logs_may_be_numbers_of_python():
    class Logs(kg.VAE):
        @kg.backend.step
        def train_step(self, data):
            return {**super().train_step(data), "one": 1.0}

    def build():
        return Logs(*kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,)))

    _, (history, *_) = fitted(4, build)
    assert history["one"] == [1.0, 1.0]
