"""What XLA compiles to faster code than TensorFlow's and JAX's own function of that name."""

from keras import ops


def softplus(x):
    """log(1 + exp(x)) of finite x, with the gradient sigmoid(x) everywhere, at 0 too."""
    size = ops.abs(x)
    return 0.5 * x + 0.5 * size + ops.log1p(ops.exp(-size))
