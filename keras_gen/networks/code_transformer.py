"""A transformer over sequences of codes."""

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels


def code_transformer(num_codes, length, width=128, depth=2, heads=4, dropout=0.1, num_classes=None):
    """Build a causal transformer: the logits of each code, made of the codes before it.

    Pre-norm blocks of self-attention with a causal mask and two Dense layers. A pass over n
    sequences takes about n * length * (24 * depth * width^2 + 2 * width * num_codes) operations,
    and more for the attention where `length` is above `width`.

    Args:
        num_codes: K, codes are integers from 0 to K - 1.
        length: Codes in a sequence.
        width: Size of the vectors; a multiple of `heads`.
        depth: Number of blocks.
        heads: Heads of each attention.
        dropout: Rate within the blocks, in training.
        num_classes: For labels: the network has an input y, integers (batch,), next to the codes.

    Returns:
        Keras model, codes -> logits: (batch, length) integers to (batch, length, num_codes), the
        logits at position i a function of the codes before i; with `num_classes` [codes, y].

    Example:

    ```python
    network = kg.networks.code_transformer(num_codes=16, length=49, width=32, depth=1)
    prior = kg.priors.CodePrior(network)
    ```

    References:
        Vaswani et al. (2017), "Attention Is All You Need": https://arxiv.org/abs/1706.03762
        Xiong et al. (2020), "On Layer Normalization in the Transformer Architecture":
        https://arxiv.org/abs/2002.04745
    """
    num_codes, length = check_integer("num_codes", num_codes), check_integer("length", length)
    width, depth = check_integer("width", width), check_integer("depth", depth)
    heads = check_integer("heads", heads)
    num_classes = labels.check_num_classes(num_classes)
    if width % heads:
        raise ValueError(f"`width` is {width}. Pass a multiple of `heads`, {heads}.")
    inputs = codes = keras.Input((length,), dtype="int32", name="codes")
    h = layers.Embedding(num_codes, width)(codes)
    # One place to the right: each position sees the code before it, and the first sees none.
    h = layers.Cropping1D((0, 1))(layers.ZeroPadding1D((1, 0))(h))
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs = [codes, y]
        embedded = layers.Embedding(num_classes, width, name="class_embedding")(y)
        h = layers.Add()([h, layers.RepeatVector(length)(embedded)])
    # With a bias for each position: that is its embedding.
    h = layers.EinsumDense("bld,de->ble", (length, width), bias_axes="le")(h)
    for _ in range(depth):
        h = _block(h, width, heads, dropout)
    logits = layers.Dense(num_codes, dtype=output_dtype(), name="logits")
    return keras.Model(inputs, logits(layers.LayerNormalization()(h)), name="code_transformer")


def _block(h, width, heads, dropout):
    a = layers.LayerNormalization()(h)
    a = layers.MultiHeadAttention(heads, width // heads)(a, a, use_causal_mask=True)
    h = layers.Add()([h, layers.Dropout(dropout)(a)])
    f = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(h))
    return layers.Add()([h, layers.Dropout(dropout)(layers.Dense(width)(f))])
