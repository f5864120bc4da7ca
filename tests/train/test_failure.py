"""The pictures of failure: values at equilibrium, the norm of a gradient, and the files."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from train import failure
from train.gradients import MeasuredAdam


def test_the_optimizer_adds_up_norms_and_is_adam_all_the_same():
    grads = [[3.0, 0.0], [4.0]], [[0.0, 5.0], [12.0]]
    updated = []
    for kind in (keras.optimizers.Adam, MeasuredAdam):
        variables = [keras.Variable([1.0, 2.0]), keras.Variable([3.0])]
        optimizer = kind(0.1)
        for values in grads:
            optimizer.apply([ops.convert_to_tensor(value) for value in values], variables)
        updated.append([ops.convert_to_numpy(variable) for variable in variables])
    assert float(ops.convert_to_numpy(optimizer.sum_of_norms)) == pytest.approx(5 + 13)
    for adam, measured in zip(*updated, strict=True):
        np.testing.assert_array_equal(adam, measured)


@pytest.mark.once
def test_three_games_become_two_pictures(monkeypatch, tmp_path):
    monkeypatch.setattr(failure, "EPOCHS", 2)
    monkeypatch.setattr(failure, "SHOWN", (1, 2))
    played, play = [], failure.play

    def remembered(*arguments):
        played.append(play(*arguments))
        return played[-1]

    monkeypatch.setattr(failure, "play", remembered)
    failure.main(["--dataset", "ring", "--steps", "2", "--out", str(tmp_path)])
    minimax, non_saturating, relativistic = (game.at_equilibrium for game in played)
    assert minimax == pytest.approx((2 * math.log(2), -math.log(2)))
    assert non_saturating == pytest.approx((2 * math.log(2), math.log(2)))
    assert relativistic == pytest.approx((math.log(2), math.log(2)))
    assert all(norm > 0 for game in played for norm in game.history["g_gradient"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "failure_ring.png",
        "failure_ring_curves.png",
    }
