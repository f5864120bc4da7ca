import functools
import math

import numpy as np
import torch
from keras import ops, tree
from keras.optimizers import LossScaleOptimizer

from keras_gen.backend import torch_capture
from keras_gen.backend import torch_replicas as replicas
from keras_gen.backend.feeding import Fed, is_in_memory
from keras_gen.backend.guard import guarded, report
from keras_gen.backend.torch_adam import fused

wrong_second_derivatives = False
# torch.compile: "aot_autograd does not currently support double backward".
compiles_second_derivatives = False


def dilates_slowly():
    return False


def feed(adapter, model):
    # Arrays come in an order that PyTorch draws.
    return _Direct(adapter) if is_in_memory(adapter) else adapter


class _Direct(Fed):
    """Without a DataLoader, which takes longer than the copy of a batch."""

    def get_torch_dataloader(self):
        return map(_as_tensors, self.get_numpy_iterator())


def gains_by_xla(model, optimizer):
    return False


class FasterFit:
    pass


def batch_norm(x, axis, scale, offset, epsilon):
    y, mean, inverse_deviation = torch.native_batch_norm(
        x.movedim(axis, 1), scale, offset, None, None, True, 0.0, epsilon
    )
    return y.movedim(1, axis), mean, torch.relu(inverse_deviation**-2 - epsilon)


def group_norm(x, groups, axis, scale, offset, epsilon):
    return torch.group_norm(x.movedim(axis, 1), groups, scale, offset, epsilon).movedim(1, axis)


def conv2d(x, kernel, bias, strides):
    # Rows and columns of padding: half of them in front, and where they are odd one more behind.
    total = [
        max(size - (s if side % s == 0 else side % s), 0)
        for side, size, s in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True)
    ]
    x, kernel = x.movedim(3, 1), kernel.permute(3, 2, 0, 1)
    if any(pixels % 2 for pixels in total):
        x = torch.nn.functional.pad(x, (0, total[1] % 2, 0, total[0] % 2))
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    border = [pixels // 2 for pixels in total]
    y = torch.nn.functional.conv2d(x, kernel, bias, stride=strides, padding=border)
    return y.movedim(1, 3)


def conv2d_transpose(x, kernel, strides):
    height, width = (size * s for size, s in zip(x.shape[1:3], strides, strict=True))
    # What is cut off in front, and behind too; there it can be one more.
    border = [(size - s) // 2 for size, s in zip(kernel.shape[:2], strides, strict=True)]
    x, kernel = x.movedim(3, 1).contiguous(), kernel.permute(3, 2, 0, 1)
    y = torch.nn.functional.conv_transpose2d(x, kernel, stride=strides, padding=border)
    return y[:, :, :height, :width].movedim(1, 3)


def step(method):
    @functools.wraps(method)
    def step_on_tensors(self, data):
        # `train_on_batch` hands over NumPy arrays.
        training = method.__name__ == "train_step"
        with (
            replicas.stepping(),
            guarded(self, training),
            torch_capture.within(self if training else None),
        ):
            return method(self, _as_tensors(data))

    return step_on_tensors


def descend(optimizer, variables, loss_fn, *inputs):
    traced = torch_capture.loss_and_gradients(optimizer, variables, loss_fn, inputs)
    output, gradients = traced or (loss_fn(*inputs), None)
    loss = output[0] if isinstance(output, tuple) else output
    if variables:  # A player may have none, or be frozen.
        gradients = gradients or torch.autograd.grad(
            optimizer.scale_loss(loss),
            [variable.value for variable in variables],
            materialize_grads=True,
        )
        with torch.no_grad():
            # Of all processes, the loss too: what is not finite in one is so in all.
            mean_loss, *gradients = replicas.mean_of_all([loss.detach(), *gradients])
            finite = _is_finite(optimizer, mean_loss, gradients)
            if not finite:
                report(optimizer, ops.convert_to_tensor(finite))
            if finite or isinstance(optimizer, LossScaleOptimizer):  # It leaves out by itself.
                with fused(optimizer):
                    optimizer.apply(gradients, variables)
    if traced:
        return output
    return tree.map_structure(lambda v: v.detach() if torch.is_tensor(v) else v, output)


def uninterrupted(method, *args, **kwargs):
    return method(*args, **kwargs)


def without_gradient(fn, *inputs):
    model = torch_capture.stepping() or getattr(fn, "__self__", None)
    with torch.no_grad(), torch_capture.within(model):
        traced = torch_capture.outputs(fn, inputs)
        return fn(*inputs) if traced is None else traced[0]


def input_gradient(fn, x):
    # Evaluation runs under no_grad, and data carry no gradient of their own.
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(fn(x).sum(), x, create_graph=True, materialize_grads=True)
    return gradient


def _is_finite(optimizer, loss, gradients):
    """As in `guard.py`; the squares of a gradient are not written to memory."""
    sums = [loss.float().reshape(())]
    if not isinstance(optimizer, LossScaleOptimizer):
        flat = [gradient.float().reshape(-1) for gradient in gradients]
        sums += [torch.dot(x, x) for x in flat]
    return math.isfinite(torch.stack(sums).sum().item())


def _as_tensors(data):
    if type(data) is tuple:  # Here, as `tree` takes longer than the rest of a small step.
        return tuple(map(_as_tensors, data))
    if isinstance(data, np.ndarray):
        return ops.convert_to_tensor(data)
    return tree.map_structure(_as_tensors, data) if isinstance(data, (dict, list, tuple)) else data
