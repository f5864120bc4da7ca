"""Parts that people write themselves: what they give is checked, and the message has the line."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg

ROWS = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")


def vae(kind=kg.VAE, likelihood="gaussian"):
    model = kind(*kg.networks.mlp_vae((6,), 2, (4,)), likelihood=likelihood, seed=0)
    model.compile(keras.optimizers.SGD(0.01))
    return model


class SquaredError(kg.likelihoods.Likelihood):
    axis = None

    def value_log_prob(self, x, parameters):
        values = -ops.square(x - parameters)
        return values if self.axis is None else ops.sum(values, axis=self.axis)

    def mean(self, parameters):
        return parameters


class SummedTooEarly(SquaredError):
    axis = -1


class MeanOverTheBatch(SquaredError):
    def log_prob(self, x, parameters):
        return ops.mean(self.value_log_prob(x, parameters))


class NotSummed(SquaredError):
    def log_prob(self, x, parameters):
        return self.value_log_prob(x, parameters)


@pytest.mark.once
@pytest.mark.parametrize(
    "likelihood, message",
    [
        (SummedTooEarly(), "`value_log_prob` of SummedTooEarly .* one number for each value"),
        (MeanOverTheBatch(), r"`log_prob` of MeanOverTheBatch gives the shape \(\)"),
        (NotSummed(), "`log_prob` of NotSummed .* one number for each example"),
    ],
)
def test_a_likelihood_gives_a_number_for_each_value_or_example(likelihood, message):
    with pytest.raises(ValueError, match=message):
        vae(likelihood=likelihood).train_on_batch(ROWS)


@pytest.mark.once
def test_a_likelihood_without_draws_says_so():
    assert vae(likelihood=SquaredError()).sample(2).shape == (2, 6)
    with pytest.raises(NotImplementedError, match="SquaredError has no `sample`"):
        vae(likelihood=SquaredError()).sample(2, draw_pixels=True)


class LossAlone(kg.VAE):
    def objective(self, *args, **kwargs):
        loss, _ = super().objective(*args, **kwargs)
        return loss


class LossOfEach(kg.VAE):
    def objective(self, x, *args, **kwargs):
        loss, terms = super().objective(x, *args, **kwargs)
        return loss + ops.sum(x, axis=1), terms


class NoLogs(kg.VAE):
    @kg.backend.step
    def train_step(self, data):
        super().train_step(data)


@pytest.mark.parametrize(
    "kind, message",
    [
        (LossAlone, "return loss, terms"),
        (LossOfEach, r"The loss has shape \(8,\)"),
        (NoLogs, r"return self.update_metrics\(terms, x\)"),
    ],
)
def test_a_step_gives_logs_and_an_objective_one_loss_with_its_terms(kind, message):
    with pytest.raises(ValueError, match=message):
        vae(kind).train_on_batch(ROWS)


def test_a_step_of_ones_own_needs_no_decorator():
    class Plain(kg.VAE):
        def train_step(self, data):
            x, *rest = self.unpack(data)
            variables = self.trainable_variables
            _, terms = kg.backend.descend(self.optimizer, variables, self.objective, x, *rest)
            return self.update_metrics({**terms, "twice": 2 * terms["kl"]}, x)

    model = vae(Plain)
    logs = model.train_on_batch(ROWS, return_dict=True)
    assert int(model.optimizer.iterations) == 1
    np.testing.assert_allclose(logs["twice"], 2 * logs["kl"], rtol=1e-6)


def test_a_gradient_outside_a_step_is_refused():
    model = vae()
    with pytest.raises(RuntimeError, match="inside a step. Decorate the `train_step`"):
        kg.backend.descend(model.optimizer, model.trainable_variables, lambda: ops.zeros(()))


@pytest.mark.once
@pytest.mark.parametrize("argument", ["loss", "penalties"])
def test_wgan_has_its_own_loss(argument):
    networks = kg.networks.point_gan((6,), 2, (4,))
    with pytest.raises(ValueError, match=f"leave `{argument}` out"):
        kg.WGAN(*networks, latent_dim=2, **{argument: "r1"})
