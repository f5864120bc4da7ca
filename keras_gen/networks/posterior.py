"""Last layers of encoders, and a check of the sizes of networks."""

from keras import layers

from keras_gen import posteriors
from keras_gen.arguments import check_integer, check_integers
from keras_gen.dtypes import output_dtype


def posterior_outputs(h, latent_dim, posterior="diagonal_normal"):
    """Return the outputs of an encoder for a posterior, such as (mean, log_var), made of features.

    They are linear, each of a Dense layer, in float32 because a KL needs the digits.

    Args:
        h: Features, a KerasTensor (batch, size), the last hidden layer of an encoder.
        latent_dim: Size of z.
        posterior: A layer of `kg.posteriors`, or its name.

    Example:

    ```python
    x = keras.Input((28, 28, 1))
    h = keras.layers.Dense(100, "relu")(keras.layers.Flatten()(x))
    encoder = keras.Model(x, kg.networks.posterior_outputs(h, 10, "full_covariance"))
    ```
    """
    sizes = posteriors.get(posterior).outputs(latent_dim)
    dense = (layers.Dense(size, dtype=output_dtype(), name=name) for name, size in sizes.items())
    return tuple(layer(h) for layer in dense)


def code_output(h, latent_dim):
    return layers.Dense(latent_dim, dtype=output_dtype(), name="code")(h)


def check_sizes(image_shape, latent_dim, **widths):
    """Return a shape as a tuple, a size as an int, and widths, or one alone, each as a tuple."""
    return (
        check_integers("image_shape", image_shape),
        check_integer("latent_dim", latent_dim),
        *(check_integers(name, values) for name, values in widths.items()),
    )


def check_halvings(image_shape, halvings, otherwise="use `mlp_vae`, or "):
    factor = 2**halvings
    if len(image_shape) != 3 or min(image_shape[:2]) < 2:
        raise ValueError(
            f"`image_shape` is {tuple(image_shape)}. Convolutions of stride 2 need (height, width, "
            f"channels) with sides of 2 and more; for a table or a series {otherwise}build "
            f"networks of your own."
        )
    if not any(side % factor for side in image_shape[:2]):
        return
    ways = "; resize or pad the images"
    if halvings > 1 and not any(side % 2 for side in image_shape[:2]):
        ways = "; take fewer of them, or resize or pad the images"
    if image_shape[0] in (1, 3, 4) and image_shape[2] not in (1, 3, 4):
        ways = ". Its channels come first; Keras's layers expect them last"
    raise ValueError(
        f"`image_shape` is {tuple(image_shape)}. {halvings} "
        f"convolution{'s' * (halvings > 1)} of stride 2 need (height, width, channels) with both "
        f"sides divisible by {factor}{ways}."
    )
