import numbers

import keras
from keras import ops

from keras_gen import backend, configs
from keras_gen.arguments import check_fraction, check_integer, plain
from keras_gen.dtypes import in_float32, wide
from keras_gen.layers.noise import Noise
from keras_gen.layers.quantizer import Quantizer, straight_through


def _check_fraction(name, value):
    check_fraction(name, value)
    return float(value)


def _check_not_negative(name, value):
    number = plain(value)
    if not isinstance(number, numbers.Real) or not 0 <= number < float("inf"):
        raise ValueError(f"`{name}` is {value!r}. Pass a number that is not negative.")
    return float(number)


@keras.saving.register_keras_serializable("keras_gen")
class VectorQuantizer(configs.ChecksNumbers, Quantizer):
    """Replaces each vector by the nearest of K vectors e_k, a codebook that is learned by k-means.

    k = argmin_j |z - e_j|, and z_q = e_k, whose gradient goes to z as if z_q were z (van den Oord
    et al., 2017, equations 1 and 2). The loss of an example is the commitment term

        commitment * sum over vectors of |z - e_k|^2,

    whose gradient reaches z alone. In a training call the codebook follows by moving averages, as
    in appendix A.1: N_k of how many vectors of a batch have code k, m_k of their sum, and
    e_k = m_k / N_k. Like the pixels of a likelihood, the vectors are summed over, as in the
    authors' code up to a factor near 1; the paper's text has their mean.

    The first batch starts the codebook: K of its vectors, drawn at random, then one iteration of
    k-means. As N_k and m_k start at 0, the next batches go on as k-means on batches. A code that
    few vectors have is moved to a vector of the batch, drawn at random.

    On several devices N_k and m_k are those of the whole batch, and all draw the same vectors. The
    weights of examples do not count in the codebook.

    A call computes batch * positions * K * d products, and holds batch * positions * K numbers.

    Args:
        num_codes: K.
        decay: Decay of the moving averages, in [0, 1).
        commitment: beta of the paper, not negative.
        revive_below: A code is moved if its N_k falls below this share of the mean over k, not
            negative; 0 moves none. With a decay of 0.99 a code of mean N_k that is not used any
            more gets to 0.1 in 230 batches.
        seed: Integer or None, of the draws.

    Call arguments:
        z: Vectors, (batch, ..., d).
        training: True moves the codebook, unless the layer's `trainable` is False.

    Attributes:
        codebook: The e_k, (K, d), a weight that no optimizer moves.

    Example:

    ```python
    quantizer = VectorQuantizer(num_codes=16, seed=0)
    z = keras.random.normal((8, 7, 7, 4))
    z_q, codes, loss = quantizer(z, training=True)  # (8, 7, 7, 4), (8, 7, 7), (8,)
    ```

    References:
        van den Oord et al. (2017), "Neural Discrete Representation Learning":
        https://arxiv.org/abs/1711.00937
        Sculley (2010), "Web-Scale K-Means Clustering", algorithm 1:
        https://doi.org/10.1145/1772690.1772862
        Dhariwal et al. (2020), "Jukebox", section 3.1, codes that are moved:
        https://arxiv.org/abs/2005.00341
    """

    numbers = {
        "num_codes": check_integer,
        "decay": _check_fraction,
        "commitment": _check_not_negative,
        "revive_below": _check_not_negative,
    }
    num_codes = None  # Not the property of the base class.

    def __init__(
        self, num_codes=512, decay=0.99, commitment=0.25, revive_below=0.1, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.decay = decay
        self.commitment = commitment
        self.revive_below = revive_below
        self.seed = seed
        self.noise = Noise(seed, dtype=wide(self.variable_dtype))

    def build(self, input_shape):
        size = input_shape[-1]
        if size is None:
            raise ValueError("VectorQuantizer needs vectors of a fixed size on the last axis.")
        # A start that is never used for training: codes of an untrained model differ.
        self.codebook = self._state("codebook", (self.num_codes, size), "random_normal")
        self.counts = self._state("counts", (self.num_codes,))  # N_k
        self.sums = self._state("sums", (self.num_codes, size))  # m_k
        # A float: a step that is taken back takes those back, and so the start.
        self.started = self._state("started", ())

    def check_size(self, size):
        if self.built and self.codebook.shape[1] != size:
            raise ValueError(
                f"The VectorQuantizer was built for vectors of size {self.codebook.shape[1]}, and "
                f"these have {size}. Pass a new one."
            )

    def codes(self, z):
        return _nearest(in_float32(z), ops.convert_to_tensor(self.codebook))

    def vectors(self, codes):
        return ops.take(ops.convert_to_tensor(self.codebook), codes, axis=0)

    def loss(self, z, vectors):
        squares = ops.square(z - ops.stop_gradient(vectors))
        return self.commitment * ops.sum(squares, axis=list(range(1, len(squares.shape))))

    def call(self, z, training=False):
        if not (training and self.trainable):
            return super().call(z)
        z = in_float32(z)
        rows = ops.stop_gradient(ops.reshape(z, (-1, z.shape[-1])))
        rows = ops.cast(rows, self.codebook.dtype)
        batch = backend.gather_from_replicas(rows)  # That of all devices.
        drawn, redrawn = self._draw_rows(batch)
        codebook = ops.where(self.started > 0, ops.convert_to_tensor(self.codebook), drawn)
        codes = _nearest(z, codebook)
        vectors = ops.cast(ops.take(codebook, codes, axis=0), z.dtype)
        devices = _count(batch) / _count(rows)
        self._move(rows, ops.reshape(codes, (-1,)), codebook, redrawn, devices)
        return straight_through(z, vectors), codes, self.loss(z, vectors)

    def get_config(self):
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in self.numbers},
            "seed": self.seed,
        }

    def _state(self, name, shape, initializer="zeros"):
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype=wide(self.variable_dtype),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # It is the same on all.
            name=name,
        )

    def _draw_rows(self, batch):
        """Return two draws of K rows of the batch, the same on all devices: (K, d)."""
        uniform = backend.gather_from_replicas(self.noise.uniform((1, 2 * self.num_codes)))[0]
        places = ops.cast(uniform * _count(batch), "int32")
        drawn = ops.take(batch, ops.minimum(places, ops.shape(batch)[0] - 1), axis=0)
        return drawn[: self.num_codes], drawn[self.num_codes :]

    def _move(self, rows, codes, codebook, redrawn, devices):
        """Move the codebook to the averages of `rows` and their `codes`; redraw unused codes."""
        chosen = ops.one_hot(codes, self.num_codes, dtype=rows.dtype)  # (n, K)
        n_k = devices * backend.mean_over_replicas(ops.sum(chosen, axis=0))
        m_k = devices * backend.mean_over_replicas(ops.matmul(ops.transpose(chosen), rows))
        counts = self.decay * self.counts + (1 - self.decay) * n_k
        sums = self.decay * self.sums + (1 - self.decay) * m_k
        used = counts[:, None] > 1e-20  # Of no vectors there is no mean.
        codebook = ops.where(used, sums / ops.where(used, counts[:, None], 1.0), codebook)

        mean = ops.mean(counts)
        dead = counts < self.revive_below * mean
        self.counts.assign(ops.where(dead, mean, counts))
        self.sums.assign(ops.where(dead[:, None], mean * redrawn, sums))
        self.codebook.assign(ops.where(dead[:, None], redrawn, codebook))
        self.started.assign(ops.ones_like(mean))


def _count(rows):
    return ops.cast(ops.shape(rows)[0], rows.dtype)


def _nearest(z, codebook):
    """Return the row of `codebook` nearest to each vector, int32, shape (..., d) -> (...)."""
    z = ops.stop_gradient(z)
    codebook = ops.cast(codebook, z.dtype)
    # |z - e|^2 without |z|^2, which is the same for all e.
    distances = ops.sum(ops.square(codebook), axis=-1) - 2 * ops.matmul(z, ops.transpose(codebook))
    # The first of the nearest: on TensorFlow `ops.argmin` has an operation that ONNX lacks.
    is_nearest = distances <= ops.min(distances, axis=-1, keepdims=True)
    codes = ops.arange(codebook.shape[0], dtype="float32")  # On a GPU int32 has no minimum.
    return ops.cast(ops.min(ops.where(is_nearest, codes, codes[-1]), axis=-1), "int32")
