import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable("keras_gen")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, faster on PyTorch where a stride leaves its padding uneven.

    Arguments, weights and outputs are those of Keras's layer. With padding "same" a stride often
    takes one more row and column behind the image than in front. PyTorch pads evenly, so Keras
    copies the image with all its padding; here the copy has the one row and column, and PyTorch
    pads the rest and adds the bias as it computes.

    Example:

    ```python
    h = Conv2D(16, 5, strides=2, padding="same")(keras.ops.ones((8, 28, 28, 1)))
    ```
    """

    def call(self, inputs):
        if backend.conv2d is None or not self._is_same():
            return super().call(inputs)
        bias = ops.convert_to_tensor(self.bias) if self.use_bias else None
        kernel = ops.convert_to_tensor(self.kernel)
        return self.activation(backend.conv2d(inputs, kernel, bias, self.strides))

    def _is_same(self):
        return (
            self.padding == "same"
            and self.groups == 1
            and self.data_format == "channels_last"
            and tuple(self.dilation_rate) == (1, 1)
        )
