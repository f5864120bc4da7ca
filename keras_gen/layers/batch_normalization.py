import keras

from keras_gen import backend
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` for several devices, and for second derivatives.

    Arguments, weights and outputs are those of Keras's layer. Two things differ. Within a training
    step the mean and the variance are those of the whole batch, over all devices; Keras's layer
    can do that on TensorFlow alone. And the second derivative is right on every backend. Keras's
    is wrong on TensorFlow, which matters for a penalty on a discriminator's gradient.

    Example:

    ```python
    h = BatchNormalization(momentum=0.9)(keras.ops.ones((8, 4)), training=True)
    ```

    Reference:
        Ioffe and Szegedy (2015): https://arxiv.org/abs/1502.03167
    """

    # Keras 3.15.1: private. A public method that computes them, and nothing else, would replace it.
    def _moments(self, inputs, mask):
        if mask is not None or self.synchronized:
            # In these two cases Keras computes its own sums, and they are right.
            return super()._moments(inputs, mask)  # Keras 3.15.1: as above, until replaced.
        axes = [axis for axis in range(len(inputs.shape)) if axis != self.axis % len(inputs.shape)]
        return moments(inputs, axes, average=backend.mean_over_replicas)
