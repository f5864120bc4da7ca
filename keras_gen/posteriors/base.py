import keras


class Posterior(keras.layers.Layer):
    """Base class of the posteriors: a subclass writes `outputs` and `distribution`.

    One with weights makes them in `build`, which is given (None, size of z). Decorate it with
    `@keras.saving.register_keras_serializable(...)`, so that a model's file knows it. Its arguments
    are attributes and in `get_config`, next to `super().get_config()`.
    """

    factorises = False  # Whether q(z|x) is a product over latents, each with a KL of its own.
    has_density = True  # Whether log q(z|x) is known at every z, or at its own draws alone.

    def outputs(self, size):
        """Return what an encoder has to give for z of `size` values, names -> sizes.

        The mean and log_var of a normal come first, each of `size`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `outputs`. Write it.")

    def distribution(self, *parameters):
        """Return q(z|x), a `Distribution`, of the encoder's outputs as vectors, (..., size)."""
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`. Write it.")


class Distribution:
    """q(z|x) of several x: a subclass writes `draw`, and what else it knows.

    Args:
        mean: (..., d), of the normal that the encoder gives.
        log_var: (..., d).
        *others: What else the encoder gives, (..., size) each.
    """

    def __init__(self, mean, log_var, *others):
        self.mean = mean
        self.log_var = log_var
        self.others = others

    @property
    def center(self):
        """The one z that stands for each x, (..., d): the mean, where it is known."""
        return self.mean

    def draw(self, noise):
        """Return z from q(z|x), made of draws from N(0, I), (..., d), and log q(z|x), (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no `draw`. Write it.")

    def log_prob(self, z):
        """Return log q(z|x) in nats, summed over the latents, shape (..., d) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} knows log q(z|x) at its draws alone.")

    def kl_to_standard_normal(self):
        """Return KL(q(z|x) || N(0, I)) in nats, (..., d) or (..., 1); None if it is not known."""
        return None

    def map(self, function):
        """Return the distribution whose parameters are `function` of those of this one."""
        return type(self)(*map(function, (self.mean, self.log_var, *self.others)))
