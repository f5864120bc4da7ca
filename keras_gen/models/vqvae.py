import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, inference, layers, likelihoods
from keras_gen.arguments import check_integer
from keras_gen.checks import check_codes
from keras_gen.dtypes import wide
from keras_gen.export import Signature
from keras_gen.layers import Noise
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.priors import CodePrior


@keras.saving.register_keras_serializable("keras_gen")
class VQVAE(Autoencoder):
    """Vector-quantised autoencoder: z is a map of codes, integers, with a prior learned after it.

    L = -log p(x|z_q) + commitment, van den Oord et al. (2017), equation 3, in nats per example:
    summed over pixels and positions, the mean over the batch. z_q are the vectors with which a
    quantizer replaces those of the encoder, and the gradient passes it unchanged. The commitment
    term is the quantizer's loss: that of `kg.layers.VectorQuantizer`, whose codebook follows by
    moving averages; `kg.layers.FSQ` has none. `fit` logs `loss` = `reconstruction` + `commitment`
    (and regularisers), `perplexity`, the exponential of the entropy of how often each code occurs
    in a batch, and `codes_used`, how many different ones do.

    In training all codes are equally likely, p(c) = K^-N for N positions. `fit_prior` then learns
    p(c), and `sample` draws from it. As q(c|x) is one point, log p(x) >= log p(x|c) + log p(c):
    `elbo` is that.

    With `num_classes` the networks are called on [x, y] and [z, y], the model on [x, y], the prior
    is p(c|y), `fit` needs `(x, y)`, and the methods need `y=`, labels (n,) or one for all.

    Args:
        encoder: Keras model, x -> z, vectors (batch, ..., d): (batch, 7, 7, 16) makes 7x7 codes.
        decoder: Keras model, z_q -> parameters of the likelihood.
        quantizer: A layer such as `kg.layers.VectorQuantizer(512)` or `kg.layers.FSQ((8, 6, 5))`.
        likelihood: A layer of `kg.likelihoods`, or its name, such as "gaussian".
        seed: Integer or None, of `sample`.
        num_classes: None, or the number of classes: labels are integers from 0 on.
        prior: A trained `kg.priors.CodePrior`, or None: `fit_prior` makes one.

    Example:

    ```python
    networks = kg.networks.vqvae((28, 28, 1), code_dim=16)
    vqvae = kg.VQVAE(*networks, kg.layers.VectorQuantizer(64))
    vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vqvae.fit(x, epochs=20)
    codes = vqvae.encode(x[:8])  # Integers, (8, 7, 7)
    again = vqvae.decode(codes)

    small = kg.networks.code_transformer(64, length=49, width=32, depth=1)
    vqvae.fit_prior(x, epochs=1, prior=kg.priors.CodePrior(small))
    images = vqvae.sample(8)
    ```

    References:
        van den Oord et al. (2017), "Neural Discrete Representation Learning":
        https://arxiv.org/abs/1711.00937
        Mentzer et al. (2023), "Finite Scalar Quantization: VQ-VAE Made Simple":
        https://arxiv.org/abs/2309.15505
    """

    logged = ("loss", "reconstruction", "commitment", "perplexity", "codes_used")
    absent = {
        **dict.fromkeys(
            ("generate", "interpolate"),
            "its z are codes, integers, which have nothing between them. `sample` draws examples, "
            "and `decode` makes them of codes.",
        ),
        **dict.fromkeys(
            ("log_likelihood", "anomaly_score", "inpaint"),
            "q(z|x) is one point, from which no other z is drawn. `elbo` bounds log p(x).",
        ),
    }

    def __init__(
        self,
        encoder,
        decoder,
        quantizer,
        likelihood="bernoulli",
        seed=None,
        num_classes=None,
        prior=None,
        **kwargs,
    ):
        if not isinstance(quantizer, layers.Quantizer):
            raise ValueError(
                f"`quantizer` is a {type(quantizer).__name__}. Pass a layer such as "
                f"`kg.layers.VectorQuantizer(512)` or `kg.layers.FSQ((8, 6, 5))`."
            )
        super().__init__(encoder, decoder, likelihood, num_classes, **kwargs)
        self.quantizer = quantizer
        self.seed = seed
        self.user_sampling = Noise(seed, dtype=wide(self.variable_dtype))
        self.prior = prior
        if prior is not None:
            _check_kind(prior)
            prior.set_trainable(False)  # `fit_prior` alone trains it.
        if self.built:
            self.build_codes()

    def compile(self, *args, **kwargs):
        if self.prior is not None:
            self.prior.set_trainable(False)  # Whatever `vqvae.trainable = True` did.
        super().compile(*args, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.build_codes()

    def build_codes(self):
        """Build the quantizer for this model's z; ValueError if it, or the prior, does not fit."""
        shape = (None, *self.latent_shape)
        if not self.quantizer.built:
            self.quantizer.build(shape)
        self.quantizer.check_size(shape[-1])
        if self.prior is not None:
            self.check_prior(self.prior)

    def objective(self, x, sample_weight, y=None, *, training=True):
        """Return the loss to minimise and the scalars to log, in nats per example."""
        loss, terms, _ = self.autoencode(x, sample_weight, y, training=training)
        return loss, terms

    def autoencode(self, x, sample_weight, y=None, *, training=True):
        """Return what `objective` does, and the parameters of p(x|z_q)."""
        z = self.encoded(x, y, training)  # (batch, ..., d)
        z_q, codes, commitment = self.quantizer(z, training=training)
        parameters = self.decoded(z_q, y, training)
        reconstruction = -likelihoods.log_prob(self.likelihood, x, parameters)  # (batch,)
        reconstruction = ops.mean(sample_weight * reconstruction)
        commitment = ops.mean(sample_weight * commitment)
        loss = reconstruction + commitment + self.added_losses()
        perplexity, codes_used = self.usage(codes)
        terms = {
            "loss": loss,
            "reconstruction": reconstruction,
            "commitment": commitment,
            "perplexity": perplexity,
            "codes_used": codes_used,
        }
        return loss, terms, parameters

    def usage(self, codes):
        """Return the perplexity of a batch's codes, and how many different ones there are."""
        codes = ops.reshape(codes, (-1,))
        ones = ops.ones_like(codes, dtype="float32")
        p = ops.segment_sum(ones, codes, num_segments=self.quantizer.num_codes)
        p = backend.mean_over_replicas(p)
        p = p / ops.sum(p)
        entropy = -ops.sum(p * ops.log(ops.maximum(p, 1e-30)))
        return ops.exp(entropy), ops.sum(ops.cast(p > 0, "float32"))

    @property
    def code_shape(self):
        """Shape of the codes of one example, a tuple: (7, 7), or () for one code."""
        return self.latent_shape[:-1]

    def code_of(self, codes):
        """Return the vectors z_q of codes, as `encode` returns them, NumPy (n, *latent_shape)."""
        return ops.convert_to_numpy(self.quantizer.vectors(ops.convert_to_tensor(codes)))

    def code(self, x, y=None, training=False):
        """Return the vectors z_q that stand for each example, a tensor (batch, *latent_shape)."""
        z_q, _, _ = self.quantizer(super().code(x, y, training))
        return z_q

    def encode(self, x, batch_size=128, *, y=None):
        """Return the codes of examples, NumPy int32 (n, *code_shape), from 0 to num_codes - 1."""

        def codes(z):
            return ops.convert_to_numpy(self.quantizer.codes(ops.convert_to_tensor(z)))

        def use(x, y):
            return inference.predict(self.encoder, x if y is None else [x, y], batch_size, codes)

        return self.over_parts(use, x, y)

    def decode(self, codes, draw_pixels=False, batch_size=128, *, y=None, seed=None):
        """Return E[x|c] of integers c (n, *code_shape), NumPy, with `draw_pixels` a draw of x.

        An integer `seed` draws the same x each time, and leaves the streams of noise as they are.
        """
        self.check_sized()
        codes = check_codes(codes, self.code_shape, self.quantizer.num_codes)
        return super().decode(self.code_of(codes), draw_pixels, batch_size, y=y, seed=seed)

    @property
    def interpolate(self):  # Of the base class; `absent` says why there is none.
        raise AttributeError

    def fit_prior(self, x, epochs=50, prior=None, *, y=None, **kwargs):
        """Train the prior of the codes of x, which `sample` needs.

        See `kg.inference.fit_code_prior`, also for its further arguments, and for what it returns.
        """
        return inference.fit_code_prior(self, x, epochs, prior, y, **kwargs)

    def check_prior(self, prior):
        """Raise ValueError unless a prior is one of this model's codes."""
        _check_kind(prior)
        labels = self.num_classes is not None
        expected = math.prod(self.code_shape), self.quantizer.num_codes, labels
        found = prior.length, prior.num_codes, prior.takes_labels
        if prior.num_classes not in (None, self.num_classes):
            raise ValueError(
                f"The `prior` is for {prior.num_classes} classes, and this VQVAE has "
                f"{self.num_classes}. Build its network with num_classes={self.num_classes}."
            )
        if found != expected:
            said = [
                f"{n} positions of {k} codes {'with' if labels else 'without'} labels"
                for n, k, labels in (found, expected)
            ]
            raise ValueError(
                f"The `prior` is for {said[0]}, and this VQVAE needs one for {said[1]}. Build its "
                f"network for these."
            )

    def draw_codes(self, num_samples, temperature=1.0, *, y=None, seed=None):
        """Return codes from the prior, NumPy int32 (num_samples, *code_shape), as `sample`."""
        num_samples = check_integer("num_samples", num_samples)
        if self.prior is None:
            raise ValueError(
                f"This {type(self).__name__} has no prior of its codes yet, so nothing says which "
                f"to draw. Call `fit_prior(x)` with the training data, after `fit`."
            )
        y = self.labels(y, num_samples)
        if seed is None:
            uniform = ops.convert_to_numpy(self.user_sampling.uniform((2,)))
            seed = int(uniform[0] * 2**20) * 2**11 + int(uniform[1] * 2**11)
        codes = self.prior.sample(num_samples, y, temperature, seed)
        return codes.reshape(num_samples, *self.code_shape)

    def sample(
        self, num_samples, draw_pixels=False, batch_size=128, *, temperature=1.0, y=None, seed=None
    ):
        """Return E[x|c] at `num_samples` codes from the prior, NumPy, or draws of x.

        It needs `fit_prior`. The codes take a pass of the prior's network for each position.

        Args:
            num_samples: Number of examples.
            draw_pixels: True draws x from p(x|c) too.
            batch_size: Examples that the decoder is given at once.
            temperature: Positive; below 1 likely codes are likelier than the prior says.
            y: Labels (num_samples,), or one for all, if the model has classes.
            seed: Integer or None. An integer gives the same codes each time, and on one backend
                the same pixels; it leaves the streams of noise as they are.
        """
        codes = self.draw_codes(num_samples, temperature, y=y, seed=seed)
        return self.decode(codes, draw_pixels, batch_size, y=y, seed=seed)

    def elbo(self, x, *, y=None):
        """Return log p(x|c) + log p(c) at the codes c of each x, in nats, NumPy (n,).

        It bounds log p(x), or log p(x|y) with classes, from below. Before `fit_prior`, p(c) is
        uniform.
        """

        def use(x, y):
            codes = self.encode(x, y=y)
            log_p = inference.anomaly.log_prob_given_z(self, x, self.code_of(codes), y)
            codes = codes.reshape(len(codes), -1)
            if self.prior is None:
                return log_p - codes.shape[1] * math.log(self.quantizer.num_codes)
            return log_p + inference.log_prob_of_codes(self.prior, codes, y)

        return self.over_parts(use, x, y)

    def bits_per_dim(self, x, *, y=None):
        """Return -`elbo` in bits for each number of x, NumPy (n,): of grey images, per pixel.

        Raises:
            ValueError: If p(x|c) is a density, which has no bits: a likelihood other than
                Categorical and DiscretizedLogistic, or Bernoulli and data other than 0 and 1.
        """
        x, y = self.whole(x, y)
        binary = type(self.likelihood) is likelihoods.Bernoulli and np.all((x == 0) | (x == 1))
        if self.likelihood.white is None and not binary:
            raise ValueError(
                f"Bits are of discrete data, and {type(self.likelihood).__name__} gives these a "
                f"density. Train with DiscretizedLogistic or Categorical, or ask for `elbo(x)`."
            )
        return -self.elbo(x, y=y) / (math.prod(x.shape[1:]) * math.log(2))

    def signatures(self):
        c = keras.InputSpec(shape=(None, *self.code_shape), dtype="int32", name="codes")

        def decode(codes, *y):
            z = self.quantizer.vectors(codes)
            return {"x": self.likelihood.mean(self.decoded(z, *y))}

        decoder = Signature(decode, [c, *self.label_specs()])
        return {**super().signatures(), "decode": decoder}

    def get_config(self):
        return {
            **super().get_config(),
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
            "seed": self.seed,
            "prior": self.prior and keras.saving.serialize_keras_object(self.prior),
        }

    def _encode_signature(self, x, *y):
        return {"codes": self.quantizer.codes(self.encoded(x, *y))}


def _check_kind(prior):
    if not isinstance(prior, CodePrior):
        raise ValueError(
            f"`prior` is a {type(prior).__name__}, and the codes of a VQVAE need a "
            f"`kg.priors.CodePrior`. Leave it out: `fit_prior` makes one."
        )
