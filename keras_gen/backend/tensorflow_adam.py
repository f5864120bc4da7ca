"""TensorFlow's fused Adam on the state of Keras's: one pass over the parameters, not twelve."""

import contextlib

import keras
import tensorflow as tf
from keras import ops

from keras_gen.backend.replaced import replaced


def fused(optimizer):
    """Within it `optimizer.apply` is fused, where it is Adam or AdamW as Keras has them.

    Clipping, weight decay, averages, accumulation, constraints and the state stay Keras's own.
    """
    keras_own = type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW)
    if not keras_own or optimizer.amsgrad:
        return contextlib.nullcontext()
    return replaced(optimizer, "update_step", _update)


def _update(optimizer, gradient, variable, learning_rate):
    dtype = variable.dtype
    if dtype not in (tf.float32, tf.float64):
        type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
        return
    place = optimizer._get_variable_index(variable)
    beta_1, beta_2 = (ops.cast(beta, dtype) for beta in (optimizer.beta_1, optimizer.beta_2))
    step = ops.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[place].value.handle,
        v=optimizer._velocities[place].value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=ops.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=ops.cast(optimizer.epsilon, dtype),
        # Rows of an embedding are added up first, as on the other backends; Keras squares each.
        grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
    )
