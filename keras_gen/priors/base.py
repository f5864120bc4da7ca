import keras

from keras_gen import configs


class Prior(keras.layers.Layer):
    """Base class of the priors: a subclass writes `distribution`, and `build` if it has weights.

    Decorate it with `@keras.saving.register_keras_serializable(...)`, so that a model's file knows
    it. Its arguments are attributes and in `get_config`, next to `super().get_config()`.
    """

    factorises = False  # Whether p(z) is a product over latents, each with a KL of its own.

    def distribution(self, model, y=None):
        """Return p(z), a `Distribution`, with the weights as they are now.

        Args:
            model: The VAE whose prior this is.
            y: Labels, a tensor (batch,), for a prior of your own that is p(z|y).
        """
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`. Write it.")

    def shape_in(self, model):
        """Return the shape that `build` is given: that of a batch of z, vectors."""
        return (None, model.prior_size)

    def noise_size(self, latent_size):
        """Return how many draws from N(0, 1) make one z."""
        return latent_size

    def has_started(self):
        """Return False as long as `start` is to be called, once, with data of the first `fit`."""
        return True

    def start(self, x):
        """Let weights start at what examples are like, NumPy (n, ...)."""

    @classmethod
    def from_config(cls, config):
        # The dtype as in the file: Keras writes no config of arguments that are objects.
        return super().from_config({**configs.deserialize(config), "dtype": config.get("dtype")})
