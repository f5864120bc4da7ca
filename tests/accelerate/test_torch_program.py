"""A recorded step of PyTorch gives what the eager one gives, with each of Keras's optimizers."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "torch", reason="only PyTorch's steps are recorded"
)

OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion", "Lamb", "Ftrl")


def trained(optimizer, cls=kg.VAE, **options):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    x = keras.Input((2, 2, 1))
    code = encoder(x)
    encoder = keras.Model(x, [keras.layers.Dense(2)(code), keras.layers.Dense(2)(code)])
    z = keras.Input((2,))
    decoder = keras.Model(z, keras.layers.Reshape((2, 2, 1))(keras.layers.Dense(4)(z)))
    model = cls(encoder, decoder, seed=0)
    model.compile(optimizer, **options)
    data = np.random.default_rng(0).random((20, 2, 2, 1), "float32")
    model.fit(data, batch_size=8, epochs=3, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_recorded_step_is_the_eager_one(name):
    kind = getattr(keras.optimizers, name)
    eager = trained(kind(0.01), run_eagerly=True)
    recorded = trained(kind(0.01), jit_compile=True)
    assert int(recorded.optimizer.iterations) == 9
    for ours, theirs in zip(recorded.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


class ReadsItsLoss(kg.VAE):
    def objective(self, x, sample_weight, y=None, *, training=True):
        loss, terms = super().objective(x, sample_weight, y, training=training)
        return loss * float(ops.convert_to_numpy(ops.stop_gradient(loss))), terms


def test_a_number_that_would_be_a_constant_is_refused():
    with pytest.raises(ValueError, match="NumPy numbers of a tensor.*jit_compile=False"):
        trained("sgd", ReadsItsLoss, jit_compile=True)


def test_a_branch_names_the_switch():
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 9, warmup_target=0.1, warmup_steps=3)
    with pytest.raises(ValueError, match="branches on the value.*jit_compile=False"):
        trained(keras.optimizers.SGD(schedule), jit_compile=True)
