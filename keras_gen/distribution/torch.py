"""Several devices on PyTorch: a process for each, started by torchrun.

`backend.descend` averages the gradients over the processes. DistributedDataParallel does so around
one `forward`, and a step here has several.
"""

import contextlib
import os

import torch
import torch.distributed as dist

from keras_gen.distribution.noise import different_noise

no_jit_compile = None  # The step stays eager, with a warning.
no_gradient_accumulation = None

_GOLDEN = 0x9E3779B9  # 2^32 / the golden ratio. Its multiples modulo 2^32 lie far apart.
_seeded = None


@contextlib.contextmanager
def data_parallel():
    if "RANK" not in os.environ:
        if torch.cuda.device_count() > 1:
            raise ValueError(
                f"PyTorch needs a process for each of the {torch.cuda.device_count()} devices. "
                f"Start the script with torchrun: `torchrun --nproc-per-node="
                f"{torch.cuda.device_count()} script.py`, or `torchrun ... -m train.vae`."
            )
        yield 1, 0, 1
        return
    if torch.cuda.is_available():
        # Keras puts everything on "cuda", which is the current device.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        with different_noise(_seed_of_process):
            yield dist.get_world_size(), dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def count_devices(model):
    return process()[1]


def process():
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def with_copied_batches(data):
    return data


def synchronize(variables):
    """Give every process the values of the first, and its own stream to dropout without a seed."""
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


def gathers_predictions():
    return True


def replica():
    return process()[0]


def _seed_of_process(state):
    rank = replica()
    if rank == 0:
        return state
    # Keras adds the two numbers, so the streams of neighbouring seeds are one stream, shifted.
    return state.long() + torch.tensor([rank * _GOLDEN % 2**32, 0], device=state.device)
