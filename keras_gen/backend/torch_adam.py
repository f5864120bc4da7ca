"""PyTorch's fused Adam on the state of Keras's: one pass over the parameters in place of seven."""

import contextlib

import keras
import torch

from keras_gen.backend.replaced import replaced

# What Keras makes of `keras.optimizers.Adam` on this backend.
_keras_update = type(keras.optimizers.Adam(name="adam"))._parallel_update_step


def fused(optimizer):
    """Within it `optimizer.apply` is fused, where it is Adam or AdamW as Keras has them.

    Clipping, weight decay, averages, accumulation, constraints and the state stay Keras's own.
    """
    update = getattr(type(optimizer), "_parallel_update_step", None)
    if update is not _keras_update or optimizer.amsgrad or torch.compiler.is_compiling():
        return contextlib.nullcontext()
    return replaced(optimizer, "_parallel_update_step", _update)


def _update(optimizer, gradients, variables, learning_rate):
    places = [optimizer._get_variable_index(variable) for variable in variables]
    tensors = [
        [variable.value for variable in variables],
        [optimizer._momentums[place].value for place in places],
        [optimizer._velocities[place].value for place in places],
    ]
    if not all(_suits(tensor) for group in tensors for tensor in group):
        _keras_update(optimizer, gradients, variables, learning_rate)
        return
    values, momentums, velocities = tensors
    step = int(optimizer.iterations) + 1
    torch._fused_adam_(
        values,
        [gradient.contiguous() for gradient in gradients],
        momentums,
        velocities,
        [],
        [torch.tensor(float(step))] * len(values),
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        # Keras adds epsilon to sqrt(v), PyTorch to sqrt(v / (1 - beta_2^t)).
        eps=optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5,
        amsgrad=False,
        maximize=False,
    )


def _suits(tensor):
    """The kernel walks through memory; on a GPU reading the step number would wait for it."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.is_contiguous()
    )
