"""The draws of `keras.random`, to the bit, as operations that `torch_capture` can record."""

import torch


def normal(shape, dtype, stream):
    """Draws from N(0, 1) of a `keras.random.SeedGenerator`."""
    return _normal(stream.next(), list(shape), getattr(torch, dtype))


def uniform(shape, dtype, stream):
    """Draws from U[0, 1) of a `keras.random.SeedGenerator`."""
    return _uniform(stream.next(), list(shape), getattr(torch, dtype))


def _draw_normal(seed: torch.Tensor, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    generator = _generator(seed)
    return torch.normal(0.0, 1.0, size=shape, generator=generator, dtype=dtype, device=seed.device)


def _draw_uniform(seed: torch.Tensor, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(size=shape, generator=_generator(seed), dtype=dtype, device=seed.device)


_normal = torch.library.custom_op("keras_gen::normal", _draw_normal, mutates_args=())
_uniform = torch.library.custom_op("keras_gen::uniform", _draw_uniform, mutates_args=())


@_normal.register_fake
@_uniform.register_fake
def _shape_alone(seed, shape, dtype):
    return torch.empty(shape, dtype=dtype, device=seed.device)


def _generator(seed):
    # The counter of a seed generator is added to its seed: `keras.random` does so.
    generator = torch.Generator(device=seed.device)
    return generator.manual_seed(int(seed[0] + seed[1]) & 0xFFFFFFFF)


# What an operation calls, without PyTorch's way there, which takes longer than a small draw.
PLAIN = {
    torch.ops.keras_gen.normal.default: _draw_normal,
    torch.ops.keras_gen.uniform.default: _draw_uniform,
}
