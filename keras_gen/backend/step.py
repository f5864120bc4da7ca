"""The step that is running, and whether an update of it may be made."""

import functools
import threading

import keras
from keras import ops


class _Running(threading.local):  # TensorFlow's replicas are threads.
    def __init__(self):
        self.step = None


_running = _Running()


def running():
    """Return the `Step` that is running in this thread, or None."""
    return _running.step


def enclosing():
    """Return the running `Step`; RuntimeError outside of one."""
    if _running.step is None:
        raise RuntimeError(
            "A gradient is taken inside a step. Decorate the `train_step` or `test_step` that "
            "asks for it with `@keras_gen.backend.step`."
        )
    return _running.step


class Step:
    """A training or test step of a model: a transaction that each `descend` adds to.

    Within `with Step(model, training):` it is the running one.

    Args:
        model: The model whose step it is.
        training: Whether the step trains; a test step descends on nothing.

    Attributes:
        descents: Pairs of an optimizer and whether its update was made, a bool or a tensor.
        scopes: The open scopes, the innermost last, where the variables' values are explicit.
    """

    def __init__(self, model, training):
        self.model, self.training = model, training
        self.descents, self.scopes = [], []

    def __enter__(self):
        _running.step = self
        return self

    def __exit__(self, *error):
        _running.step = None

    def run(self, body, data):
        """Run `body(model, data)` and return its logs.

        If a descent was left out, it is counted, and the moving statistics are put back.
        """
        statistics = _moving_statistics(self.model) if self.training else []
        means = getattr(self.model, "means", None)
        before = getattr(means, "updates", None)
        logs = body(self.model, data)
        kept = before is None or means.updates > before or means.names[0] not in (logs or {})
        if logs is None or not kept:
            came = "nothing" if logs is None else "scalars of one batch, so `fit` would log 0"
            end = "return self.update_metrics(terms, x)"
            raise ValueError(f"`{body.__name__}` returns {came}. Let it end in `{end}`.")
        made = [finite for _, finite in self.descents]
        if all(finite is True for finite in made):
            return logs
        all_made = functools.reduce(ops.logical_and, map(ops.convert_to_tensor, made))
        for variable, before in statistics:
            variable.assign(ops.where(all_made, ops.convert_to_tensor(variable), before))
        skipped = getattr(self.model, "skipped_updates", None)
        if skipped is not None:
            skipped.assign_add(ops.stack([self._skipped(o) for o, _ in self.model.optimized()]))
        return logs

    def note(self, optimizer, finite):
        """Keep whether an update was made, a bool or a scalar tensor."""
        self.descents.append((optimizer, finite))

    def _skipped(self, optimizer):
        """Return how many updates of an optimizer were left out, an int32 scalar."""
        made = [ops.cast(finite, "int32") for other, finite in self.descents if other is optimizer]
        return sum((1 - finite for finite in made), ops.zeros((), "int32"))


def _moving_statistics(model):
    return [
        (variable, ops.copy(ops.convert_to_tensor(variable)))
        for variable in model.non_trainable_variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]


def sum_of_squares(gradients):
    """Return a scalar that is finite where every square is, as Adam and others form it."""
    return sum(ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients)


def is_finite(optimizer, loss, gradients, total=sum_of_squares):
    """Return whether an update may be made, a boolean scalar.

    A finite gradient whose square overflows would spoil the optimizer's state. Gradients under
    loss scaling are not looked at: an overflow is part of the method there, and the optimizer
    itself leaves the update out.
    """
    loss = ops.cast(loss, "float32")
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return ops.isfinite(loss)
    return ops.isfinite(loss + total(gradients))


def loss_of(output):
    """Return the loss in what a `loss_fn` gives, a scalar or `(scalar, aux)`."""
    loss = output[0] if isinstance(output, tuple) else output
    if loss is None:
        raise ValueError("The loss is None. Let the objective end in `return loss, terms`.")
    if shape := tuple(getattr(loss, "shape", ())):
        raise ValueError(f"The loss has shape {shape}. Give one number: `ops.mean(loss)`.")
    return loss


class Scope(keras.StatelessScope):
    """A scope of explicit values that the running step knows while it is open."""

    def __enter__(self):
        running().scopes.append(self)
        return super().__enter__()

    def __exit__(self, *error):
        running().scopes.pop()
        return super().__exit__(*error)
