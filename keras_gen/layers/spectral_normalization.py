import keras
from keras import ops

from keras_gen.arguments import check_integer
from keras_gen.dtypes import in_float32


@keras.saving.register_keras_serializable("keras_gen")
class SpectralNormalization(keras.layers.Wrapper):
    """Wrapper that divides a layer's kernel by its largest singular value, sigma.

    The kernel is read as a matrix with one column for each output channel. In training, power
    iteration improves the estimate of its singular vector, which is a weight of this wrapper. The
    kernel is divided in training and at inference, and the gradient goes through sigma. The
    wrapped layer's own `kernel` is not changed: the raw weights are trained.

    Args:
        layer: A Dense, Conv1D to Conv3D, or Conv1DTranspose to Conv3DTranspose layer, with
            its activation, bias and regularisers.
        power_iterations: Power iterations in each training call, at least 1.

    Example:

    ```python
    layer = SpectralNormalization(keras.layers.Conv2D(64, 4, strides=2, padding="same"))
    h = layer(keras.ops.ones((8, 28, 28, 1)), training=True)
    ```

    Reference:
        Miyato et al. (2018), "Spectral Normalization for Generative Adversarial Networks",
        algorithm 1: https://arxiv.org/abs/1802.05957
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        if not isinstance(layer, (*_LAST_AXIS, *_LAST_AXIS_BUT_ONE)):
            raise ValueError(
                f"`layer` is a {type(layer).__name__}. SpectralNormalization wraps "
                f"{', '.join(kind.__name__ for kind in (*_LAST_AXIS, *_LAST_AXIS_BUT_ONE))}."
            )
        super().__init__(layer, **kwargs)
        self.power_iterations = check_integer("power_iterations", power_iterations)

    def build(self, input_shape):
        super().build(input_shape)
        self.u = self.add_weight(
            shape=(1, self._matrix().shape[1]),
            initializer="random_normal",
            trainable=False,
            # On torch, values assigned to a variable under autocast are lost.
            autocast=False,
            name="u",
        )

    def call(self, inputs, training=None):
        # activation((kernel / sigma) x + bias) = activation(kernel (x / sigma) + bias).
        return self.layer(inputs / ops.cast(self.sigma(training), inputs.dtype))

    def sigma(self, training=False):
        """Return the estimated largest singular value of the kernel, in float32 or wider."""
        matrix = self._matrix()
        fixed_matrix = ops.stop_gradient(matrix)
        u = _unit(ops.convert_to_tensor(self.u))
        if training:
            for _ in range(self.power_iterations):
                u = _unit(ops.matmul(_left_singular_vector(fixed_matrix, u), fixed_matrix))
            self.u.assign(u)
        sigma = ops.sum(ops.matmul(_left_singular_vector(fixed_matrix, u), matrix) * u)
        # A kernel of zeros is divided by 1.
        return ops.where(sigma > 0, sigma, ops.ones_like(sigma))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "power_iterations": self.power_iterations}

    def _matrix(self):
        kernel = in_float32(ops.convert_to_tensor(self.layer.kernel))
        if isinstance(self.layer, _LAST_AXIS_BUT_ONE):
            kernel = ops.swapaxes(kernel, -1, -2)
        return ops.reshape(kernel, (-1, kernel.shape[-1]))


# The axis of the kernel that holds the output channels.
_LAST_AXIS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_LAST_AXIS_BUT_ONE = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def _left_singular_vector(matrix, u):
    """Return the unit vector v, (1, rows), that belongs to u, (1, columns)."""
    return _unit(ops.matmul(u, ops.transpose(matrix)))


def _unit(vector):
    return vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-12)
