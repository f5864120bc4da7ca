"""What a loss or gradient that is not finite leaves behind: nothing but a note of it."""

import contextlib
import threading

import keras
from keras import ops


class _Open(threading.local):
    def __init__(self):
        self.reports = None  # Of the open step: (optimizer, finite, number of the update).


_open = _Open()


@contextlib.contextmanager
def guarded(model, training):
    """Around the body of a step; one inside another is part of it.

    Where a descent was not finite, the moving statistics of the networks, which its data have
    gone through, are put back. A model that has `note_descents` is told of all descents.
    """
    if _open.reports is not None or not training:
        yield
        return
    statistics = [
        variable
        for variable in model.non_trainable_variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]
    before = [ops.copy(ops.convert_to_tensor(variable)) for variable in statistics]
    _open.reports = []
    try:
        yield
        reports = _open.reports
    finally:
        _open.reports = None
    if not reports:
        return
    all_finite = reports[0][1]
    for _, finite, _ in reports[1:]:
        all_finite = ops.logical_and(all_finite, finite)
    for variable, value in zip(statistics, before, strict=True):
        variable.assign(ops.where(all_finite, ops.convert_to_tensor(variable), value))
    if hasattr(model, "note_descents"):
        model.note_descents(reports)


def sum_of_squares(gradients):
    """Finite where all squares are, as Adam and others take them, and do not add up to too much."""
    return sum(ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients)


def is_finite(optimizer, loss, gradients, total=sum_of_squares):
    """Whether an update may be made, a scalar; `total` is a faster way to `sum_of_squares`.

    A finite gradient whose square overflows would spoil the optimizer's state. Gradients under
    loss scaling are not looked at: there an overflow is part of the method, and the optimizer
    itself leaves the update out.
    """
    loss = ops.cast(loss, "float32")
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return ops.isfinite(loss)
    return ops.isfinite(loss + total(gradients))


def report(optimizer, finite):
    """Keeps for the end of the step what was found, before the update is made."""
    if _open.reports is not None:
        update = ops.cast(ops.convert_to_tensor(optimizer.iterations), "int32") + 1
        _open.reports.append((optimizer, finite, update))
