import keras
from keras import ops

from keras_gen import backend
from keras_gen.backend import replicas
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` for several devices, and for second derivatives.

    Arguments, weights and outputs are those of Keras's layer. Within a step the mean and the
    variance are those of the batch of all devices together, which Keras's own offers on
    TensorFlow alone; and under a penalty on a discriminator's gradient, which is differentiated
    twice, Keras's own is wrong on TensorFlow.

    Example:

    ```python
    h = BatchNormalization(momentum=0.9)(keras.ops.ones((8, 4)), training=True)
    ```

    Reference:
        Ioffe and Szegedy (2015): https://arxiv.org/abs/1502.03167
    """

    def call(self, inputs, training=None, mask=None):
        unlike = mask is not None or self.synchronized or self.renorm or replicas.part()[1] > 1
        if backend.batch_norm is None or unlike or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        # One kernel in place of ten sums and products.
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        scale = ops.cast(self.gamma, dtype) if self.scale else None
        offset = ops.cast(self.beta, dtype) if self.center else None
        x = ops.cast(inputs, dtype)
        y, *found = backend.batch_norm(x, self.axis, scale, offset, self.epsilon)
        for moving, now in zip((self.moving_mean, self.moving_variance), found, strict=True):
            moving.assign(
                self.momentum * ops.cast(moving, dtype) + (1 - self.momentum) * ops.cast(now, dtype)
            )
        return ops.cast(y, self.compute_dtype)

    # The one hook that Keras's layer has for what is wrong in it.
    def _moments(self, inputs, mask):
        if mask is not None or self.synchronized:
            # These two sum for themselves, and are right.
            return super()._moments(inputs, mask)
        return moments(inputs, self._reduction_axes, average=replicas.mean_over_replicas)
