"""Last layers of encoders, and a check of the sizes of networks."""

from keras import layers

from keras_gen.arguments import check_integer, check_integers
from keras_gen.dtypes import output_dtype


def posterior_outputs(h, latent_dim):
    """Return mean and log_var of q(z|x): linear, in float32 because a KL needs the digits."""
    mean = layers.Dense(latent_dim, dtype=output_dtype(), name="mean")(h)
    log_var = layers.Dense(latent_dim, dtype=output_dtype(), name="log_var")(h)
    return mean, log_var


def code_output(h, latent_dim):
    return layers.Dense(latent_dim, dtype=output_dtype(), name="code")(h)


def check_sizes(image_shape, latent_dim, **widths):
    """Return a shape as a tuple, a size as an int, and widths, or one alone, each as a tuple."""
    return (
        check_integers("image_shape", image_shape),
        check_integer("latent_dim", latent_dim),
        *(check_integers(name, values) for name, values in widths.items()),
    )


def check_halvings(image_shape, halvings):
    factor = 2**halvings
    if len(image_shape) != 3 or image_shape[0] % factor or image_shape[1] % factor:
        raise ValueError(
            f"`image_shape` is {tuple(image_shape)}. {halvings} convolutions of stride 2 need "
            f"(height, width, channels) with both sides divisible by {factor}; take fewer of them, "
            f"or resize or pad the images."
        )
