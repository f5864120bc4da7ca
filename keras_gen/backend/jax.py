import collections
import functools
import threading

import jax
import jax.numpy as jnp
import keras

from keras_gen.backend.guard import guarded, is_finite, report
from keras_gen.backend.jax_execution import Executions

wrong_second_derivatives = False
compiles_second_derivatives = True
batch_norm = group_norm = None  # XLA makes few of Keras's sums.
conv2d = conv2d_transpose = product = None


def dilates_slowly():
    return jax.default_backend() == "cpu"


def feed(adapter, model):
    return adapter


def gains_by_xla(model, optimizer):
    return False


class FasterFit(Executions):
    def __setattr__(self, name, value):
        if name == "_jax_state":  # `fit` sets it after every step.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


def step(method):
    @functools.wraps(method)
    def stateless_step(self, *args):
        if len(args) == 1:
            return method(self, *args)
        state, data = args
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        if len(state) == 4:
            groups.insert(2, self.optimizer.variables)
        pairs = [
            pair
            for group, values in zip(groups, state, strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with _Scope(pairs):
            with guarded(self, training=len(state) == 4):
                # Eager `fit` hands over NumPy arrays.
                logs = method(self, jax.tree.map(jnp.asarray, data))
            return logs, tuple([variable.value for variable in group] for group in groups)

    return stateless_step


def descend(optimizer, variables, loss_fn, *inputs):
    def scaled_loss(values, *inputs):
        _assign(variables, values)
        output = loss_fn(*inputs)
        loss = output[0] if isinstance(output, tuple) else output
        return optimizer.scale_loss(loss), output

    values = [variable.value for variable in variables]
    output, gradients = _value_and_grad(scaled_loss, values, *inputs)
    finite = is_finite(optimizer, output[0] if isinstance(output, tuple) else output, gradients)
    report(optimizer, finite)
    state = [variable.value for variable in optimizer.variables]
    # Not `apply`: under loss scaling it branches on the gradients with side effects.
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):  # Has a branch of its own.
        new = optimizer.stateless_apply(state, gradients, values)
    elif jax.default_backend() == "cpu" and keras.distribution.distribution() is None:
        # A branch takes a sixth less of a small model's step than a choice number by number.
        new = jax.lax.cond(
            finite,
            optimizer.stateless_apply,
            lambda state, gradients, values: (values, state),
            *(state, gradients, values),
        )
    else:  # A GPU would wait until the condition is known.
        new = optimizer.stateless_apply(state, gradients, values)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, (values, state))
    new_values, new_state = new
    _assign([*variables, *optimizer.variables], [*new_values, *new_state])
    return output


def without_gradient(fn, *inputs):
    return jax.lax.stop_gradient(fn(*inputs))


def input_gradient(fn, x):
    _, gradient = _value_and_grad(lambda x: (jnp.sum(fn(x)), None), x)
    return gradient


def normal(shape, dtype, stream):
    return keras.random.normal(shape, dtype=dtype, seed=stream)


def uniform(shape, dtype, stream):
    return keras.random.uniform(shape, dtype=dtype, seed=stream)


def _value_and_grad(fn, *inputs):
    """aux and the gradient by the first input of `fn(*inputs) -> (scalar, aux)`.

    `fn` is traced in a scope of its own, which starts as a copy of the scope around it;
    what it assigned there leaves the trace as an output and is put into the scope around.
    """
    if not _Scope.open.stack:
        raise RuntimeError(
            "On JAX a gradient is taken inside a step. Decorate the `train_step` or "
            "`test_step` that asks for it with `@keras_gen.backend.step`."
        )
    outer = _Scope.open.stack[-1]

    def pure(*inputs):
        with _Scope(inherited=outer) as inner:
            value, aux = fn(*inputs)
        return value, (aux, collections.OrderedDict(inner.state_mapping))

    (_, (aux, state)), gradient = jax.value_and_grad(pure, has_aux=True)(*inputs)
    outer.state_mapping.update(state)
    return aux, gradient


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class _Stack(threading.local):
    def __init__(self):
        self.stack = []


class _Scope(keras.StatelessScope):
    open = _Stack()

    def __init__(self, pairs=(), inherited=None):
        super().__init__(pairs, collect_losses=True)
        if inherited is not None:
            self.state_mapping.update(inherited.state_mapping)

    def __enter__(self):
        self.open.stack.append(self)
        return super().__enter__()

    def __exit__(self, *args):
        self.open.stack.pop()
        return super().__exit__(*args)
