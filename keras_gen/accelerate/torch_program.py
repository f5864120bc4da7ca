"""A whole step on PyTorch as one program: `compile(jit_compile=True)`.

The step is a function of explicit state, as on JAX: its operations are recorded once for each
signature of the data, gradients included, and then run without Python between them. What is not a
variable of the model, a part of the data or a draw is a constant of the program, as in every
tracer.

`torch.compile` cannot take the step by itself: it does not get through Keras 3.15.1 (its trees, its
seeds, `StatelessScope`). So this one file uses `torch.fx.experimental.proxy_tensor.make_fx`.
"""

import contextlib
import warnings

import keras
import torch
import torch.distributed as dist
from keras import tree
from torch.fx.experimental.proxy_tensor import make_fx

from keras_gen.accelerate.torch_adam import apply_where
from keras_gen.accelerate.torch_draws import Draws
from keras_gen.backend.step import Scope, is_finite, loss_of, run_on_state, running


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

    @torch.no_grad()
    def __call__(self, data):
        state = self._state()
        values = tree.flatten(state)
        tensors = [leaf for leaf in tree.flatten(data) if torch.is_tensor(leaf)]
        key = str(tree.map_structure(_signature, data))
        if key not in self.programs:
            self.programs[key] = self._record(state, data, tensors)
        run, changed, names = self.programs[key]
        new, logs = run(*values, *tensors)
        for place, value in zip(changed, new, strict=True):
            values[place].copy_(value)
        return dict(zip(names, logs, strict=True))

    def _state(self):
        model = self.model
        groups = [model.trainable_variables, model.non_trainable_variables, model.metrics_variables]
        if self.training:
            groups.insert(2, model.optimizer.variables)
        return [[variable.value for variable in group] for group in groups]

    def _record(self, state, data, tensors):
        changed, names = [], []
        size = len(tree.flatten(state))

        def flat(*arguments):
            values = arguments[:size]
            logs, new = run_on_state(
                lambda model, data: self.step(data),
                self.model,
                tree.pack_sequence_as(state, values),
                _filled(data, arguments[size:]),
                RecordedScope,
            )
            new = tree.flatten(new)
            changed.extend(i for i, value in enumerate(new) if value is not values[i])
            names.extend(logs)
            return [new[i] for i in changed], [torch.as_tensor(x) for x in logs.values()]

        # Copies, as the optimizer writes into them; and real, as under FakeTensor some layouts are
        # not those that the operations return.
        arguments = [value.detach().clone() for value in (*tree.flatten(state), *tensors)]
        with Draws():
            module = make_fx(flat, tracing_mode="real")(*arguments)
        module = _without_repetitions(module)
        run = module.forward
        if arguments[0].is_cuda:
            run = torch.compile(module, backend="inductor", fullgraph=True, dynamic=False)
        return run, changed, names


class RecordedScope(Scope):
    """The state of a step that is recorded, and what the words of `keras_gen.backend` do on it.

    It reads the variables of the state only, and copies what is assigned.
    """

    def __init__(self, values, outer=None):
        super().__init__(values, outer, cut=lambda value: value.detach().clone())

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None:
            raise ValueError(
                f"The step reads {variable.path!r}, which is no variable of the model or of its "
                f"optimizer. Make it an attribute of the model, or compile with jit_compile=False."
            )
        return value

    def descend(self, optimizer, variables, loss_fn, *inputs):
        def loss(values, *inputs):
            output = loss_fn(*inputs)
            return loss_of(output), output

        values = [variable.value for variable in variables]
        output, gradients = self._gradient_of(loss, variables, values, *inputs)
        if variables:
            finite = is_finite(optimizer, loss_of(output), gradients, _sum_of_squares)
            running().note(optimizer, finite)
            if not apply_where(optimizer, gradients, variables, finite):
                self._apply_where(optimizer, gradients, variables, finite)
        return _detached(output)

    def without_gradient(self, fn, *inputs):
        return _detached(fn(*inputs))

    def input_gradient(self, fn, x):
        _, gradient = self._gradient_of(lambda x: (fn(x).sum(), ()), (), x)
        return gradient

    def _apply_where(self, optimizer, gradients, variables, finite):
        """Make an optimizer's update of copies, and keep it where the descent was finite."""
        moved = [*variables, *optimizer.variables]
        before = [variable.value for variable in moved]
        for variable, value in zip(moved, before, strict=True):
            self.state_mapping[id(variable)] = value.clone()
        with _one_by_one(optimizer):
            optimizer.apply(gradients, variables)
        for variable, value in zip(moved, before, strict=True):
            new = torch.where(finite, variable.value, value)
            self.state_mapping[id(variable)] = new

    def _gradient_of(self, fn, variables, first, *inputs):
        """Return aux and the gradient by `first` of `fn(first, *inputs) -> (scalar, aux)`.

        As in `backend.jax`: `fn` runs in a scope of its own, where the `variables` have the values
        `first`, and what is assigned there leaves the derivative as an output.
        """
        keys, structure = [], None

        def pure(first, *inputs):
            nonlocal structure
            values = zip(variables, first, strict=True) if variables else ()
            given = {id(variable) for variable in variables}
            with RecordedScope(values, self) as inner:
                value, structure = fn(first, *inputs)
            # Numbers and None cannot leave a function that is differentiated.
            tensors = [leaf for leaf in tree.flatten(structure) if torch.is_tensor(leaf)]
            changed = {
                key: value
                for key, value in inner.state_mapping.items()
                if key not in given and value is not self.state_mapping[key]
            }
            keys.extend(changed)
            return value, (tensors, list(changed.values()))

        differentiated = torch.func.grad_and_value(pure, has_aux=True)
        gradient, (_, (tensors, changed)) = differentiated(first, *inputs)
        self.state_mapping.update(zip(keys, changed, strict=True))
        return _filled(structure, tensors), gradient


@contextlib.contextmanager
def _one_by_one(optimizer):
    """Within it the optimizer moves one variable after the other, as on the other backends.

    Its update of lists reads the learning rate as a number, which a program cannot hold.
    """

    def update(gradients, variables, learning_rate):
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient, variable, learning_rate)

    # Keras 3.15.1: nothing public chooses the way. A public argument of `apply` would replace it.
    object.__setattr__(optimizer, "_parallel_update_step", update)
    try:
        yield
    finally:
        # Keras 3.15.1: as above, until replaced.
        object.__delattr__(optimizer, "_parallel_update_step")


def _sum_of_squares(gradients):
    """Return the sum without writing the squares to memory."""
    flat = [gradient.float().reshape(-1) for gradient in gradients]
    return sum(torch.dot(x, x) for x in flat)


def _filled(structure, tensors):
    """Return `structure` with the next of `tensors` in the place of each tensor."""
    tensors = iter(tensors)
    leaves = [next(tensors) if torch.is_tensor(x) else x for x in tree.flatten(structure)]
    return tree.pack_sequence_as(structure, leaves)


def _detached(structure):
    return tree.map_structure(lambda x: x.detach() if torch.is_tensor(x) else x, structure)


def _signature(leaf):
    return (leaf.shape, leaf.dtype, leaf.stride()) if torch.is_tensor(leaf) else leaf


def _without_repetitions(module):
    """Leave out what is computed twice: between two writes equal operations give equal tensors."""
    seen = {}
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])  # No gradient flows here.
        elif torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            continue
        elif node.is_impure():  # It writes.
            seen.clear()
        else:
            key = (node.target, str(node.args), str(node.kwargs))
            node.replace_all_uses_with(seen.setdefault(key, node))
    module.graph.eliminate_dead_code()
    module.recompile()
    return module
