"""A loss and its gradient as one list of PyTorch's operations.

In a small network Keras takes as long between the operations as PyTorch in them. So when a method
of a model has been descended on a few times, it is traced, gradient included, and from then on
what was recorded is run, and gives the same numbers to the bit: the same operations in the same
order, but that what was computed twice is computed once, and idle copies are left out.

What changes from step to step must be a variable, an input, or an attribute that is a number or a
string: of the model itself, or of a part of it that is no network, such as a penalty. `compile`
traces anew, and `run_eagerly=True` nothing. A loss that looks at values, at variables of others or
at other random numbers stays as it is.
"""

import contextlib
import itertools
import threading
import weakref

import keras
import torch
from keras import tree

from keras_gen.backend import torch_graph
from keras_gen.backend import torch_replicas as replicas
from keras_gen.backend.attributes import MOST, numbered

WARM_UP = 16  # Steps that are run as they are: a trace takes as long as some hundred.


class _Open(threading.local):
    def __init__(self):
        self.model = None


_open = _Open()
_models = weakref.WeakKeyDictionary()  # Each to its traces.


@contextlib.contextmanager
def within(model):
    """The training step of a model, whose methods may be traced."""
    before, _open.model = _open.model, model
    try:
        yield
    finally:
        _open.model = before


def stepping():
    """The model whose training step this is, or None."""
    return _open.model


def loss_and_gradients(optimizer, variables, loss_fn, inputs):
    """What `loss_fn(*inputs)` returns, and the gradients; None where it is not traced."""
    scaled = optimizer.loss_scale_factor is not None
    scaled |= isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return None if scaled or not variables else _traced(variables, loss_fn, inputs)


def outputs(fn, inputs):
    """What `fn(*inputs)` returns, in a tuple; None where it is not traced."""
    traced = _traced([], fn, inputs)
    return traced and traced[:1]


def _traced(variables, loss_fn, inputs):
    model = _open.model
    if model is None or getattr(loss_fn, "__self__", None) is not model:
        return None
    tensors = _flat(inputs)
    if (
        model.run_eagerly
        or replicas.part()[1] > 1
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or not all(map(_suits, tensors))
    ):
        return None
    traces = _models.setdefault(model, {})
    number = numbered(model)
    # A layer that was frozen may behave otherwise.
    known = tuple(map(id, variables or model.trainable_variables))
    key = loss_fn.__func__, known, _form(inputs), number
    if number is None or (key not in traces and len(traces) >= MOST):
        return None
    trace = traces.setdefault(key, WARM_UP)
    if isinstance(trace, int) and trace > 0:
        traces[key] -= 1
        return None
    if trace == 0:
        try:
            trace = _Trace(model, variables, loss_fn, inputs)
            found = trace(tensors)
        except Exception:  # Of any kind: as it is, it has run so far.
            traces[key] = -1
            return None
        traces[key] = trace
        return found
    return None if trace == -1 else trace(tensors)


class _Closed(keras.StatelessScope):
    """Where a variable that the trace does not know can be neither read nor assigned."""

    def get_current_value(self, variable):
        return self.state_mapping[id(variable)]

    def add_update(self, update):
        self.get_current_value(update[0])
        super().add_update(update)


class _Trace:
    def __init__(self, model, variables, loss_fn, inputs):
        every = [*model.trainable_variables, *model.non_trainable_variables]
        moved = {id(variable) for variable in variables}
        others = [variable for variable in every if id(variable) not in moved]
        tensors = _flat(inputs)

        def flat(*arguments):
            values = [value.detach().requires_grad_() for value in arguments[: len(variables)]]
            rest = arguments[len(variables) : len(variables) + len(others)]
            mapping = [*zip(variables, values, strict=True), *zip(others, rest, strict=True)]
            with _Closed(mapping, collect_losses=True) as scope:
                given = tree.pack_sequence_as(inputs, arguments[len(mapping) :])
                self.output = loss_fn(*given)
            loss = self.output[0] if isinstance(self.output, tuple) else self.output
            gradients = ()
            if values:
                gradients = torch.autograd.grad(loss, values, materialize_grads=True)
            now = [scope.get_current_value(variable) for variable in others]
            changed = [new is not old for old, new in zip(rest, now, strict=True)]
            self.changed = list(itertools.compress(others, changed))
            # Copies: a variable may have been assigned what another one holds.
            new = [value.detach().clone() for value in itertools.compress(now, changed)]
            leaves = [leaf for leaf in tree.flatten(self.output) if torch.is_tensor(leaf)]
            return *gradients, *new, *(leaf.detach() for leaf in leaves)

        arguments = [variable.value for variable in (*variables, *others)] + tensors
        graph_module = torch_graph.recorded(flat, arguments)
        # What differs in a second trace was drawn or counted in Python.
        if not torch_graph.same(graph_module, torch_graph.recorded(flat, arguments)):
            raise ValueError("Two traces differ.")
        used = torch_graph.shorten(graph_module)
        self.run = graph_module.forward
        count = len(variables) + len(others)
        self.variables = list(itertools.compress((*variables, *others), used))
        self.used = used[count:]
        self.gradients = len(variables)
        # Numbers in the output are kept, tensors are put in their places.
        self.output = tree.map_structure(
            lambda leaf: _TENSOR if torch.is_tensor(leaf) else leaf, self.output
        )

    @torch.no_grad()
    def __call__(self, tensors):
        found = self.run(
            *(variable.value for variable in self.variables),
            *itertools.compress(tensors, self.used),
        )
        gradients = list(found[: self.gradients])
        rest = iter(found[self.gradients :])
        for variable in self.changed:
            variable.value.copy_(next(rest))
        return _filled(self.output, rest), gradients


_TENSOR = object()


def _filled(output, tensors):
    """`output` with the next of the tensors wherever one belongs."""
    if output is _TENSOR:
        return next(tensors)
    if type(output) is tuple:  # Here, as `tree` takes longer than many operations.
        return tuple(_filled(part, tensors) for part in output)
    if type(output) is dict:  # `tree` has the keys in order.
        return {key: _filled(output[key], tensors) for key in sorted(output)}
    if isinstance(output, (dict, list, tuple)):
        return tree.map_structure(lambda leaf: _filled(leaf, tensors), output)
    return output


def _suits(leaf):
    # On a GPU this was never tried, a number would be recorded as it is, and what has a gradient
    # of its own passes it on to what it was made of.
    return leaf is None or (
        torch.is_tensor(leaf) and leaf.device.type == "cpu" and not leaf.requires_grad
    )


def _flat(inputs):
    # Here, as `tree` takes longer than many operations.
    if type(inputs) is tuple:
        return [leaf for part in inputs for leaf in _flat(part)]
    return tree.flatten(inputs) if isinstance(inputs, (dict, list, tuple)) else [inputs]


def _form(inputs):
    if torch.is_tensor(inputs):
        return inputs.shape, inputs.dtype, inputs.stride()
    if isinstance(inputs, dict):
        return tuple([(name, _form(value)) for name, value in inputs.items()])
    if isinstance(inputs, (list, tuple)):
        return type(inputs), *map(_form, inputs)
    return None
