import math
import numbers

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen import backend, likelihoods, seeds
from keras_gen.dtypes import in_float32, total_in_float32
from keras_gen.export import samplers
from keras_gen.layers import Sampling
from keras_gen.losses import densities, divergences
from keras_gen.models import anomaly, inpainting
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.base import describe, predict
from keras_gen.models.likelihood_estimate import log_mean_weight


@keras.saving.register_keras_serializable("keras_gen")
class VAE(Autoencoder):
    """Variational autoencoder: maximises the ELBO with prior N(0, I) by reparameterisation.

    -ELBO = -E_q[log p(x|z)] + KL(q(z|x) || p(z)), Kingma and Welling (2014), equation 3, in
    nats per example: summed over pixels and latents, the mean over the batch. `fit` logs
    `loss` = `reconstruction` + beta * `kl` (and regularisers), `kl` and the `elbo` itself; with
    free bits `loss` charges more than `kl`.

    Args:
        encoder: Keras model, x -> (mean, log_var) of q(z|x), each (batch, latent_dim).
        decoder: Keras model, z -> parameters of the likelihood.
        likelihood: A likelihood layer, or "bernoulli" or "gaussian".
        beta: Weight of the KL term, not negative; or a Keras `LearningRateSchedule`, read at
            `optimizer.iterations`, such as `kg.schedules.LinearWarmUp`. Validation uses the last
            training step's value.
        free_bits: Nats that every latent may tell at no charge: the loss has max(free_bits, KL_j)
            in place of latent j's KL, the mean over the batch, and so no reason to push it
            below, Kingma et al. (2016).
        dynamic_binarization: True takes grey values in [0, 1] as the probabilities of black and
            white pixels, and draws these anew for each batch, in validation and
            `log_likelihood` too: the data are x from Bernoulli(grey), as in Burda et al. (2016).
            For the Bernoulli likelihood. `encode`, `reconstruct` and calls take what they are
            given.
        seed: Integer or None.

    Example:

    ```python
    vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=20))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vae.fit(x, epochs=10)
    images = vae.sample(64)
    ```

    References:
        Kingma and Welling (2014), "Auto-Encoding Variational Bayes":
        https://arxiv.org/abs/1312.6114
        Higgins et al. (2017), "beta-VAE": https://openreview.net/forum?id=Sy2fzU9gl
        Kingma et al. (2016), "Improving Variational Inference with Inverse Autoregressive Flow",
        free bits: https://arxiv.org/abs/1606.04934
        Burda et al. (2016), "Importance Weighted Autoencoders": https://arxiv.org/abs/1509.00519
    """

    logged = ("loss", "reconstruction", "kl", "elbo")

    def __init__(
        self,
        encoder,
        decoder,
        likelihood="bernoulli",
        beta=1.0,
        free_bits=0.0,
        dynamic_binarization=False,
        seed=None,
        **kwargs,
    ):
        if not isinstance(beta, LearningRateSchedule) and not (
            isinstance(beta, numbers.Real) and 0 <= beta < math.inf
        ):
            raise ValueError(
                f"`beta` is {beta!r}. It weights the KL term: pass a number that is not negative, "
                f"or a Keras LearningRateSchedule."
            )
        if not (isinstance(free_bits, numbers.Real) and 0 <= free_bits < math.inf):
            raise ValueError(
                f"`free_bits` is {free_bits!r}. It is what each latent may cost at no charge: pass "
                f"a number of nats that is not negative."
            )
        super().__init__(encoder, decoder, likelihood, **kwargs)
        if dynamic_binarization and type(self.likelihood) is not likelihoods.Bernoulli:
            raise ValueError(
                f"`dynamic_binarization` makes pixels black or white, and the likelihood is "
                f"{type(self.likelihood).__name__}. Pass Bernoulli, or leave it out."
            )
        self.beta = beta
        self.free_bits = free_bits
        self.dynamic_binarization = dynamic_binarization
        self.seed = seed
        # Three streams: evaluating or drawing pictures must not move the noise of training.
        self.sampling, self.evaluation_sampling, self.user_sampling = (
            Sampling(stream, dtype="float32") for stream in seeds.split(seed, 3)
        )
        if isinstance(beta, LearningRateSchedule):
            # A variable, as a step compiled for evaluation does not see the optimizer.
            self.scheduled_beta = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(float(beta(0))),
                trainable=False,
                name="beta",
            )

    @backend.step
    def train_step(self, data):
        # (x, sample_weight), and y where there are labels
        data = self.observed(self.unpack(data), self.sampling)
        if isinstance(self.beta, LearningRateSchedule):
            self.scheduled_beta.assign(self.beta(self.optimizer.iterations))
        _, terms = backend.descend(self.optimizer, self.trainable_variables, self.objective, *data)
        return self.track(terms, data[0])

    @backend.step
    def test_step(self, data):
        data = self.observed(self.unpack(data), self.evaluation_sampling)
        _, terms = self.objective(*data, training=False)
        return self.track(terms, data[0])

    def objective(self, x, sample_weight, y=None, *, training=True):
        """-ELBO, with beta and regularisers, and the scalars to log, in nats per example."""
        sampling = self.sampling if training else self.evaluation_sampling
        mean, log_var = map(in_float32, self.encoded(x, y, training))  # of q(z|x)
        z = sampling((mean, log_var))  # (batch, latent_dim)
        parameters = self.decoded(z, y, training)  # of p(x|z)
        reconstruction = -self.likelihood.log_prob(x, parameters)  # (batch,)
        kl = divergences.kl_of_latents(mean, log_var)  # (batch, latent_dim)

        reconstruction = ops.mean(sample_weight * reconstruction)
        kl = ops.mean(sample_weight[:, None] * kl, axis=0)  # (latent_dim,)
        if self.free_bits:  # They are compared with the mean over the batch of all devices.
            kl = backend.mean_over_replicas(kl)
        charged_kl = ops.sum(ops.maximum(kl, self.free_bits))
        kl = ops.sum(kl)
        added_losses = total_in_float32(self.losses)
        loss = reconstruction + self.current_beta() * charged_kl + added_losses
        elbo = -(reconstruction + kl)
        return loss, {"loss": loss, "reconstruction": reconstruction, "kl": kl, "elbo": elbo}

    def observed(self, data, stream):
        """`data`, which begin with x; under dynamic binarisation with a draw from Bernoulli(x)."""
        x, *rest = data
        if self.dynamic_binarization:
            x = ops.cast(ops.less(stream.uniform(ops.shape(x)), x), x.dtype)
        return x, *rest

    def log_densities(self, x, num_samples, y=None, training=False):
        """log p(x|z), log p(z) and log q(z|x) at draws from q, tensors (num_samples, batch)."""
        z, mean, log_var = self.posterior_draws(x, num_samples, y, training)
        return (
            self.log_prob_of_draws(x, z, y, training),
            densities.log_standard_normal(z),
            densities.log_normal(z, mean, log_var),
        )

    def posterior_draws(self, x, num_samples, y=None, training=False):
        """z, mean and log_var of q(z|x), tensors (num_samples, batch, latent_dim)."""
        sampling = self.sampling if training else self.evaluation_sampling
        mean, log_var = map(in_float32, self.encoded(x, y, training))
        mean, log_var = (ops.repeat(v[None], num_samples, axis=0) for v in (mean, log_var))
        return sampling((mean, log_var)), mean, log_var

    def log_prob_of_draws(self, x, z, y=None, training=False):
        """log p(x|z) at z (num_samples, batch, latent_dim), a tensor (num_samples, batch)."""
        num_samples = z.shape[0]
        # Not `tile`: of one example PyTorch copies nothing here.
        x = ops.broadcast_to(x[None], (num_samples, *ops.shape(x)))
        x = ops.reshape(x, (-1, *x.shape[2:]))
        if y is not None:
            y = ops.tile(y, (num_samples,))
        parameters = self.decoded(ops.reshape(z, (-1, z.shape[-1])), y, training)
        return ops.reshape(self.likelihood.log_prob(x, parameters), (num_samples, -1))

    def prior_draws(self, num_samples, batch):
        """z from p(z) for evaluation, a tensor (num_samples, batch, latent_dim)."""
        return self.evaluation_sampling.noise((num_samples, batch, self.latent_dim))

    def encoded(self, x, y=None, training=False):
        """(mean, log_var) of q(z|x), tensors; labels `y` are for models that have them."""
        return self.encoder(x, training=training)

    def decoded(self, z, y=None, training=False):
        """The parameters of p(x|z), a tensor."""
        return self.decoder(z, training=training)

    def current_beta(self):
        """The number itself, or the schedule's value at the last training step."""
        if isinstance(self.beta, LearningRateSchedule):
            return ops.convert_to_tensor(self.scheduled_beta)
        return self.beta

    def code(self, x, training=False):
        """The mean of q(z|x), as a tensor (batch, latent_dim)."""
        mean, _ = self.encoder(x, training=training)
        return mean

    def encode(self, x, batch_size=128):
        """(mean, log_var) of q(z|x) for a NumPy array of examples, each (n, latent_dim)."""
        return tuple(predict(self.encoder, self._examples(x), batch_size))

    def generate(self, z, batch_size=128):
        """E[x|z] of a NumPy array z (n, latent_dim): what a `GAN` generates from it."""
        return self.decode(z, batch_size=batch_size)

    def sample(self, num_samples, draw_pixels=False, batch_size=128):
        """Examples from the model: z from N(0, I), then E[x|z].

        Args:
            num_samples: How many.
            draw_pixels: True draws from p(x|z) instead of taking its mean.

        Returns:
            NumPy array (num_samples, ...).
        """
        return self.decode(self.user_z(num_samples), draw_pixels, batch_size)

    def user_z(self, num_samples):
        """Draws from N(0, I) for pictures, NumPy (num_samples, latent_dim)."""
        if num_samples < 1:
            raise ValueError(f"`num_samples` is {num_samples}. Pass at least 1.")
        self._check_sized()
        return ops.convert_to_numpy(self.user_sampling.noise((num_samples, self.latent_dim)))

    def reconstruct(self, x, sample=False, batch_size=128):
        """E[x|z] at the mean of q(z|x), or with `sample` at a draw from it, NumPy."""
        z = self._code(self.encode(x, batch_size), sample)
        return self.decode(z, batch_size=batch_size)

    def log_likelihood(
        self,
        x,
        num_samples=5000,
        proposal="posterior",
        return_standard_error=False,
        chunk_size=5_000,
        verbose=1,
    ):
        """log p(x) of every example in nats, estimated by importance sampling: NumPy (n,).

        log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), with K draws z_k from q(z|x). In
        expectation it never exceeds log p(x), and comes nearer with K; at K = 1 it is the ELBO.

        Args:
            x: NumPy array (n, ...).
            num_samples: K. 5,000 is what is usually published.
            proposal: "posterior" draws z from q(z|x). "prior" draws it from p(z): few z explain
                a given x, so this naive estimate is far too low for all but small models.
            return_standard_error: True gives a pair, with the standard error of each estimate
                from the spread of its weights (NaN for one draw). One that is not well below 1
                is itself not to be trusted: few weights decide.
            chunk_size: Draws through the decoder at a time; the memory grows with it alone.
            verbose: 1 shows a progress bar, 0 does not.

        References:
            Burda et al. (2016), "Importance Weighted Autoencoders", section 5:
            https://arxiv.org/abs/1509.00519
            Rezende et al. (2014), "Stochastic Backpropagation": https://arxiv.org/abs/1401.4082
        """
        inputs = [self._examples(x)]
        return self._log_likelihood(
            inputs, num_samples, proposal, return_standard_error, chunk_size, verbose
        )

    def anomaly_score(self, x, kind="elbo", num_samples=10, seed=0, batch_size=128):
        """How unlike the training data every example is, (n,) in nats: higher is more anomalous.

        Args:
            x: NumPy array (n, ...).
            kind: "elbo" is -ELBO, and "distortion" its part -E_q[log p(x|z)] (An and Cho, 2015), at
                `num_samples` draws of z, the same for every example; "reconstruction" is
                -log p(x|z) at the mean of q(z|x); "likelihood" is -log p(x) by `log_likelihood`.
            num_samples: Draws of z; "reconstruction" takes none.
            seed: Of the draws of "elbo" and "distortion".

        Reference:
            An and Cho (2015), "Variational Autoencoder based Anomaly Detection using
            Reconstruction Probability": http://dm.snu.ac.kr/static/docs/TR/SNUDM-TR-2015-03.pdf
        """
        return anomaly.score(self, x, (), kind, num_samples, seed, batch_size)

    def inpaint(self, x, mask, method="elbo", num_samples=1, steps=200, batch_size=128):
        """What is hidden, filled in by what is visible; the visible values stay as they are.

        Args:
            x: NumPy array (n, ...). Hidden values are never read, and may be NaN.
            mask: Booleans, True where `x` is hidden; of the shape of `x`, or of one example, or
                (height, width, 1) for all channels of all examples.
            method: Where z comes from. "elbo" fits a normal q(z) to every example's visible
                values, by Adam on their ELBO, and takes its mean; "map" fits the z of greatest
                p(visible, z), by Adam too. "chains" draws z from q(z|x) and the hidden values
                from p(x|z) in turn (Rezende et al., 2014, appendix F), and takes the mean of
                E[x|z] over the second half. On MNIST "elbo" has the least mean squared error, and
                "chains" by far the greatest: q(z|x) was not trained on such examples.
            num_samples: Chains for each example, or runs of Adam; the result is their mean.
            steps: Length of a chain, or updates of Adam.

        Reference:
            Rezende et al. (2014), "Stochastic Backpropagation and Approximate Inference in Deep
            Generative Models": https://arxiv.org/abs/1401.4082
        """
        return inpainting.inpaint(self, x, mask, (), method, num_samples, steps, batch_size)

    def signatures(self):
        def examples(noise, like):
            return self.likelihood.mean(self.decoded(self.z_of_noise(noise), like))

        return {
            **super().signatures(),
            **samplers(self.user_sampling, self.noise_size, examples),
        }

    @property
    def noise_size(self):
        """How many normal numbers a z from the prior takes."""
        return self.latent_dim

    def z_of_noise(self, noise):
        """z from the prior, made of draws from N(0, I), tensors (batch, ...)."""
        return noise

    def get_config(self):
        beta = self.beta
        if isinstance(beta, LearningRateSchedule):
            beta = keras.saving.serialize_keras_object(beta)
        return {
            **super().get_config(),
            "beta": beta,
            "free_bits": self.free_bits,
            "dynamic_binarization": self.dynamic_binarization,
            "seed": self.seed,
        }

    def _log_likelihood(
        self, inputs, num_samples, proposal, return_standard_error, chunk_size, verbose
    ):
        log_weights = {"posterior": self._posterior_weights, "prior": self._prior_weights}
        if proposal not in log_weights:
            raise ValueError(f'`proposal` is {proposal!r}. Pass "posterior" or "prior".')
        self._check_sized()
        inputs = [ops.convert_to_numpy(v) for v in self.observed(inputs, self.evaluation_sampling)]
        values, errors = log_mean_weight(
            self, log_weights[proposal], inputs, num_samples, chunk_size, verbose
        )
        return (values, errors) if return_standard_error else values

    def _posterior_weights(self, inputs, num_samples):
        x, *labels = inputs
        log_p_x, log_p_z, log_q_z = self.log_densities(x, num_samples, *labels)
        return log_p_x + log_p_z - log_q_z

    def _prior_weights(self, inputs, num_samples):
        x, *labels = inputs
        z = self.prior_draws(num_samples, ops.shape(x)[0])
        return self.log_prob_of_draws(x, z, *labels)

    def _code_by_name(self, x, *y):
        mean, log_var = self.encoder([x, *y] if y else x, training=False)
        return {"mean": mean, "log_var": log_var}

    def _code_of(self, x):
        return self.encode(x)[0]

    def _code(self, posterior, sample):
        """The mean of (mean, log_var), or a draw; NumPy."""
        return ops.convert_to_numpy(self.user_sampling(posterior) if sample else posterior[0])

    def _code_spec(self, outputs):
        if not isinstance(outputs, (list, tuple)) or len(outputs) != 2:
            raise ValueError(
                f"The encoder of a VAE gives two tensors, (mean, log_var) of q(z|x), and this one "
                f"gives {describe(outputs)}. End it in two Dense layers; z is drawn by the model. "
                f"For one code without a distribution, use Autoencoder."
            )
        mean, log_var = outputs
        if mean.shape != log_var.shape:
            raise ValueError(
                f"The encoder's mean has shape {mean.shape} and its log_var {log_var.shape}. "
                f"Give both the same latent size."
            )
        return mean
