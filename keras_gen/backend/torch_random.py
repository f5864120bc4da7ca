"""The draws of `keras.random`, to the bit, as operations that `torch_capture` can record."""

import torch


def normal(shape, dtype, stream):
    """Draws from N(0, 1) of a `keras.random.SeedGenerator`."""
    return _normal(stream.next(), list(shape), getattr(torch, dtype))


def uniform(shape, dtype, stream):
    """Draws from U[0, 1) of a `keras.random.SeedGenerator`."""
    return _uniform(stream.next(), list(shape), getattr(torch, dtype))


@torch.library.custom_op("keras_gen::normal", mutates_args=())
def _normal(seed: torch.Tensor, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.normal(
        0.0, 1.0, size=shape, generator=_generator(seed), dtype=dtype, device=seed.device
    )


@torch.library.custom_op("keras_gen::uniform", mutates_args=())
def _uniform(seed: torch.Tensor, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(size=shape, generator=_generator(seed), dtype=dtype, device=seed.device)


@_normal.register_fake
@_uniform.register_fake
def _shape_alone(seed, shape, dtype):
    return torch.empty(shape, dtype=dtype, device=seed.device)


def _generator(seed):
    # The counter of a seed generator is added to its seed: `keras.random` does so.
    generator = torch.Generator(device=seed.device)
    return generator.manual_seed(int(seed[0] + seed[1]) & 0xFFFFFFFF)
