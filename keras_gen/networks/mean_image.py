import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_gen")
class LogitsOfMean(keras.initializers.Initializer):
    """Initial bias of a decoder of logits, with which its first output is the mean image.

    Without it the first epochs are spent on learning the mean. If there is one bias per channel,
    as in a convolution, it starts at the mean over the pixels.

    Args:
        mean_image: Array in the shape of an example, values in [0, 1], such as `x.mean(0)`. Values
            are clipped to [.001, .999]: the logit of a pixel that is never on would be infinite.

    Example:

    ```python
    keras.layers.Dense(784, bias_initializer=LogitsOfMean(x.mean(0)))
    ```
    """

    def __init__(self, mean_image):
        self.mean_image = np.asarray(mean_image, "float64")
        if not (np.min(self.mean_image) >= 0 and np.max(self.mean_image) <= 1):
            raise ValueError(
                f"`mean_image` lies in [{self.mean_image.min():g}, {self.mean_image.max():g}]. "
                f"Pass the mean of images in [0, 1]."
            )

    def __call__(self, shape, dtype=None):
        mean = np.clip(self.mean_image.reshape(-1, *shape).mean(axis=0), 0.001, 0.999)
        return ops.convert_to_tensor(np.log(mean) - np.log1p(-mean), dtype=dtype)

    def get_config(self):
        return {"mean_image": self.mean_image.tolist()}


def initial_bias(mean_image, image_shape, parameters_per_value):
    if mean_image is None:
        return "zeros"
    if parameters_per_value != 1:
        raise ValueError(
            f"`mean_image` needs a decoder of logits, and with "
            f"parameters_per_value={parameters_per_value} the decoder gives something else. "
            f"Leave it out."
        )
    if np.shape(mean_image) != tuple(image_shape):
        raise ValueError(
            f"`mean_image` has shape {np.shape(mean_image)}. Pass that of one example, "
            f"{tuple(image_shape)}: `x.mean(0)`."
        )
    return LogitsOfMean(mean_image)
