"""The draws of `keras.random` inside a step that is recorded.

Keras reads a seed by `int()` and gives it to a generator, so a record would repeat one draw. Within
`Draws` the seed stays a tensor: the draw is an operation that reads it when it runs.
"""

import torch
from torch.overrides import TorchFunctionMode


@torch.library.custom_op("keras_gen::drawn_normal", mutates_args=())
def _normal(
    seed: torch.Tensor, mean: float, std: float, size: list[int], dtype: torch.dtype
) -> torch.Tensor:
    return torch.normal(
        mean, std, size=size, generator=_generator(seed), dtype=dtype, device=seed.device
    )


@torch.library.custom_op("keras_gen::drawn_rand", mutates_args=())
def _rand(seed: torch.Tensor, size: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(size=size, generator=_generator(seed), dtype=dtype, device=seed.device)


@torch.library.custom_op("keras_gen::drawn_randint", mutates_args=())
def _randint(
    seed: torch.Tensor, low: int, high: int, size: list[int], dtype: torch.dtype
) -> torch.Tensor:
    return torch.randint(
        low, high, size=size, generator=_generator(seed), dtype=dtype, device=seed.device
    )


@torch.library.custom_op("keras_gen::drawn_bernoulli", mutates_args=())
def _bernoulli(seed: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    return torch.bernoulli(probabilities, generator=_generator(seed))


@_normal.register_fake
def _(seed, mean, std, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_rand.register_fake
def _(seed, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_randint.register_fake
def _(seed, low, high, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_bernoulli.register_fake
def _(seed, probabilities):
    return torch.empty_like(probabilities)


def _generator(seed):
    return torch.Generator(device=seed.device).manual_seed(int(seed) & 0xFFFFFFFF)


class Draws(TorchFunctionMode):
    """Within it a seed that Keras reads by `int()` is handed to the draw that follows."""

    def __init__(self):
        super().__init__()
        self.seed = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.__int__ and self.seed is None:
            self.seed = args[0]
            return 0
        if self.seed is None or func is torch.Tensor.device.__get__:
            return func(*args, **kwargs)
        if kwargs.get("generator") is None:
            raise ValueError(
                f"A step that is compiled as a whole reads a tensor by int(), and then calls "
                f"{func.__name__}. Compile with jit_compile=False."
            )
        seed, self.seed = self.seed, None
        del kwargs["generator"]
        kwargs.pop("device", None)
        if func is torch.normal:
            return _normal(
                seed, float(args[0]), float(args[1]), list(kwargs["size"]), kwargs["dtype"]
            )
        if func is torch.rand:
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            return _rand(seed, list(kwargs["size"]), dtype)
        if func is torch.randint:
            return _randint(
                seed, kwargs["low"], kwargs["high"], list(kwargs["size"]), kwargs["dtype"]
            )
        if func is torch.bernoulli:
            return _bernoulli(seed, args[0])
        raise ValueError(f"A compiled step cannot draw by {func.__name__}.")

    def __exit__(self, *error):
        super().__exit__(*error)
        if self.seed is not None and error[0] is None:
            raise ValueError("A step that is compiled as a whole reads a tensor by int().")
