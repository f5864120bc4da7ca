"""PyTorch's fused Adam on the state of Keras's: one pass over the parameters, not seven."""

import torch
from torch.optim.adam import adam

from keras_gen.accelerate.adam import is_plain, moments


def apply(optimizer, gradients, variables):
    """Make an optimizer's update, by the fused kernel where it is plain Adam."""
    if not is_plain(optimizer, variables):
        optimizer.apply(gradients, variables)
        return
    values = [variable.value for variable in variables]
    m, v = ([state.value for state in states] for states in moments(optimizer, variables))
    if not all(map(_suits, [*values, *m, *v])):
        optimizer.apply(gradients, variables)
        return
    step = float(optimizer.iterations)
    adam(
        values,
        [gradient.contiguous() for gradient in gradients],
        m,
        v,
        [],
        [torch.tensor(step) for _ in values],  # It adds 1 to each.
        fused=True,
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=float(optimizer.learning_rate),
        weight_decay=0.0,
        # Keras adds epsilon to sqrt(v), PyTorch to sqrt(v / (1 - beta_2^t)).
        eps=optimizer.epsilon / (1 - optimizer.beta_2 ** (step + 1)) ** 0.5,
        maximize=False,
    )
    optimizer.iterations.assign_add(1)


def _suits(tensor):
    """Return whether the kernel, which walks through memory, can; a GPU would wait for `step`."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.is_contiguous()
    )
