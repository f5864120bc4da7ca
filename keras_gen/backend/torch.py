import functools

import keras
import numpy as np
import torch
import torch.distributed as dist
from keras import ops, tree
from keras.optimizers import LossScaleOptimizer
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_gen.backend import parts
from keras_gen.backend.step import Step, enclosing, is_finite, loss_of, running


def step(method):
    training = method.__name__ == "train_step"

    @functools.wraps(method)
    def step_on_tensors(self, data):
        if running() is not None:
            return method(self, data)
        # `train_on_batch` hands over NumPy arrays.
        with Step(self, training) as step:
            return step.run(method, _as_tensors(data))

    return step_on_tensors


def descend(optimizer, variables, loss_fn, *inputs):
    step, output = enclosing(), loss_fn(*inputs)
    if variables:  # A player may have none, or be frozen.
        gradients = torch.autograd.grad(
            optimizer.scale_loss(loss_of(output)),
            [variable.value for variable in variables],
            materialize_grads=True,
        )
        with torch.no_grad():
            # Of all processes, the loss too: what is not finite in one is so in all.
            loss, *gradients = _mean_over_processes([loss_of(output).detach(), *gradients])
            finite = is_finite(optimizer, loss, gradients, _sum_of_squares)
            if step.scopes:  # A program has no branches.
                step.note(optimizer, finite)
                step.scopes[-1].apply_where(optimizer, gradients, variables, finite)
                return _detached(output)
            finite = bool(finite)
            step.note(optimizer, finite)
            if isinstance(optimizer, LossScaleOptimizer):  # It leaves out by itself.
                optimizer.apply(gradients, variables)
            elif finite:
                parts.apply(optimizer, gradients, variables)
    return _detached(output)


def without_gradient(fn, *inputs):
    with torch.no_grad():
        return fn(*inputs)


def input_gradient(fn, x):
    # Evaluation runs under no_grad, and data carry no gradient of their own. PyTorch's fused
    # attention has no second derivative: https://github.com/pytorch/pytorch/issues/116350
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        x = x if x.requires_grad else x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(fn(x).sum(), x, create_graph=True, materialize_grads=True)
    return gradient


def normal(shape, dtype, stream):
    return keras.random.normal(shape, dtype=dtype, seed=stream)


def uniform(shape, dtype, stream):
    return keras.random.uniform(shape, dtype=dtype, seed=stream)


# Outside a step every process is by itself, and may draw a picture.
def mean_over_replicas(x):
    return _Sum.apply(x) / dist.get_world_size() if _exchanging() else x


def gather_from_replicas(x):
    return _Gather.apply(x) if _exchanging() else x


def sum_over_processes(tensors):
    """Return the sums over processes, without a gradient, by one exchange for each dtype."""
    if not _exchanging():
        return tensors
    sums = [None] * len(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in places])
        dist.all_reduce(flat)
        pieces = flat.split([tensors[i].numel() for i in places])
        for i, piece in zip(places, pieces, strict=True):
            sums[i] = piece.view(tensors[i].shape)
    return sums


class Trainer:
    """Mixin of models: steps without the wrappers that Keras puts around them.

    Its torch.compile cannot take such a step; `parts.program` can. Keras 3.16 would make a
    DistributedDataParallel of several processes, whose mean gradients `descend` has already.
    """

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            self.train_function = self._on_one_batch(self.train_step, training=True)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self.test_function = self._on_one_batch(torch.no_grad()(self.test_step))

    def make_predict_function(self, force=False):
        if self.predict_function is None or force:
            step = torch.no_grad()(self.predict_step)
            self.predict_function = lambda batches: step(_as_tensors(batches[0]))

    def _on_one_batch(self, step, training=False):
        if self.steps_per_execution > 1:
            raise ValueError(
                f"`steps_per_execution` is {self.steps_per_execution}. On PyTorch it must be 1."
            )
        step = parts.program(self, step, training)
        return lambda batches: step(_as_tensors(batches[0]))


def predict_on_batch(network, x):
    return network.predict_on_batch(x)


class _Sum(torch.autograd.Function):
    """The sum over processes; its own adjoint, and so differentiable any number of times."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        pieces = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(pieces, x.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient).chunk(dist.get_world_size())[dist.get_rank()]


def _exchanging():
    return running() is not None and dist.is_initialized() and dist.get_world_size() > 1


def _mean_over_processes(tensors):
    if not _exchanging():
        return tensors
    return [total / dist.get_world_size() for total in sum_over_processes(tensors)]


def _sum_of_squares(gradients):
    """Return a scalar that is finite where every square is, without writing the squares."""
    return torch.nn.utils.get_total_norm([gradient.float() for gradient in gradients]) ** 2


def _detached(structure):
    return tree.map_structure(lambda x: x.detach() if torch.is_tensor(x) else x, structure)


def _as_tensors(data):
    return tree.map_structure(
        lambda x: ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x, data
    )
