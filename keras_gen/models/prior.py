"""A VAE's prior p(z): its place in training, in questions to the model and in samples."""

import math

from keras import ops

from keras_gen import backend, checks, distribution, inference, priors


class HasPrior:
    """Mixin of a VAE before `HasPosterior`: `prior` is a layer of `kg.priors`."""

    def set_prior(self, prior):
        self.prior = priors.get(prior, self.dtype_policy.name)
        self.check_free_bits()
        if self.prior.needs_density:
            self.check_density(f"A {type(self.prior).__name__}")
        if self.built:
            self.build_prior()

    def build(self, input_shape):
        super().build(input_shape)
        self.build_prior()

    def fit_prior(self, x, kind="gaussian_mixture", k=50, steps=2_000, *, y=None, seed=None):
        """Replace the prior by one fitted to the codes of x: see `kg.inference.fit_prior`."""
        return inference.fit_prior(self, x, kind, k, steps, y, seed)

    def build_prior(self):
        """Build the prior for this model's z; ValueError if it was built for another."""
        self.build_part("prior", self.prior.shape_in(self))

    @property
    def kl_factorises(self):
        """Whether the KL is a sum of one for each latent."""
        return self.prior.factorises and self.posterior.factorises

    def check_free_bits(self):
        """Raise ValueError if free bits are given to latents that have no KL of their own."""
        if self.has_free_bits and not self.kl_factorises:
            name = "posterior" if self.prior.factorises else "prior"
            default = {"prior": "standard_normal", "posterior": "diagonal_normal"}[name]
            raise ValueError(
                f"`free_bits` are of single latents, and under the {name} "
                f"{type(getattr(self, name)).__name__} these have no KL of their own. Leave them "
                f'out, or pass `{name}="{default}"`.'
            )

    def initialize_from_data(self, examples):
        if not self.prior.needs_data():
            return
        if distribution.processes() > 1:
            raise ValueError(
                f"The {type(self.prior).__name__} starts at the mean of the data, and each of "
                f"{distribution.processes()} processes has data of its own. Pass "
                f"`data_mean=x.mean(axis=0)`, the same in all of them."
            )
        self.prior.initialize_from_data(examples)

    @property
    def prior_shape(self):
        """Shape of one z of the prior, a tuple."""
        return self.latent_shape

    @property
    def prior_size(self):
        """Number of values of one z of the prior."""
        return math.prod(self.prior_shape)

    def prior_posterior(self, x, y=None):
        """Return q(z|x) for a prior, of tensors (batch, size).

        x is used as it is, without noise or drawn pixels, by the encoder of `encode`.
        """
        return self.distribution_of(self.encoder(x if y is None else [x, y], training=False))

    def prior_of_z(self):
        """Return p(z) of the z next to x as it is now, a `kg.priors.Distribution`."""
        return self.prior.distribution(self)

    def prior_draws(self, num_samples, batch):
        """Return draws z of p(z) for evaluation, a tensor (num_samples, batch, latent_size)."""
        prior = self.prior.distribution(self)
        return prior.from_noise(
            self.evaluation_sampling.noise((num_samples, batch, prior.noise_size))
        )

    def draw_latents(self, num_samples, *, seed=None):
        """Return draws from p(z) for pictures, NumPy (num_samples, *latent_shape), as `sample`."""
        num_samples = checks.check_integer("num_samples", num_samples)
        self.check_sized()
        noise = self.user_sampling.array((num_samples, self.noise_size), seed)
        z = backend.without_gradient(self.z_of_noise, ops.convert_to_tensor(noise))
        return ops.convert_to_numpy(z).reshape(-1, *self.latent_shape)

    @property
    def noise_size(self):
        """Number of normal draws that make a z of the prior."""
        return self.prior.distribution(self).noise_size

    def z_of_noise(self, noise):
        """Return z of the prior, (batch, latent_size), made of draws from N(0, I)."""
        return self.prior.distribution(self).from_noise(noise)
