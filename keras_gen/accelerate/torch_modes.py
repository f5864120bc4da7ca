"""What Keras reads as a number inside a step that is recorded, and a program cannot hold.

Keras reads a seed by `int()` and gives it to a generator, so a record would repeat one draw; and
PyTorch's `one_hot` looks at the labels. The seed stays a tensor here: the draw is an operation that
reads it when it runs.
"""

import torch
from torch.overrides import TorchFunctionMode


@torch.library.custom_op("keras_gen::normal", mutates_args=())
def _normal(
    seed: torch.Tensor, mean: float, std: float, size: list[int], dtype: torch.dtype
) -> torch.Tensor:
    options = {"generator": _generator(seed), "dtype": dtype, "device": seed.device}
    return torch.normal(mean, std, size=size, **options)


@torch.library.custom_op("keras_gen::uniform", mutates_args=())
def _uniform(seed: torch.Tensor, size: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(size=size, generator=_generator(seed), dtype=dtype, device=seed.device)


@torch.library.custom_op("keras_gen::integers", mutates_args=())
def _integers(
    seed: torch.Tensor, low: int, high: int, size: list[int], dtype: torch.dtype
) -> torch.Tensor:
    options = {"generator": _generator(seed), "dtype": dtype, "device": seed.device}
    return torch.randint(low, high, size=size, **options)


@torch.library.custom_op("keras_gen::bernoulli", mutates_args=())
def _bernoulli(seed: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    return torch.bernoulli(probabilities, generator=_generator(seed))


@_normal.register_fake
def _(seed, mean, std, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_uniform.register_fake
def _(seed, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_integers.register_fake
def _(seed, low, high, size, dtype):
    return torch.empty(size, dtype=dtype, device=seed.device)


@_bernoulli.register_fake
def _(seed, probabilities):
    return torch.empty_like(probabilities)


def _generator(seed):
    return torch.Generator(device=seed.device).manual_seed(int(seed) & 0xFFFFFFFF)


_TO_NUMPY = (torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.tolist)


class NumbersStayTensors(TorchFunctionMode):
    """Within it a seed that Keras reads by `int()` is handed to the draw that follows."""

    def __init__(self):
        super().__init__()
        self.seed = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.nn.functional.one_hot:
            return _one_hot(*args, **kwargs)
        if func in _TO_NUMPY:  # The tracer sees nothing of it, and the numbers would be constants.
            raise ValueError(
                "A step that is compiled as a whole makes NumPy numbers of a tensor. Use "
                "`keras.ops`, or compile with jit_compile=False."
            )
        if func is torch.Tensor.__int__ and self.seed is None:
            self.seed = args[0]
            return 0
        if func is torch.Tensor.__bool__:
            try:
                return func(*args)
            except RuntimeError as error:
                raise ValueError(
                    "A step that is compiled as a whole branches on the value of a tensor, as "
                    "`CosineDecay` does for its warm-up. Compile with jit_compile=False."
                ) from error
        if self.seed is None or func is torch.Tensor.device.__get__:
            return func(*args, **kwargs)
        if kwargs.get("generator") is None:
            raise ValueError(
                f"A step that is compiled as a whole reads a tensor by int(), and then calls "
                f"{func.__name__}. Compile with jit_compile=False."
            )
        seed, self.seed = self.seed, None
        return _draw(func, seed, args, kwargs)

    def __exit__(self, *error):
        super().__exit__(*error)
        if self.seed is not None and error[0] is None:
            raise ValueError("A step that is compiled as a whole reads a tensor by int().")


def _one_hot(labels, num_classes):
    return (labels[..., None] == torch.arange(num_classes, device=labels.device)).long()


def _draw(func, seed, args, kwargs):
    size, dtype = kwargs.get("size"), kwargs.get("dtype") or torch.get_default_dtype()
    if func is torch.normal:
        return _normal(seed, float(args[0]), float(args[1]), list(size), dtype)
    if func is torch.rand:
        return _uniform(seed, list(size), dtype)
    if func is torch.randint:
        return _integers(seed, kwargs["low"], kwargs["high"], list(size), dtype)
    if func is torch.bernoulli:
        return _bernoulli(seed, args[0])
    raise ValueError(f"A compiled step cannot draw by {func.__name__}. Use jit_compile=False.")
