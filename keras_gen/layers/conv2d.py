import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable("keras_gen")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, faster on PyTorch with padding "same".

    Arguments, weights and outputs are those of Keras's layer. A stride often takes one more row
    and column of padding behind the image than in front, and PyTorch pads evenly. So Keras copies
    the image with all of its padding; here the copy has the one row and column more, and PyTorch
    pads the rest. It also adds the bias as it computes.

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
