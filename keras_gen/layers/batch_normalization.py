import keras

from keras_gen import backend
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

    # Keras 3.15.1: the one place where the layer takes them. Public moments would replace it.
    def _moments(self, inputs, mask):
        if mask is not None or self.synchronized:
            # These two sum for themselves, and are right.
            return super()._moments(inputs, mask)
        return moments(inputs, self._reduction_axes, average=backend.mean_over_replicas)
