"""Compiled steps where they pay, and the arithmetic of the networks."""

import contextlib

# `compile(jit_compile=...)` by backend and family, the rows of `python -m train.benchmark`: True
# where the table in docs/speed.md says that it wins.
JIT_COMPILE = {
    ("tensorflow", "mlp_vae"): True,
    ("tensorflow", "conv_vae"): "auto",
    ("tensorflow", "dcgan"): "auto",
    ("tensorflow", "wgan_gp"): "auto",
    ("jax", "mlp_vae"): True,
    ("jax", "conv_vae"): "auto",
    ("jax", "dcgan"): "auto",
    ("jax", "wgan_gp"): "auto",
    ("torch", "mlp_vae"): True,
    ("torch", "conv_vae"): True,
    ("torch", "dcgan"): True,
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
