import keras
import numpy as np
from keras import ops

from keras_gen import backend, borrowed, configs, seeds
from keras_gen.arguments import check_integer, check_seed
from keras_gen.dtypes import in_float32


@keras.saving.register_keras_serializable("keras_gen")
class CodePrior(keras.layers.Layer):
    """p(c) of sequences of codes, one code after the other: the learned prior of a `VQVAE`.

        log p(c) = sum_i log p(c_i | c_1, ..., c_{i-1}),

    in nats, where a network gives the logits of each factor at once. With labels it is p(c|y).
    `VQVAE.fit_prior` makes one and trains it. It is no density of vectors: the priors of a `VAE`
    are another kind.

    Args:
        network: Keras model, codes (batch, length) -> logits (batch, length, num_codes), those at
            position i a function of the codes before i alone; with labels [codes, y].
            `kg.networks.code_transformer` is one.

    Call arguments:
        codes: Integers (batch, length).
        y: Labels (batch,), where the network takes them.
        training: True turns dropout on.

    Example:

    ```python
    prior = CodePrior(kg.networks.code_transformer(num_codes=16, length=9, width=32, depth=1))
    codes = prior.sample(4, seed=0)  # (4, 9)
    nats = prior.log_prob(codes)  # (4,)
    ```

    Reference:
        van den Oord et al. (2017), "Neural Discrete Representation Learning", section 3.3:
        https://arxiv.org/abs/1711.00937
    """

    def __init__(self, network, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if not isinstance(network, keras.Model) or not hasattr(network, "output_shape"):
            raise ValueError(
                f"`network` is a {type(network).__name__}. Pass a functional Keras model, such as "
                f"`kg.networks.code_transformer` builds."
            )
        self.network = network
        shapes = network.input_shape
        self.takes_labels = isinstance(shapes, list)
        given = shapes[0] if self.takes_labels else shapes
        logits = network.output_shape
        if len(given) != 2 or None in given[1:] or len(logits) != 3 or logits[:2] != given:
            raise ValueError(
                f"The `network` maps {shapes} to {logits}. A CodePrior needs one from codes (None, "
                f"length) to logits (None, length, num_codes)."
            )
        self.built = True

    @property
    def length(self):
        """Codes in a sequence."""
        return self.network.output_shape[1]

    @property
    def num_codes(self):
        """Number of different codes."""
        return self.network.output_shape[2]

    def set_trainable(self, value):
        """Set `trainable` of this layer and of all layers of its network, at any depth."""
        # TensorFlow leaves out what is set to the value that it has, and with it what lies below.
        for layer in borrowed.all_layers(self):
            layer.trainable = value

    @property
    def num_classes(self):
        """Number of classes of a `code_transformer` with labels; None if that is not known."""
        layers = {layer.name: layer for layer in self.network.layers}
        return layers["class_embedding"].input_dim if "class_embedding" in layers else None

    def call(self, codes, y=None, training=False):
        inputs = codes if y is None else [codes, y]
        return in_float32(self.network(inputs, training=training))

    def log_prob(self, codes, y=None, training=False):
        """Return log p(c), or log p(c|y), in nats, a tensor (batch,)."""
        codes = ops.convert_to_tensor(codes, "int32")
        log_p = ops.log_softmax(self(codes, y, training=training))  # (batch, length, K)
        return ops.sum(ops.take_along_axis(log_p, codes[..., None], axis=-1), axis=(1, 2))

    def sample(self, n, y=None, temperature=1.0, seed=None, batch_size=64):
        """Return n draws of codes, NumPy int32 (n, length).

        Codes are drawn one position after the other, each by a pass of the network over whole
        sequences: `length` passes for each batch. An integer `seed` gives the same codes each time,
        on every backend up to the rounding of the logits.

        Args:
            n: Number of sequences.
            y: Labels (n,), where the network takes them.
            temperature: Positive; logits are divided by it. Below 1 likely codes are likelier.
            seed: Integer or None.
            batch_size: Sequences in a pass.
        """
        n = check_integer("n", n)
        batch_size = min(check_integer("batch_size", batch_size), n)
        if not temperature > 0:
            raise ValueError(f"`temperature` is {temperature!r}. Pass a positive number.")
        (stream,) = seeds.split(None, 1) if check_seed(seed) is None else (seed,)
        uniform = np.random.default_rng(stream).random((n, self.length))
        y = self._labels(y, n)
        parts = [slice(start, start + batch_size) for start in range(0, n, batch_size)]
        drawn = [
            self._draw(uniform[part], None if y is None else y[part], temperature, batch_size)
            for part in parts
        ]
        return np.concatenate(drawn)

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config):
        return cls(**{**configs.deserialize(config), "dtype": config.get("dtype")})

    def _labels(self, y, n):
        """Return labels as int32 (n,), or None; ValueError if the network takes others."""
        if (y is not None) != self.takes_labels:
            way = "needs labels. Pass `y=`" if self.takes_labels else "has no labels. Leave `y` out"
            raise ValueError(f"The network {way}.")
        if y is None:
            return None
        y = np.asarray(y)
        y = np.full(n, y) if y.ndim == 0 else y
        if y.shape != (n,) or y.dtype.kind not in "iu":
            raise ValueError(
                f"`y` has shape {y.shape} and type {y.dtype}. Pass integers ({n},), or one for all."
            )
        return y.astype("int32")

    def _draw(self, uniform, y, temperature, batch_size):
        """Return codes made of draws from U[0, 1), (n, length), in one batch of a fixed size."""
        n = len(uniform)
        codes = np.zeros((batch_size, self.length), "int32")  # Those to come change nothing.
        y = None if y is None else np.resize(y, batch_size)
        for i in range(self.length):
            inputs = codes if y is None else [codes, y]
            logits = backend.predict_on_batch(self.network, inputs)[:n, i]
            if not np.isfinite(logits).all():
                raise ValueError(
                    "The network gives logits that are not finite: it diverged, or a label is out "
                    "of its range."
                )
            codes[:n, i] = _choose(logits.astype("float64") / temperature, uniform[:, i])
        return codes[:n]


def _choose(logits, uniform):
    """Return the code whose part of [0, 1) holds each number of `uniform`, (n,)."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    ends = np.cumsum(p, axis=1)
    return np.sum(uniform[:, None] * ends[:, -1:] >= ends, axis=1)
