"""A whole step on PyTorch as one program: `compile(jit_compile=True)`.

The operations of the eager step are recorded once for each signature of the data, gradients
included, and then run without Python between them: the same operations in the same order. What is
not a variable of the model, a part of the data or a draw is a constant of the program, as in every
tracer.

`torch.compile` cannot take the step by itself: it does not get through Keras 3.15.1 (its trees, its
seeds, `StatelessScope`). So this one file uses `torch.fx.experimental.proxy_tensor.make_fx`.
"""

import contextlib
import functools
import warnings

import keras
import torch
import torch.distributed as dist
from keras import tree
from torch.fx.experimental.proxy_tensor import make_fx

from keras_gen.accelerate.torch_adam import apply_where
from keras_gen.accelerate.torch_modes import NumbersStayTensors
from keras_gen.backend.step import Scope, Step


def program(model, step, training):
    """Return the `Program` of a model's bound step, or `step` itself where the model is eager."""
    if model.jit_compile and not model.run_eagerly and _can_be_recorded(model):
        return Program(model, step, training)
    return step


def _can_be_recorded(model):
    """Return whether the steps of a model can be recorded; warn if not."""
    optimizers = [optimizer for optimizer, _ in getattr(model, "optimized", list)()]
    reasons = {
        "loss scaling": any(
            isinstance(optimizer, keras.optimizers.LossScaleOptimizer) for optimizer in optimizers
        ),
        "gradient_accumulation_steps": any(
            optimizer.gradient_accumulation_steps for optimizer in optimizers
        ),
        "ema_overwrite_frequency": any(
            optimizer.ema_overwrite_frequency for optimizer in optimizers
        ),
        "several processes": dist.is_initialized() and dist.get_world_size() > 1,
    }
    for reason, given in reasons.items():
        if given:
            warnings.warn(
                f"PyTorch cannot compile a step with {reason}: it runs eagerly.", stacklevel=3
            )
            return False
    return True


class Program:
    """A step of a model as Keras's `fit` calls it: logs of a batch; the variables are changed.

    Args:
        model: The model.
        step: Its `train_step` or `test_step`, bound.
        training: Whether it is the `train_step`.
    """

    def __init__(self, model, step, training):
        self.model, self.step, self.training = model, step, training
        self.programs = {}

    def __call__(self, data):
        variables = self._state_variables()
        tensors = [leaf for leaf in tree.flatten(data) if torch.is_tensor(leaf)]
        arguments = [*(variable.value for variable in variables), *tensors]
        key = str(tree.map_structure(_signature, data))
        if key not in self.programs:
            self.programs[key] = self._record(variables, data, arguments)
        run, names = self.programs[key]
        with torch.no_grad():
            return dict(zip(names, run(*arguments), strict=True))

    def _state_variables(self):
        model = self.model
        optimizer_variables = model.optimizer.variables if self.training else []
        return [*model.variables, *model.metrics_variables, *optimizer_variables]

    def _record(self, variables, data, arguments):
        names = []
        trainable = {id(variable) for variable in self.model.trainable_variables}

        def flat(*arguments):
            values = list(zip(variables, arguments, strict=False))
            for variable, value in values:
                value.requires_grad_(id(variable) in trainable and self.training)
            batch = _filled(data, arguments[len(variables) :])
            with Step(self.model, self.training) as step, RecordedScope(values):
                logs = step.run(lambda model, data: self.step(data), batch)
            names.extend(logs)
            return [torch.as_tensor(log).detach() for log in logs.values()]

        # Copies, as the step writes into them; and real, as under FakeTensor some layouts are not
        # those that the operations return.
        arguments = [value.detach().clone() for value in arguments]
        with NumbersStayTensors():
            module = make_fx(flat, tracing_mode="real")(*arguments)
        run = _without_detach(module).forward
        if arguments[0].is_cuda:
            run = torch.compile(module, backend="inductor", fullgraph=True, dynamic=False)
        return run, names


class RecordedScope(Scope):
    """Variables whose memory is that of the arguments of a program; nothing else may be read."""

    def __init__(self, values):
        super().__init__(collect_losses=True)
        # Not by Keras's argument, which makes other tensors of them.
        self.state_mapping = {id(variable): value for variable, value in values}

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None:
            raise ValueError(
                f"The step reads {variable.path!r}, which is no variable of the model or of its "
                f"optimizer. Make it an attribute of the model, or compile with jit_compile=False."
            )
        return value

    def add_update(self, update):
        variable, value = update
        with torch.no_grad():  # As in eager Keras.
            self.get_current_value(variable).copy_(value)

    def apply_where(self, optimizer, gradients, variables, finite):
        """Make an optimizer's update, and take it back where the scalar `finite` is false."""
        if apply_where(optimizer, gradients, variables, finite):
            return
        moved = [variable.value for variable in (*variables, *optimizer.variables)]
        before = [value.clone() for value in moved]
        with _one_by_one(optimizer):
            optimizer.apply(gradients, variables)
        for value, old in zip(moved, before, strict=True):
            value.copy_(torch.where(finite, value, old))


@contextlib.contextmanager
def _one_by_one(optimizer):
    """Within it the optimizer moves one variable after the other, as on the other backends.

    Its update of lists reads the learning rate as a number, which a program cannot hold. The
    class without it is the public one of the same name: Nadam's moves more than its variables.
    """
    kind = getattr(keras.optimizers, type(optimizer).__name__, None)
    kind = kind if kind in type(optimizer).__mro__ else type(optimizer)
    # Keras 3.15.1: nothing public chooses the way. A public argument of `apply` would replace it.
    update = functools.partial(kind._backend_update_step, optimizer)
    # Keras 3.15.1: as above, until replaced.
    object.__setattr__(optimizer, "_backend_update_step", update)
    try:
        yield
    finally:
        # Keras 3.15.1: as above, until replaced.
        object.__delattr__(optimizer, "_backend_update_step")


def _filled(structure, tensors):
    """Return `structure` with the next of `tensors` in the place of each tensor."""
    tensors = iter(tensors)
    leaves = [next(tensors) if torch.is_tensor(x) else x for x in tree.flatten(structure)]
    return tree.pack_sequence_as(structure, leaves)


def _signature(leaf):
    return (leaf.shape, leaf.dtype, leaf.stride()) if torch.is_tensor(leaf) else leaf


def _without_detach(module):
    """Leave out a node that cuts off a gradient, as none flows in a program, and what is unused."""
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
    module.graph.eliminate_dead_code()
    module.recompile()
    return module
