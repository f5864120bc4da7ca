import keras
from keras import ops

from keras_gen import backend
from keras_gen.arguments import check_integer
from keras_gen.dtypes import in_float32
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class MinibatchStdDev(keras.layers.Layer):
    """Appends one channel that says how much the examples of a batch differ.

    Its value is one number for each group of examples: the standard deviation of every feature
    over the group, averaged over features and positions. The input is (batch, ..., channels), and
    the output has one channel more. A batch of one example raises ValueError.

    Args:
        group_size: None makes the whole batch one group, of any size. An integer must divide
            the batch size; the groups are interleaved, as in the authors' code, which uses 4. On
            several devices, except on JAX, a group lies within one device's part of the batch.

    Example:

    ```python
    h = MinibatchStdDev()(keras.ops.ones((8, 4, 4, 16)))  # (8, 4, 4, 17)
    ```

    Reference:
        Karras et al. (2018), "Progressive Growing of GANs", section 3:
        https://arxiv.org/abs/1710.10196
    """

    def __init__(self, group_size=None, **kwargs):
        if group_size is not None:
            group_size = check_integer("group_size", group_size, least=2)
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, inputs):
        check_batch(self, inputs, self.group_size)
        x = in_float32(inputs)  # In float16 the 1e-8 below would be 0.
        if self.group_size is None:
            grouped = ops.expand_dims(x, 1)
        else:
            grouped = ops.reshape(x, (self.group_size, -1, *ops.shape(x)[1:]))
        whole = self.group_size is None
        average = backend.mean_over_replicas if whole else lambda mean: mean
        _, variance = moments(grouped, 0, keepdims=True, average=average)
        deviation = ops.sqrt(variance + 1e-8)  # The slope of the square root at 0 is infinite.
        spread = ops.mean(deviation, axis=list(range(2, len(grouped.shape))), keepdims=True)
        channel = spread + ops.zeros_like(grouped[..., :1])  # (G, n / G, ..., 1)
        channel = ops.reshape(channel, (*ops.shape(inputs)[:-1], 1))
        return ops.concatenate([inputs, ops.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}


def check_batch(layer, inputs, divisor=None):
    """Raise ValueError if a layer that compares examples cannot handle a batch of this size."""
    size = inputs.shape[0]
    if size is None:
        return
    if size == 1:
        raise ValueError(
            f"{type(layer).__name__} compares the examples of a batch, and this one has a single "
            f"example. Pass at least 2."
        )
    if divisor is not None and size % divisor:
        raise ValueError(
            f"{type(layer).__name__} splits a batch into groups of {divisor}, and this one has "
            f"{size} examples. Pass a multiple, or `group_size=None`."
        )
