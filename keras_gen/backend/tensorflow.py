import functools

import numpy as np
import tensorflow as tf
from keras import ops, tree
from keras.optimizers import LossScaleOptimizer

from keras_gen.backend import parts
from keras_gen.backend.step import Step, enclosing, is_finite, loss_of, running


def step(method):
    training = method.__name__ == "train_step"

    @functools.wraps(method)
    def step_on_tensors(self, data):
        if running() is not None:
            return method(self, data)
        # `train_on_batch`, and eager `fit`, hand over NumPy arrays.
        data = tree.map_structure(_as_tensor, data)
        with Step(self, training) as step:
            return _over_workers(step.run(method, data))

    return step_on_tensors


def descend(optimizer, variables, loss_fn, *inputs):
    step = enclosing()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in variables])
        output = loss_fn(*inputs)
        scaled_loss = optimizer.scale_loss(loss_of(output))
        # `apply` sums the gradients of the replicas; the loss is a mean over each one's part.
        scaled_loss = scaled_loss / tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(
        scaled_loss,
        [variable.value for variable in variables],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    if not variables:  # A player may have none, or be frozen.
        return output
    # Rows of an embedding are added up, as on the other backends; Keras's Adam would square each.
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    finite = _on_all_replicas(is_finite(optimizer, loss_of(output), gradients, _sum_of_squares))
    step.note(optimizer, finite)
    if tf.distribute.has_strategy():
        # Replicas meet within `apply`, which cannot be in a branch: a bad gradient becomes zero.
        gradients = [tf.where(finite, gradient, tf.zeros_like(gradient)) for gradient in gradients]
        optimizer.apply(gradients, variables)
    elif isinstance(optimizer, LossScaleOptimizer):  # Has a branch of its own.
        optimizer.apply(gradients, variables)
    else:
        if not optimizer.built:
            optimizer.build(variables)  # Not in the branch.
        tf.cond(finite, lambda: parts.apply(optimizer, gradients, variables), lambda: None)
    return output


def without_gradient(fn, *inputs):
    return tree.map_structure(tf.stop_gradient, fn(*inputs))


def input_gradient(fn, x):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(fn(x))
    return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


# Not `keras.random`: the generator that XLA selects for it takes twenty times as long.
def normal(shape, dtype, stream):
    return tf.random.stateless_normal(shape, _seed(stream), dtype=dtype, alg="philox")


def uniform(shape, dtype, stream):
    return tf.random.stateless_uniform(shape, _seed(stream), dtype=dtype, alg="philox")


def mean_over_replicas(x):
    context = _replica_context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def gather_from_replicas(x):
    context = _replica_context()
    return x if context is None else context.all_gather(x, axis=0)


def sum_over_processes(tensors):
    return tensors  # Keras's metrics add their variables up when they are read.


class Trainer:
    """Mixin of models: nothing, as Keras's own trainer serves."""


def predict_on_batch(network, x):
    return network.predict_on_batch(x)


def _seed(stream):
    # XLA takes no seed of 64 bits.
    return tf.cast(tf.math.floormod(stream.next(), tf.int32.max - 1), tf.int32)


def _sum_of_squares(gradients):
    return tf.add_n([tf.nn.l2_loss(tf.cast(gradient, "float32")) for gradient in gradients])


def _on_all_replicas(finite):
    context = _replica_context()
    if context is None:
        return finite
    bad = tf.cast(tf.logical_not(finite), tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, bad) == 0


def _replica_context():
    """Return the replica, where there are several and this is one of them."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return None
    return tf.distribute.get_replica_context()


def _over_workers(logs):
    """Return logs as `fit` of Keras 3.15 expects them with several workers, else unchanged.

    It takes their mean over an axis that scalars do not have:
    https://github.com/tensorflow/tensorflow/issues/72388
    """
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}


def _as_tensor(x):
    return ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x
