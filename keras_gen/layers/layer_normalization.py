import keras
from keras import ops

from keras_gen.dtypes import in_float32
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` with a correct second derivative on every backend.

    Use it in critics with a penalty on their gradient, as in WGAN-GP: on TensorFlow, Keras's layer
    gives wrong gradients of the penalty. Arguments, weights and outputs are those of Keras's
    layer. `axis=[1, 2, 3]` normalises a whole image, as in the WGAN-GP paper.

    Example:

    ```python
    h = LayerNormalization()(keras.ops.ones((8, 4)))
    ```

    Reference:
        Ba et al. (2016), "Layer Normalization": https://arxiv.org/abs/1607.06450
    """

    def call(self, inputs):
        if self.rms_scaling:
            return super().call(inputs)
        x = in_float32(inputs)
        mean, variance = moments(x, self.axis, keepdims=True)
        outputs = (x - mean) * ops.rsqrt(variance + self.epsilon)
        axes = [axis % len(x.shape) for axis in self.axis]
        shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
        if self.scale:
            outputs = outputs * ops.cast(ops.reshape(self.gamma, shape), x.dtype)
        if self.center:
            outputs = outputs + ops.cast(ops.reshape(self.beta, shape), x.dtype)
        return ops.cast(outputs, self.compute_dtype)
