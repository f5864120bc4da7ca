import contextlib
import functools
import threading

import numpy as np
import tensorflow as tf
from keras import ops, tree
from keras.optimizers import LossScaleOptimizer

from keras_gen.backend import tensorflow_replicas as replicas
from keras_gen.backend.guard import guarded, is_finite, report
from keras_gen.backend.tensorflow_adam import fused

# tf.nn.moments stops a gradient inside the variance, and a resized image that is not
# "nearest" has a gradient without a gradient.
wrong_second_derivatives = True
compiles_second_derivatives = True
batch_norm = group_norm = None  # What TensorFlow has is wrong in second derivatives.
conv2d = conv2d_transpose = product = None


def dilates_slowly():
    return False


def step(method):
    @functools.wraps(method)
    def step_on_tensors(self, data):
        # `train_on_batch`, and eager `fit` on TensorFlow, hand over NumPy arrays.
        with guarded(self, training=method.__name__ == "train_step"), _entered(self) as nested:
            logs = method(self, tree.map_structure(_as_tensor, data))
        # A step within a step gives its logs to the one around it.
        return logs if nested else replicas.over_workers(logs)

    return step_on_tensors


def descend(optimizer, variables, loss_fn, *inputs):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in variables])
        output = loss_fn(*inputs)
        loss = output[0] if isinstance(output, tuple) else output
        scaled_loss = optimizer.scale_loss(loss)
        # `apply` sums the gradients of the replicas; the loss is a mean over each one's part.
        scaled_loss = scaled_loss / tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(
        scaled_loss,
        [variable.value for variable in variables],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    if not variables:
        return output
    total = _zero_if_finite if _open.compiled else _sum_of_squares
    finite = _on_all_replicas(is_finite(optimizer, loss, gradients, total))
    report(optimizer, finite)
    if tf.distribute.has_strategy():
        # Replicas meet within `apply`, which cannot be in a branch: a bad gradient becomes zero.
        gradients = [tf.where(finite, gradient, tf.zeros_like(gradient)) for gradient in gradients]
        optimizer.apply(gradients, variables)
    elif isinstance(optimizer, LossScaleOptimizer):  # Has a branch of its own.
        optimizer.apply(gradients, variables)
    else:
        if not optimizer.built:
            optimizer.build(variables)  # Not in the branch.
        with fused(optimizer):
            tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)
    return output


def uninterrupted(method, *args, **kwargs):
    return method(*args, **kwargs)


def without_gradient(fn, *inputs):
    return tree.map_structure(tf.stop_gradient, fn(*inputs))


def input_gradient(fn, x):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(fn(x))
    return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


class _Open(threading.local):
    """The steps that this replica is in, and whether XLA compiles the first."""

    def __init__(self):
        self.steps = 0
        self.compiled = False


_open = _Open()


def in_xla():
    """Whether a step is open that XLA compiles."""
    return _open.steps > 0 and _open.compiled


@contextlib.contextmanager
def _entered(model):
    """Notes a step of `model`; gives True within another one of the same replica."""
    if not _open.steps:
        _open.compiled = bool(model.jit_compile)
    _open.steps += 1
    try:
        yield _open.steps > 1
    finally:
        _open.steps -= 1


def _sum_of_squares(gradients):
    return tf.add_n([tf.nn.l2_loss(tf.cast(gradient, "float32")) for gradient in gradients])


def _zero_if_finite(gradients):
    # XLA adds numbers up one by one, and compares many at a time.
    largest = float(np.sqrt(np.finfo("float32").max))
    small = [tf.reduce_all(tf.abs(gradient) < largest) for gradient in gradients]
    return tf.where(tf.reduce_all(small), 0.0, np.nan)


def _on_all_replicas(finite):
    context = tf.distribute.get_replica_context()
    if context is None or not tf.distribute.has_strategy():
        return finite
    bad = tf.cast(tf.logical_not(finite), tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, bad) == 0


def _as_tensor(x):
    return ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x
