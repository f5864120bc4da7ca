"""The user's Python runs in each step: by default on PyTorch, eagerly on every backend."""

import keras
import pytest

import keras_gen as kg
from tests.models import tiny

STEPS = 40


@pytest.fixture(params=["default", "eager"])
def mode(request, backend):
    if request.param == "default" and backend != "torch":
        pytest.skip("TensorFlow and JAX trace the default step")
    return {"run_eagerly": True} if request.param == "eager" else {}


class Halved(keras.layers.Layer):
    """Multiplies by its `rate`, and says so."""

    rate = 0.5

    def call(self, x):
        print(f"rate {self.rate}")
        return self.rate * x


def vae(loss="bernoulli", layer=None):
    x, z = keras.Input((4,)), keras.Input((2,))
    encoder = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    h = keras.layers.Dense(4)(z)
    return kg.VAE(encoder, keras.Model(z, layer(h) if layer else h), loss, seed=1)


def train(model, mode, steps=STEPS):
    tiny.compile_model(model, tiny.sgd, **mode)
    x = tiny.images(2, (model.example_shape[0],))
    for _ in range(steps):
        model.reset_metrics()
        yield model.train_on_batch(x, return_dict=True)


def test_a_loss_that_counts_its_calls_counts_every_step_of_a_vae(mode):
    calls = []

    class Counting(kg.likelihoods.Bernoulli):
        def log_prob(self, x, parameters):
            calls.append(1)
            return super().log_prob(x, parameters)

    list(train(vae(Counting()), mode))
    assert len(calls) == STEPS


def test_a_loss_that_counts_its_calls_counts_every_step_of_a_gan(mode):
    calls = []

    class Counting(kg.losses.Wasserstein):
        def discriminator_loss(self, real_logits, fake_logits):
            calls.append("d")
            return super().discriminator_loss(real_logits, fake_logits)

        def generator_loss(self, real_logits, fake_logits):
            calls.append("g")
            return super().generator_loss(real_logits, fake_logits)

    players = (
        keras.Sequential([keras.Input((n,)), keras.layers.Dense(m)]) for n, m in [(2, 4), (4, 1)]
    )
    list(train(kg.GAN(*players, latent_dim=2, loss=Counting()), mode))
    assert calls == ["d", "g"] * STEPS


def test_what_a_layer_prints_is_printed_in_every_step(mode, capsys):
    model = vae(layer=Halved())
    capsys.readouterr()
    list(train(model, mode))
    assert capsys.readouterr().out.split("\n")[:-1] == ["rate 0.5"] * STEPS


def test_a_changed_rate_counts_from_the_next_step_on(mode, capsys):
    layer = Halved()
    logs = train(vae(layer=layer), mode)
    for step in range(STEPS):
        layer.rate = 0.5 if step < 20 else 0.0
        capsys.readouterr()
        reconstruction = float(next(logs)["reconstruction"])
        assert capsys.readouterr().out == f"rate {layer.rate}\n"
        # Logits of 0 cost log 2 for each of the 4 values.
        assert (reconstruction == pytest.approx(4 * 0.6931472, rel=1e-6)) is (layer.rate == 0.0)
