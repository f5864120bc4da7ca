import keras
from keras import ops

from keras_gen.dtypes import in_float32
from keras_gen.layers.moments import moments


@keras.saving.register_keras_serializable("keras_gen")
class GroupNormalization(keras.layers.GroupNormalization):
    """`keras.layers.GroupNormalization` with a right second derivative on every backend.

    For discriminators under a penalty on their gradient. Arguments, weights and outputs are
    those of Keras's layer; on TensorFlow Keras's own gives wrong penalty gradients.

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
        outputs = ops.reshape((grouped - mean) * ops.rsqrt(variance + self.epsilon), sizes)
        shape = [channels if a == axis else 1 for a in range(len(x.shape))]
        if self.scale:
            outputs = outputs * ops.cast(ops.reshape(self.gamma, shape), x.dtype)
        if self.center:
            outputs = outputs + ops.cast(ops.reshape(self.beta, shape), x.dtype)
        return ops.cast(outputs, self.compute_dtype)
