"""Several devices on PyTorch: a process for each, started by torchrun.

What DistributedDataParallel does, around a step that is not one `forward`: the same weights at
the start, and the mean of the gradients in every descent.
"""

import contextlib
import functools
import os

import keras
import torch
import torch.distributed as dist

no_jit_compile = "torch.compile does not see the processes exchange their gradients"
no_gradient_accumulation = None

_GOLDEN = 0x9E3779B9  # 2^32 / the golden ratio: multiples of it, modulo 2^32, lie far apart.
_stepping = 0
_seeded = None


@contextlib.contextmanager
def data_parallel():
    if "RANK" not in os.environ:
        if torch.cuda.device_count() > 1:
            raise ValueError(
                f"PyTorch takes a process for each of the {torch.cuda.device_count()} devices. "
                f"Start the script by torchrun: `torchrun --nproc-per-node="
                f"{torch.cuda.device_count()} script.py`, or `torchrun ... -m train.vae`."
            )
        yield 1, 0, 1
        return
    if torch.cuda.is_available():
        # Keras puts everything on "cuda", which is the current one.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    _give_each_its_noise()
    try:
        yield dist.get_world_size(), dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def devices_of(model):
    return part()[1]


def part():
    if not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def unaliased(data):
    return data


def same_on_all(variables):
    """Gives every process the values of the first; and each draws dropout of its own."""
    global _seeded
    if not dist.is_initialized():
        return
    with torch.no_grad():
        for variable in variables:
            dist.broadcast(variable.value.data, src=0)
    # Dropout without a seed draws from PyTorch's own generator.
    if torch.initial_seed() != _seeded:
        _seeded = (torch.initial_seed() + dist.get_rank() * _GOLDEN) % 2**63
        torch.manual_seed(_seeded)


@contextlib.contextmanager
def stepping():
    """Within it the processes exchange; outside each is by itself, and may draw a picture."""
    global _stepping
    _stepping += 1
    try:
        yield
    finally:
        _stepping -= 1


def gathers_predictions():
    return True


def mean_over_replicas(x):
    return _Sum.apply(x) / dist.get_world_size() if _exchanging() else x


def gather_from_replicas(x):
    return _Gather.apply(x) if _exchanging() else x


def mean_of_all(tensors):
    """The means over processes, without a gradient."""
    if not _exchanging():
        return tensors
    return [total / dist.get_world_size() for total in sum_over_processes(tensors)]


def sum_over_processes(tensors):
    """The sums over processes, without a gradient, by one exchange for each type."""
    if not _exchanging():
        return tensors
    sums = [None] * len(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in places])
        dist.all_reduce(flat)
        parts = flat.split([tensors[i].numel() for i in places])
        for i, part in zip(places, parts, strict=True):
            sums[i] = part.view(tensors[i].shape)
    return sums


def replica():
    return part()[0]


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
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient).chunk(dist.get_world_size())[dist.get_rank()]


def _exchanging():
    return _stepping and dist.is_initialized() and dist.get_world_size() > 1


def _give_each_its_noise():
    """Seed generators, whose state is the same in every process, draw numbers of their own."""
    plain = keras.random.SeedGenerator.next
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def next_of_process(self, ordered=True):
        state = plain(self, ordered)
        rank = part()[0]
        if rank == 0:
            return state
        # Keras adds up the two: streams of neighbouring seeds are one stream, shifted.
        return state.long() + torch.tensor([rank * _GOLDEN % 2**32, 0], device=state.device)

    keras.random.SeedGenerator.next = next_of_process
