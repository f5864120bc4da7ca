"""Matrix products by oneDNN, which PyTorch has on board beside MKL.

MKL's products run on the processors of other makers at half the speed of oneDNN's: PyTorch uses
these for convolutions, and offers them for products of matrices to its own compiler alone.
"""

import functools
import pathlib

import torch

SMALL = 2**22  # Multiplications, below which MKL's product is as fast.


def product(x, kernel):
    """x @ kernel of large tensors (..., n) and (n, m); None where PyTorch's own is as good."""
    rows = x.numel() // x.shape[-1] if x.shape[-1] else 0
    if not _suits(x, kernel, rows) or not _is_faster() or _is_transformed():
        return None
    return _Product.apply(x.reshape(rows, -1), kernel).reshape(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel):
        ctx.save_for_backward(x, kernel)
        return _multiplied(x, kernel)

    @staticmethod
    def backward(ctx, gradient):
        x, kernel = ctx.saved_tensors
        of_x = of_kernel = None
        if ctx.needs_input_grad[0]:
            of_x = _Product.apply(gradient, kernel.t())
        if ctx.needs_input_grad[1]:
            of_kernel = _Product.apply(x.t(), gradient)
        return of_x, of_kernel


def _multiplied(x, kernel):
    return torch.ops.mkldnn._linear_pointwise(x, kernel.t(), None, "none", [], "")


def _suits(x, kernel, rows):
    return (
        rows * kernel.numel() > SMALL
        and x.dtype == kernel.dtype == torch.float32
        and x.device.type == kernel.device.type == "cpu"
        # What is written for others knows the common operations alone.
        and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    )


def _is_transformed():
    """Whether something stands between a call and its operation that knows the common ones."""
    return (
        torch.is_autocast_enabled("cpu")
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )


@functools.cache
def _is_faster():
    try:
        with torch.no_grad():
            x, kernel = (torch.ones(n, 3, dtype=torch.float32, device="cpu") for n in (2, 3))
            works = bool((_multiplied(x, kernel) == 3).all())
        _is_transformed()
    except (AttributeError, RuntimeError):  # These are no part of PyTorch's public interface.
        return False
    info = pathlib.Path("/proc/cpuinfo")
    of_another_maker = info.exists() and "GenuineIntel" not in info.read_text()
    return works and torch.backends.mkl.is_available() and of_another_maker
