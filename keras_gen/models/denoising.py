"""Autoencoders that learn to restore clean examples from noisy ones."""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_gen import checks, configs, seeds
from keras_gen.dtypes import in_float32, wide
from keras_gen.inference.predict import predict, use_changes
from keras_gen.layers.noise import Noise
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.vae import VAE


def check_stddev(name, stddev):
    """Return a positive number or a pair (low, high); ValueError for anything else."""
    pair = stddev if isinstance(stddev, (tuple, list)) else (stddev, stddev)
    pair = [configs.value_of(s) for s in pair]
    numeric = len(pair) == 2 and all(isinstance(s, numbers.Real) for s in pair)
    if not numeric or not 0 <= pair[0] <= pair[1] < math.inf or pair[1] == 0:
        raise ValueError(
            f"`{name}` is {stddev!r}. Pass the noise's standard deviation, a positive number, or "
            f"(low, high) for one drawn from between for each example."
        )
    return stddev


class _Denoising:
    """Mixin before an autoencoder's class: adds noise in steps, and removes it in `denoise`."""

    numbers = {"stddev": check_stddev}
    without_target = "Pass the clean examples alone: each step adds noise of its own to them."

    def add_noise(self, stddev):
        self.stddev = stddev
        # A VAE uses the first three streams of the same seed.
        *_, training, evaluation = seeds.split(self.seed, 5)
        self.noise, self.evaluation_noise = (
            Noise(stream, dtype=wide(self.variable_dtype)) for stream in (training, evaluation)
        )

    def encoded(self, x, y=None, training=False):
        return super().encoded(self.corrupted(x, training), y, training)

    def corrupted(self, x, training=False):
        """Return x + stddev * eps, eps from N(0, I); a range draws one stddev for each example."""
        noise = self.noise if training else self.evaluation_noise
        if isinstance(self.stddev, (tuple, list)):
            low, high = map(configs.in_step, self.stddev)
            u = noise.uniform((ops.shape(x)[0], *[1] * (len(x.shape) - 1)))
            stddev = low + (high - low) * u
        else:
            stddev = configs.in_step(self.stddev)
        eps = noise.normal(ops.shape(x))
        return in_float32(x) + stddev * eps

    def denoise(self, x, batch_size=128, *, y=None):
        """Return E[x|z] of noisy examples, NumPy; they may lie outside the range of clean ones."""

        def mean(parameters):
            return ops.convert_to_numpy(self.likelihood.mean(ops.convert_to_tensor(parameters)))

        def decode(code, *y):  # A batch at a time: a code may be larger than its example.
            z = self.code_of(code)
            return predict(self.decoder, [z, *y] if y else z, batch_size, mean, compare=False)

        def use(x, y):
            use_changes(self.decoder)
            inputs, labels = (x, []) if y is None else ([x, y], [y])
            return predict(self.encoder, inputs, batch_size, decode, next_to=labels)

        return self.over_parts(use, x, y, check=self.check_input)

    def check_input(self, x):  # Of `predict` and `denoise`.
        checks.check_examples(x, self.example_shape, type(self).__name__)
        checks.check_finite(x)
        low, high = float(np.min(x)), float(np.max(x))
        if self.likelihood.domain == (0, 1) and low >= 0 and 127 < high <= 255:
            raise ValueError(
                f"The examples lie in [{low:g}, {high:g}], and the clean ones were in [0, 1]. "
                f"Divide 8-bit images by 255: `x / 255`."
            )

    def check_used(self, x):
        checks.check_examples(x, self.example_shape, type(self).__name__)
        try:
            super().check_used(x)
        except ValueError as error:
            raise ValueError(f"{error} Noisy examples go to `denoise(x)`.") from error

    def signatures(self):
        signatures = super().signatures()
        return {"denoise": signatures["reconstruct"], **signatures}

    def get_config(self):
        stddev = configs.serialize(self.stddev)
        return {**super().get_config(), "stddev": stddev, "seed": self.seed}


@keras.saving.register_keras_serializable("keras_gen")
class DenoisingAutoencoder(_Denoising, Autoencoder):
    """Autoencoder of noisy examples: minimises -log p(x|z) at z = encoder(x + noise).

    Each step draws fresh noise, in training and in evaluation, and the target is the clean
    example. Under Gaussian and Bernoulli likelihoods the best reconstruction is
    E[x|x + noise], the estimate of least mean squared error.

    Args:
        encoder, decoder, likelihood, num_classes: As in `Autoencoder`.
        stddev: Standard deviation of the noise, in the units of the data; or (low, high), and
            each example draws its own from between, uniformly: one model for all of them.
            Numbers or scalar `keras.Variable`s.
        seed: Integer or None, of the noise.

    Example:

    ```python
    model = kg.DenoisingAutoencoder(*kg.networks.unet_autoencoder((28, 28, 1)), stddev=0.5)
    model.compile(optimizer="adam")
    model.fit(x, epochs=3)
    clean = model.denoise(x_noisy)
    ```

    References:
        Vincent et al. (2008), "Extracting and Composing Robust Features with Denoising
        Autoencoders": https://doi.org/10.1145/1390156.1390294
        Vincent et al. (2010), "Stacked Denoising Autoencoders", section 3.3, Gaussian noise:
        https://www.jmlr.org/papers/v11/vincent10a.html
    """

    def __init__(self, encoder, decoder, stddev, likelihood="bernoulli", seed=None, **kwargs):
        super().__init__(encoder, decoder, likelihood, **kwargs)
        self.seed = seed
        self.add_noise(stddev)


@keras.saving.register_keras_serializable("keras_gen")
class DenoisingVAE(_Denoising, VAE):
    """VAE whose encoder is given x + noise in training, and whose decoder explains the clean x.

    -ELBO = -E_{x'} E_{q(z|x')}[log p(x|z)] + E_{x'} KL(q(z|x') || p(z)) with x' = x + noise, which
    Im et al. show to be above -log p(x) as any -ELBO: q~(z|x) = E_{x'} q(z|x') is a mixture,
    richer than one normal. `encode`, `reconstruct` and `code` use x as it is.

    Args:
        encoder, decoder, likelihood, beta, seed, num_classes, prior, posterior: As in `VAE`. A
            `VampPrior` encodes its pseudo-inputs without noise.
        stddev: As in `DenoisingAutoencoder`.

    Example:

    ```python
    vae = kg.DenoisingVAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=20), stddev=0.3)
    vae.compile(optimizer="adam")
    vae.fit(x, epochs=10)
    ```

    Reference:
        Im et al. (2017), "Denoising Criterion for Variational Auto-Encoding Framework",
        equation 7: https://arxiv.org/abs/1511.06406
    """

    numbers = {**VAE.numbers, "stddev": check_stddev}

    def __init__(
        self, encoder, decoder, stddev, likelihood="bernoulli", beta=1.0, seed=None, **kwargs
    ):
        super().__init__(encoder, decoder, likelihood, beta=beta, seed=seed, **kwargs)
        self.add_noise(stddev)
