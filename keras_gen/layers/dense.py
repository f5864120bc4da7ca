import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable("keras_gen")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, faster on PyTorch where MKL is slow: on CPUs not of Intel.

    Arguments, weights and outputs are those of Keras's layer. There the products of large matrices
    are taken by oneDNN, as PyTorch takes its convolutions, in half the time.

    Example:

    ```python
    h = Dense(400, activation="relu")(keras.ops.ones((128, 784)))
    ```
    """

    def call(self, inputs, training=None):
        x = None
        if backend.product is not None:
            x = backend.product(inputs, ops.convert_to_tensor(self.kernel))
        if x is None:
            return super().call(inputs, training=training)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def quantize(self, mode=None, type_check=True, **options):
        # Keras refuses classes that may compute something else; this one does not.
        type_check = type_check and type(self) is not Dense
        return super().quantize(mode, type_check=type_check, **options)
