"""TensorFlow's fused Adam on the state of Keras's: one pass over the parameters, not twelve."""

import tensorflow as tf
from keras import ops

from keras_gen.accelerate.adam import is_plain, moments


def apply(optimizer, gradients, variables):
    """Make an optimizer's update, by the fused kernel where it is plain Adam."""
    floats = all(variable.dtype in ("float32", "float64") for variable in variables)
    if not (floats and is_plain(optimizer, variables)):
        optimizer.apply(gradients, variables)
        return
    for variable, gradient, m, v in zip(
        variables, gradients, *moments(optimizer, variables), strict=True
    ):
        dtype = variable.dtype
        numbers = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
        beta_1, beta_2, epsilon = (tf.constant(number, dtype) for number in numbers)
        step = ops.cast(optimizer.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=m.value.handle,
            v=v.value.handle,
            # Keras rounds both to float32 here, and only here.
            beta1_power=tf.pow(ops.cast(optimizer.beta_1, dtype), step),
            beta2_power=tf.pow(ops.cast(optimizer.beta_2, dtype), step),
            lr=ops.cast(optimizer.learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, dtype),
        )
    optimizer.iterations.assign_add(1)
