import keras
from keras import ops

from keras_gen.layers.noise import Noise


@keras.saving.register_keras_serializable("keras_gen")
class Sampling(Noise):
    """Reparameterised draw from N(mean, exp(log_var)): z = mean + exp(log_var / 2) * eps.

    eps is from N(0, I), and the gradient reaches `mean` and `log_var`. The layer draws at
    inference too: pass `deterministic=True` for the mean.

    Args:
        seed: Integer or None. The state of the random generator is saved with the layer.

    Call arguments:
        inputs: `(mean, log_var)`, two tensors of one shape, usually (batch, latent_dim).
        deterministic: True returns `mean` itself.

    Example:

    ```python
    z = Sampling(seed=0)((keras.ops.zeros((2, 3)), keras.ops.zeros((2, 3))))
    ```

    Reference:
        Kingma and Welling (2014), "Auto-Encoding Variational Bayes", section 2.4:
        https://arxiv.org/abs/1312.6114
    """

    def call(self, inputs, deterministic=False):
        mean, log_var = inputs
        if deterministic:
            return mean
        return mean + ops.exp(0.5 * log_var) * self.noise(ops.shape(mean))

    def noise(self, shape):
        """Draw eps, standard normal: the one place where this layer draws."""
        return self.normal(shape)

    def compute_output_shape(self, input_shape):
        mean_shape, _ = input_shape
        return mean_shape
