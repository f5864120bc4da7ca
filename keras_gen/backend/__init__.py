"""Three words that let one `train_step` run on TensorFlow, JAX and PyTorch.

`step`
    Decorates `train_step(self, data)` and `test_step(self, data)`. The body reads and
    assigns variables as if they were stateful, on every backend. Called with `data` alone
    inside a step, as by a subclass's `super().train_step(data)`, the body runs as it is.

`descend(optimizer, variables, loss_fn, *inputs)`
    One gradient step on exactly these variables. `loss_fn(*inputs)` returns a scalar or
    `(scalar, aux)`, and `descend` returns the same structure, cut off from the gradient.
    State that changes inside `loss_fn` (batch norm, seeds, trackers) is carried out;
    nothing else may leave through a closure or `self`. Loss scaling and replicas are
    handled here. Variables that the loss does not reach have a gradient of zero. Where the loss
    or a gradient is not finite, no variable moves and the optimizer's state stays as it was;
    at the end of the step a model that has `note_descents` is told (`guard.py`).

`input_gradient(fn, x)`
    d sum(fn(x)) / dx, of the shape of `x` and differentiable once more.

`without_gradient(fn, *inputs)`
    What `fn(*inputs)` gives, cut off from the gradient. `fn` is a method of the model, and as in a
    loss nothing but state and what it gives may leave it.

`normal(shape, dtype, stream)`, `uniform(shape, dtype, stream)`
    Draws of a `keras.random.SeedGenerator`, from N(0, 1) and from U[0, 1).

`softplus(x)`
    As `keras.ops.softplus`, of finite numbers, many at a time.

`batch_norm(x, axis, scale, offset, epsilon)`
    `x` normalised over all axes but one by one kernel, and the mean and variance that it found,
    which carry no gradient; None where there is no such kernel.

`group_norm(x, groups, axis, scale, offset, epsilon)`
    Every example of `x` normalised over each group of its channels by one kernel, or None.

`conv2d(x, kernel, bias, strides)`
    Keras's convolution with padding "same", or None where Keras's own is as fast.

`conv2d_transpose(x, kernel, strides)`
    Keras's transposed convolution with padding "same", where another way to it is faster, or None.

`product(x, kernel)`
    A dense layer's x @ kernel, or None where Keras's own is as fast.

`feed(adapter, model)`
    Keras's adapter of the data that a model's `fit` or `evaluate` reads, or what reads them faster.

`gains_by_xla(model, optimizer)`
    Whether a step of the model is faster under XLA, where Keras leaves it out.

`FasterFit`
    Mixin of models: what `fit` does around a step, in less time and without a loss of weights.

`uninterrupted(method, *args, **kwargs)`
    What a Keras model's `method` gives. Where the model would lose its weights by a Ctrl-C in the
    meantime, that is heard afterwards.

Beside them stand three facts: `wrong_second_derivatives` says that some of Keras's layers,
which `losses.penalties` names, must not be differentiated twice here,
`compiles_second_derivatives` whether a step with `input_gradient` in a loss can be compiled, and
`dilates_slowly()` whether a convolution of dilated images is better avoided.

`replicas` is what an engine does with several devices. A step sees the part of a batch that one
device has (on JAX the batch), and what is a mean over examples needs no more. Another function of
a whole batch asks for it:

`replicas.mean_over_replicas(x)`, `replicas.gather_from_replicas(x)`
    The mean of `x` over the devices, and all their `x` joined on the first axis. Gradients go
    through, twice if need be. Outside a step, and on one device, `x` itself.
"""

import keras

if keras.config.backend() == "tensorflow":
    from keras_gen.backend import tensorflow_replicas as replicas
    from keras_gen.backend.tensorflow import (
        batch_norm,
        compiles_second_derivatives,
        conv2d,
        conv2d_transpose,
        descend,
        dilates_slowly,
        group_norm,
        input_gradient,
        product,
        step,
        uninterrupted,
        without_gradient,
        wrong_second_derivatives,
    )
    from keras_gen.backend.tensorflow_feed import FasterFit, feed
    from keras_gen.backend.tensorflow_random import normal, uniform
    from keras_gen.backend.tensorflow_xla import gains_by_xla
    from keras_gen.backend.xla import softplus
elif keras.config.backend() == "jax":
    from keras_gen.backend import jax_replicas as replicas
    from keras_gen.backend.jax import (
        FasterFit,
        batch_norm,
        compiles_second_derivatives,
        conv2d,
        conv2d_transpose,
        descend,
        dilates_slowly,
        feed,
        gains_by_xla,
        group_norm,
        input_gradient,
        normal,
        product,
        step,
        uniform,
        without_gradient,
        wrong_second_derivatives,
    )
    from keras_gen.backend.jax_execution import uninterrupted
    from keras_gen.backend.xla import softplus
elif keras.config.backend() == "torch":
    from keras.ops import softplus

    from keras_gen.backend import torch_replicas as replicas
    from keras_gen.backend.torch import (
        FasterFit,
        batch_norm,
        compiles_second_derivatives,
        conv2d,
        conv2d_transpose,
        descend,
        dilates_slowly,
        feed,
        gains_by_xla,
        group_norm,
        input_gradient,
        step,
        uninterrupted,
        without_gradient,
        wrong_second_derivatives,
    )
    from keras_gen.backend.torch_product import product
    from keras_gen.backend.torch_random import normal, uniform
else:
    raise ImportError(
        f"keras_gen trains on the tensorflow, jax and torch backends, and Keras runs on "
        f"{keras.config.backend()!r}. Set KERAS_BACKEND to one of the three."
    )

__all__ = [
    "FasterFit",
    "batch_norm",
    "compiles_second_derivatives",
    "conv2d",
    "conv2d_transpose",
    "descend",
    "dilates_slowly",
    "feed",
    "gains_by_xla",
    "group_norm",
    "input_gradient",
    "normal",
    "product",
    "replicas",
    "softplus",
    "step",
    "uniform",
    "uninterrupted",
    "without_gradient",
    "wrong_second_derivatives",
]
