"""The words that let one `train_step` run on TensorFlow, JAX and PyTorch.

A batch goes `fit` -> `step` -> the model's `train_step` -> `descend` -> the loss, and back.

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
    `model.skipped_updates`, if the model has it, counts that at the end of the step.

`input_gradient(fn, x)`
    d sum(fn(x)) / dx, of the shape of `x` and differentiable once more.

`without_gradient(fn, *inputs)`
    The value of `fn(*inputs)`, cut off from the gradient. Nothing but state may leave `fn`
    through a closure or `self`.

`mean_over_replicas(x)`, `gather_from_replicas(x)`
    A step sees the part of a batch that one device has (on JAX the whole batch); a mean over
    examples needs no more. Another function of a whole batch asks for the mean of `x` over the
    devices, or all their `x` joined on the first axis. Gradients go through, twice if need be.
    Outside a step, and on one device, they return `x`.

`normal(shape, dtype, stream)`, `uniform(shape, dtype, stream)`
    Draws of a `keras.random.SeedGenerator`, from N(0, 1) and from U[0, 1). They are those of
    `keras.random`; under XLA TensorFlow makes other floats of the same random bits.

**A new word** is a function in each engine file, with the same arguments, an assignment below and
a name in `__all__`. Three rules hold for it:

- No Python `if` on a tensor: TensorFlow and JAX trace the body once, for all values. Use
  `ops.where` or `ops.cond`.
- On JAX a gradient is taken inside a step only, by `_gradient_of`, which carries out what `fn`
  assigns.
- On TensorFlow replicas cannot meet inside a branch: what exchanges tensors, as `optimizer.apply`
  and `mean_over_replicas` do, stands outside of `ops.cond`.

The library itself needs these as well. `Trainer` is a mixin of models: it has what Keras's trainer
of a backend lacks. `predict_on_batch(network, x)` has the same for any Keras model. Metrics call
`sum_over_processes(tensors)`. By `use(...)`, `keras_gen.accelerate` replaces some `parts` with
faster ways to the same result.
"""

import importlib

import keras

from keras_gen.backend import parts

if keras.config.backend() not in ("tensorflow", "jax", "torch"):
    raise ImportError(
        f"keras_gen trains on the tensorflow, jax and torch backends, and Keras runs on "
        f"{keras.config.backend()!r}. Set KERAS_BACKEND to one of the three."
    )

_engine = importlib.import_module(f"keras_gen.backend.{keras.config.backend()}")

step = _engine.step
descend = _engine.descend
input_gradient = _engine.input_gradient
without_gradient = _engine.without_gradient
mean_over_replicas = _engine.mean_over_replicas
gather_from_replicas = _engine.gather_from_replicas
normal = _engine.normal
uniform = _engine.uniform

Trainer = _engine.Trainer
predict_on_batch = _engine.predict_on_batch
sum_over_processes = _engine.sum_over_processes
use = parts.use

__all__ = [
    "Trainer",
    "descend",
    "gather_from_replicas",
    "input_gradient",
    "mean_over_replicas",
    "normal",
    "parts",
    "predict_on_batch",
    "step",
    "sum_over_processes",
    "uniform",
    "use",
    "without_gradient",
]
