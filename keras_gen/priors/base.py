import keras

from keras_gen import configs


class Prior(keras.layers.Layer):
    """Base class of the priors: a subclass writes `distribution`, and `build` if it has weights.

    Decorate it with `@keras.saving.register_keras_serializable(...)`, so that a model's file knows
    it. Its arguments are attributes and in `get_config`, next to `super().get_config()`.
    """

    factorises = False  # Whether p(z) is a product over latents, each with a KL of its own.
    needs_density = False  # Whether p(z) is made of q(z|x), at z that are not draws of it.

    def distribution(self, model):
        """Return p(z) of the VAE `model`, a `Distribution`, with the weights as they are now."""
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`. Write it.")

    def shape_in(self, model):
        """Return the shape that `build` is given: that of a batch of z, vectors."""
        return (None, model.prior_size)

    def needs_data(self):
        """Return whether `initialize_from_data` is to be called when training begins."""
        return False

    def initialize_from_data(self, x):
        """Set weights to where examples, NumPy (n, ...), say that they are to start."""

    @classmethod
    def from_config(cls, config):
        # The dtype as in the file: Keras writes no config of arguments that are objects.
        return super().from_config({**configs.deserialize(config), "dtype": config.get("dtype")})
