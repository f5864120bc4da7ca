"""Compiled steps where they pay, and the arithmetic of the networks."""

import contextlib

# `compile(jit_compile=...)` by backend and family, the rows of `python -m train.benchmark`. True
# belongs where that table says that it wins. All are "auto", Keras's default, until the table has
# been printed on an idle machine.
JIT_COMPILE = {
    ("tensorflow", "mlp_vae"): "auto",
    ("tensorflow", "conv_vae"): "auto",
    ("tensorflow", "dcgan"): "auto",
    ("tensorflow", "wgan_gp"): "auto",
    ("jax", "mlp_vae"): "auto",
    ("jax", "conv_vae"): "auto",
    ("jax", "dcgan"): "auto",
    ("jax", "wgan_gp"): "auto",
    ("torch", "mlp_vae"): "auto",
    ("torch", "conv_vae"): "auto",
    ("torch", "dcgan"): "auto",
    ("torch", "wgan_gp"): "auto",
}


def jit_compile(args, family):
    """Return what `compile` is given: --jit-compile, or else the value of the table."""
    import keras

    given = {"auto": "auto", "true": True, "false": False}
    if args.jit_compile is not None:
        return given[args.jit_compile]
    if args.devices > 1:  # Measured on one device only.
        return "auto"
    return JIT_COMPILE.get((keras.config.backend(), family), "auto")


@contextlib.contextmanager
def precision(dtype):
    """Make networks and models inside compute in `dtype`, one of `options.DTYPES`."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
