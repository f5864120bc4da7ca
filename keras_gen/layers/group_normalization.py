import keras
from keras import ops

from keras_gen.dtypes import in_float32
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class GroupNormalization(keras.layers.GroupNormalization):
    """`keras.layers.GroupNormalization` with a correct second derivative on every backend.

    Use it in discriminators with a penalty on their gradient: on TensorFlow, Keras's layer gives
    wrong gradients of the penalty. Arguments, weights and outputs are those of Keras's layer.

    Example:

    ```python
    h = GroupNormalization(groups=2)(keras.ops.ones((8, 5, 5, 4)))
    ```

    Reference:
        Wu and He (2018), "Group Normalization": https://arxiv.org/abs/1803.08494
    """

    def call(self, inputs):
        x = in_float32(inputs)
        axis = self.axis % len(x.shape)
        sizes, channels = ops.shape(x), x.shape[axis]
        # The channels split into (groups, channels of a group).
        grouped = ops.reshape(
            x, (*sizes[:axis], self.groups, channels // self.groups, *sizes[axis + 1 :])
        )
        axes = [a for a in range(1, len(grouped.shape)) if a != axis]
        mean, variance = moments(grouped, axes, keepdims=True)
        factor = ops.rsqrt(variance + self.epsilon)
        shape = [1] * len(grouped.shape)
        shape[axis : axis + 2] = self.groups, channels // self.groups
        if self.scale:  # The factor is a small tensor, the images are a large one.
            factor = factor * ops.cast(ops.reshape(self.gamma, shape), x.dtype)
        outputs = (grouped - mean) * factor
        if self.center:
            outputs = outputs + ops.cast(ops.reshape(self.beta, shape), x.dtype)
        return ops.cast(ops.reshape(outputs, sizes), self.compute_dtype)
