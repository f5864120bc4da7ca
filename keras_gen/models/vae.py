import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen import backend, configs, inference, likelihoods, seeds
from keras_gen.dtypes import wide
from keras_gen.export import Signature, samplers
from keras_gen.layers import Sampling
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.posterior import HasPosterior
from keras_gen.models.prior import HasPrior


@keras.saving.register_keras_serializable("keras_gen")
class VAE(HasPrior, HasPosterior, Autoencoder):
    """Variational autoencoder: maximises the ELBO by reparameterisation.

    -ELBO = -E_q[log p(x|z)] + KL(q(z|x) || p(z)), Kingma and Welling (2014), equation 3, in
    nats per example: summed over pixels and latents, the mean over the batch. `fit` logs
    `loss` = `reconstruction` + beta * `kl` (and regularisers), `kl` and the `elbo` itself; with
    free bits `loss` charges more than `kl`. For a normal q(z|x) and the prior N(0, I) the KL is a
    closed form; otherwise it is log q(z|x) - log p(z) at the same one draw of z, the KL in
    expectation.

    With `num_classes` it is the VAE of p(x|y), Sohn et al. (2015), equation 4:
    -ELBO = -E_q[log p(x|z, y)] + KL(q(z|x, y) || p(z)), a bound on -log p(x|y). The prior of z is
    the same whatever the label, so z is left with what the label does not say. The networks are
    called on [x, y] and [z, y], the model on [x, y], `fit` needs `(x, y)`, and the methods need
    `y=`, labels (n,) or one for all.

    Args:
        encoder: Keras model, x -> (mean, log_var) of q(z|x), each (batch, latent_dim), or of any
            shape that the decoder takes: after maps (batch, 4, 4, 2), `latent_dim` is (4, 4, 2).
        decoder: Keras model, z -> parameters of the likelihood.
        likelihood: A layer of `kg.likelihoods`, or its name, such as "gaussian".
        beta: Weight of the KL term, not negative; or a Keras `LearningRateSchedule`, read at
            `optimizer.iterations`, such as `kg.schedules.LinearWarmUp`. Validation uses the last
            training step's value. Or a scalar `keras.Variable`, read in each step.
        free_bits: Nats that each latent may cost at no charge: the loss has max(free_bits, KL_j)
            in place of latent j's KL, the mean over the batch, and so no reason to push it
            below, Kingma et al. (2016). A number or a scalar `keras.Variable`. Only the diagonal
            normal under N(0, I) has a KL for each latent.
        dynamic_binarization: True reads grey values in [0, 1] as the probabilities of black and
            white pixels, and draws these afresh for each batch, in validation and
            `log_likelihood` too: the data are x from Bernoulli(grey), as in Burda et al. (2016).
            For the Bernoulli likelihood. `encode`, `reconstruct` and calls use x as it is.
        seed: Integer or None.
        num_classes: None, or the number of classes: labels are integers from 0 on.
        prior: p(z), a layer of `kg.priors`, or its name: "standard_normal", "mixture",
            "vamp_prior" or "flow".
        posterior: q(z|x), a layer of `kg.posteriors`, or its name: "diagonal_normal",
            "full_covariance" or "inverse_autoregressive_flow". The last two need more of the
            encoder than (mean, log_var): the networks have an argument `posterior` for it.

    Example:

    ```python
    vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=20))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vae.fit(x, epochs=10)
    images = vae.sample(64)

    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=10, num_classes=10)
    vae = kg.VAE(*networks, num_classes=10)
    vae.compile(optimizer="adam")
    vae.fit(x, y, epochs=10)
    sevens = vae.sample(64, y=7)
    ```

    References:
        Kingma and Welling (2014), "Auto-Encoding Variational Bayes":
        https://arxiv.org/abs/1312.6114
        Higgins et al. (2017), "beta-VAE": https://openreview.net/forum?id=Sy2fzU9gl
        Kingma et al. (2016), "Improving Variational Inference with Inverse Autoregressive Flow",
        free bits: https://arxiv.org/abs/1606.04934
        Burda et al. (2016), "Importance Weighted Autoencoders": https://arxiv.org/abs/1509.00519
        Kingma et al. (2014), "Semi-supervised Learning with Deep Generative Models", model M2:
        https://arxiv.org/abs/1406.5298
        Sohn et al. (2015), "Learning Structured Output Representation using Deep Conditional
        Generative Models":
        https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html
    """

    logged = ("loss", "reconstruction", "kl", "elbo")
    numbers = {"beta": configs.check_weight, "free_bits": configs.check_not_negative}

    def __init__(
        self,
        encoder,
        decoder,
        likelihood="bernoulli",
        beta=1.0,
        free_bits=0.0,
        dynamic_binarization=False,
        seed=None,
        num_classes=None,
        prior="standard_normal",
        posterior="diagonal_normal",
        **kwargs,
    ):
        super().__init__(encoder, decoder, likelihood, num_classes, **kwargs)
        if dynamic_binarization and type(self.likelihood) is not likelihoods.Bernoulli:
            raise ValueError(
                f"`dynamic_binarization` makes pixels black or white, but the likelihood is "
                f"{type(self.likelihood).__name__}. Pass Bernoulli, or leave it out."
            )
        self.beta = beta
        self.free_bits = free_bits
        self.dynamic_binarization = dynamic_binarization
        self.seed = seed
        # Three streams: evaluating or drawing pictures must not move the noise of training.
        self.sampling, self.evaluation_sampling, self.user_sampling = (
            Sampling(stream, dtype=wide(self.variable_dtype)) for stream in seeds.split(seed, 3)
        )
        self.set_posterior(posterior)
        self.set_prior(prior)

    @property
    def beta(self):
        return self._beta

    @beta.setter
    def beta(self, beta):
        scheduled = isinstance(beta, LearningRateSchedule)
        if hasattr(self, "scheduled_beta") and not scheduled:
            del self.scheduled_beta
        elif scheduled and not hasattr(self, "scheduled_beta"):
            self._add_scheduled_beta(beta)
        vars(self)["_beta"] = beta

    def _add_scheduled_beta(self, beta):
        try:
            # A variable, as a step compiled for evaluation does not see the optimizer.
            self.scheduled_beta = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(float(beta(0))),
                trainable=False,
                name="beta",
            )
        except ValueError as error:  # Keras has locked a model with networks that `fit` builds.
            raise ValueError(
                f"`beta` becomes a schedule after this {type(self).__name__} was built, and Keras "
                f"allows no new weight then. Pass the schedule to the constructor."
            ) from error

    def unpack(self, data, training=True):
        """Return `(x, sample_weight, y)` as `Autoencoder.unpack`, and more of what a step must do.

        Under dynamic binarisation x is a fresh draw. In training a scheduled beta moves on.
        """
        x, sample_weight, y = super().unpack(data, training)
        if training and isinstance(self.beta, LearningRateSchedule):
            self.scheduled_beta.assign(self.beta(self.optimizer.iterations))
        return self.binarize(x, training), sample_weight, y

    def objective(self, x, sample_weight, y=None, *, training=True):
        """Return -ELBO, with beta and regularisers, and the scalars to log, in nats per example."""
        loss, terms, _ = self.autoencode(x, sample_weight, y, training=training)
        return loss, terms

    def autoencode(self, x, sample_weight, y=None, *, training=True):
        """Return what `objective` does, and the parameters of p(x|z)."""
        # p(z), first: a VampPrior calls the encoder, and Keras keeps the losses of the last call.
        prior = self.prior.distribution(self)
        q = self.posterior_of(x, y, training)  # q(z|x)
        z, log_q = self.draw(q, self._sampling(training))  # (batch, latent_size), (batch,)
        parameters = self.decoded(z, y, training)  # of p(x|z)
        reconstruction = -likelihoods.log_prob(self.likelihood, x, parameters)  # (batch,)
        kl = prior.kl_of_latents(q, z, log_q)  # (batch, latent_size), or (batch, 1)

        reconstruction = ops.mean(sample_weight * reconstruction)
        kl = ops.mean(sample_weight[:, None] * kl, axis=0)  # (latent_size,)
        if self.has_free_bits:
            self.check_free_bits()
            # Compared with the mean over the batch of all devices.
            kl = backend.mean_over_replicas(kl)
        charged_kl = kl
        if self.kl_factorises:  # Any other may be an estimate, and so negative.
            charged_kl = ops.maximum(kl, configs.in_step(self.free_bits))
        charged_kl = ops.sum(charged_kl)
        kl = ops.sum(kl)
        loss = reconstruction + self.current_beta() * charged_kl + self.added_losses()
        elbo = -(reconstruction + kl)
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "elbo": elbo}
        return loss, terms, parameters

    def binarize(self, x, training=True):
        """Return x, or under dynamic binarisation a draw from Bernoulli(x), from a step's stream.

        NaN stays NaN: it must not become a black pixel that is learned from.
        """
        if not self.dynamic_binarization:
            return x
        x = ops.convert_to_tensor(x)
        drawn = ops.cast(ops.less(self._sampling(training).uniform(ops.shape(x)), x), x.dtype)
        return ops.where(ops.isnan(x), x, drawn)

    def log_densities(self, x, num_samples, y=None, training=False):
        """Return log p(x|z), log p(z), log q(z|x) at draws from q, tensors (num_samples, batch)."""
        prior = self.prior.distribution(self)  # p(z), first, as in `objective`
        q = self.posterior_of(x, y, training, num_samples)
        z, log_q = self.draw(q, self._sampling(training))
        return self.log_prob_of_draws(x, z, y, training), prior.log_prob(z), log_q

    def log_prob_of_draws(self, x, z, y=None, training=False):
        """Return log p(x|z) at draws z (num_samples, batch, latent_size): (num_samples, batch)."""
        num_samples = z.shape[0]
        # Not `tile`: of one example PyTorch copies nothing here.
        x = ops.broadcast_to(x[None], (num_samples, *ops.shape(x)))
        x = ops.reshape(x, (-1, *x.shape[2:]))
        if y is not None:
            y = ops.tile(y, (num_samples,))
        parameters = self.decoded(ops.reshape(z, (-1, z.shape[-1])), y, training)
        log_prob = likelihoods.log_prob(self.likelihood, x, parameters)
        return ops.reshape(log_prob, (num_samples, -1))

    @property
    def has_free_bits(self):
        """Whether `free_bits` are above 0, or a variable that may be."""
        return isinstance(self.free_bits, keras.Variable) or self.free_bits > 0

    def current_beta(self):
        """Return the number itself, or the schedule's value at the last training step."""
        if isinstance(self.beta, LearningRateSchedule):
            return ops.convert_to_tensor(self.scheduled_beta)
        return configs.in_step(self.beta)

    def generate(self, z, batch_size=128, *, y=None):
        """Return E[x|z] of a NumPy array z (n, *latent_shape), as `generate` of a `GAN`."""
        return self.decode(z, batch_size=batch_size, y=y)

    def sample(self, num_samples, draw_pixels=False, batch_size=128, *, y=None, seed=None):
        """Return E[x|z] at `num_samples` z from p(z), NumPy, with `draw_pixels` draws of x.

        An integer `seed` gives the same z each time, on every backend, and on one backend the same
        pixels; it leaves the streams of noise as they are.
        """
        z = self.draw_latents(num_samples, seed=seed)
        return self.decode(z, draw_pixels, batch_size, y=y, seed=seed)

    def reconstruct(self, x, sample=False, batch_size=128, *, y=None, seed=None):
        """Return E[x|z] at the mean of q(z|x), or with `sample` at a draw from it, NumPy."""

        def use(x, y):
            parameters = self.encode(x, batch_size, y=y)
            z = self.draw_of(parameters) if sample else self.code_of(parameters)
            return self.decode(z, batch_size=batch_size, y=y)

        with seeds.seeded(self, seed):
            return self.over_parts(use, x, y)

    def log_likelihood(
        self,
        x,
        num_samples=5000,
        proposal="posterior",
        return_standard_error=False,
        chunk_size=5_000,
        verbose=1,
        *,
        y=None,
        seed=None,
    ):
        """Return log p(x), or log p(x|y), in nats, estimated: see `kg.inference.log_likelihood`."""
        return inference.log_likelihood(
            self, x, num_samples, proposal, return_standard_error, chunk_size, verbose, y, seed
        )

    def anomaly_score(self, x, kind="elbo", num_samples=10, seed=0, batch_size=128, *, y=None):
        """Return how unlike the training data each x is: see `kg.inference.anomaly_score`."""
        return inference.anomaly_score(self, x, kind, num_samples, seed, batch_size, y)

    def inpaint(
        self, x, mask, method="elbo", num_samples=1, steps=200, batch_size=128, *, y=None, seed=None
    ):
        """Return x with hidden values filled in by visible ones: see `kg.inference.inpaint`."""
        return inference.inpaint(self, x, mask, method, num_samples, steps, batch_size, y, seed)

    def signatures(self):
        def examples(noise, y):
            return self.likelihood.mean(self.decoded(self.z_of_noise(noise), y))

        def latents(noise):
            return {"z": self.shaped(self.z_of_noise(noise))}

        has_labels, signatures = self.num_classes is not None, super().signatures()
        if not self._is_own("draw_latents"):  # Else these would draw others than `sample`.
            signatures |= samplers(self.user_sampling, (self.noise_size,), examples, has_labels)
        if not self.prior.factorises:  # Without it `decode` could be given no z of the prior.
            shape = (None, self.noise_size)
            noise = keras.InputSpec(shape=shape, dtype="float32", name="noise")
            signatures["latents"] = Signature(latents, [noise])
        return signatures

    def get_config(self):
        return {
            **super().get_config(),
            "beta": configs.serialize(self.beta),
            "free_bits": configs.serialize(self.free_bits),
            "dynamic_binarization": self.dynamic_binarization,
            "seed": self.seed,
            "prior": keras.saving.serialize_keras_object(self.prior),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
        }

    def _sampling(self, training):
        return self.sampling if training else self.evaluation_sampling
