import keras
from keras import ops

from keras_gen.arguments import check_integer


@keras.saving.register_keras_serializable("keras_gen")
class Maxout(keras.layers.Layer):
    """Maximum over every group of `pieces` neighbouring channels.

    After a Dense layer of `units * pieces` it is the paper's maxout layer of `units`: each unit
    is the maximum of `pieces` linear functions.

    Args:
        pieces: Channels in a group; k in the paper. It must divide the number of channels.

    Example:

    ```python
    h = Maxout(pieces=5)(keras.layers.Dense(200 * 5)(keras.ops.ones((8, 4))))  # (8, 200)
    ```

    Reference:
        Goodfellow et al. (2013), "Maxout Networks": https://arxiv.org/abs/1302.4389
    """

    def __init__(self, pieces, **kwargs):
        super().__init__(**kwargs)
        self.pieces = check_integer("pieces", pieces)

    def build(self, input_shape):
        if input_shape[-1] % self.pieces:
            raise ValueError(
                f"Maxout makes one of every {self.pieces} channels, and its input has "
                f"{input_shape[-1]}. Pass a multiple of {self.pieces} channels."
            )

    def call(self, inputs):
        shape = (*ops.shape(inputs)[:-1], inputs.shape[-1] // self.pieces, self.pieces)
        return ops.max(ops.reshape(inputs, shape), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.pieces)

    def get_config(self):
        return {**super().get_config(), "pieces": self.pieces}
