"""PyTorch's fused Adam on the state of Keras's: one pass over the parameters, not seven."""

import math

import torch
from torch.optim.adam import adam

from keras_gen.accelerate.adam import is_plain, moments


def apply(optimizer, gradients, variables):
    """Make an optimizer's update, by the fused kernel where it is plain Adam."""
    if not apply_where(optimizer, gradients, variables):
        optimizer.apply(gradients, variables)


def apply_where(optimizer, gradients, variables, finite=None):
    """Make the update in place, if `finite` is true where it is given; return whether it was made.

    It is not made where the kernel would not do as Keras does.
    """
    if not is_plain(optimizer, variables):
        return False
    values = [variable.value for variable in variables]
    m, v = ([state.value for state in states] for states in moments(optimizer, variables))
    if not all(map(_suits, [*values, *m, *v])):
        return False
    if finite is not None and values[0].is_cuda:
        return False  # Its compiler has no rule for the kernel, and fuses by itself.
    step, rate = optimizer.iterations.value.double(), optimizer.learning_rate
    if finite is None:  # Numbers are faster; a program can hold tensors only.
        step, rate = step.item(), float(rate)
    # Keras adds epsilon to sqrt(v), PyTorch to sqrt(v / (1 - beta_2^t)), which is the same after
    # infinitely many steps; the rest of both corrections is in the learning rate.
    rate = rate * (1 - optimizer.beta_2 ** (step + 1)) ** 0.5 / (1 - optimizer.beta_1 ** (step + 1))
    adam(
        values,
        [gradient.contiguous() for gradient in gradients],
        m,
        v,
        [],
        [torch.full((), math.inf, device=values[0].device)] * len(values),
        fused=True,
        found_inf=None if finite is None else (~finite).float(),
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=rate,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        maximize=False,
    )
    optimizer.iterations.assign_add(1 if finite is None else finite.to(torch.int32))
    return True


def _suits(tensor):
    """Return whether the kernel, which walks through memory, can take a tensor."""
    return tensor.dtype in (torch.float32, torch.float64) and tensor.is_contiguous()
