"""A VAE's posterior q(z|x): what the encoder has to give for it, its draws and its codes."""

from keras import ops

from keras_gen import backend, borrowed, checks, posteriors
from keras_gen.dtypes import in_float32


class HasPosterior:
    """Mixin of a VAE before `Autoencoder`: `posterior` is a layer of `kg.posteriors`."""

    def set_posterior(self, posterior):
        self.posterior = posteriors.get(posterior, self.dtype_policy.name)
        self.check_posterior()
        if self.built:
            self.build_posterior()

    def check_posterior(self):
        """Raise ValueError if this model cannot use the posterior, whatever the encoder gives."""

    def build(self, input_shape):
        super().build(input_shape)
        self.build_posterior()

    def build_posterior(self):
        """Build the posterior; ValueError if the encoder does not give what it needs."""
        outputs = self.posterior.outputs(self.latent_size)
        others = tuple((size,) for size in list(outputs.values())[2:])
        if self.code_shapes[2:] != others:
            needed = ", ".join(f"{name} ({size})" for name, size in outputs.items())
            came = ", ".join(str(tuple(shape)) for shape in self.code_shapes)
            raise ValueError(
                f"The encoder for the posterior {type(self.posterior).__name__} of this "
                f"{type(self).__name__} gives {needed}, and this one gives "
                f"{len(self.code_shapes)} tensors of shape {came}. End it in a Dense layer for "
                f"each, as `kg.networks.posterior_outputs` does; z is drawn by the model."
            )
        self.build_part("posterior", (None, self.latent_size))

    def build_part(self, name, shape):
        """Build the layer `name` for z of this model; ValueError if it was built for others."""
        part = getattr(self, name)
        if not part.built:
            part.build(shape)
        if not part.trainable:  # Each layer that `build` makes, also in a file, has its own flag.
            for layer in borrowed.all_layers(part):
                layer.trainable = False
        built_for = (part.get_build_config() or {}).get("input_shape", shape)
        if tuple(built_for) != shape:
            raise ValueError(
                f"The `{name}`, a {type(part).__name__}, was built for {tuple(built_for)}, and "
                f"this {type(self).__name__} needs {shape}. Pass a new one."
            )

    def check_code(self, outputs):
        if not isinstance(outputs, (list, tuple)) or len(outputs) < 2:
            if len(getattr(self.decoder, "outputs", None) or ()) > 1:
                raise ValueError(
                    f"The networks are in the wrong order: {self.decoder.name!r} gives (mean, "
                    f"log_var), as an encoder does. Pass the encoder first."
                )
            raise ValueError(
                f"The encoder of a VAE gives two tensors, (mean, log_var) of q(z|x), and this one "
                f"gives {checks.describe(outputs)}. End it in two Dense layers; z is drawn by the "
                f"model. For one code without a distribution, use Autoencoder."
            )
        mean, log_var = outputs[:2]
        if mean.shape != log_var.shape:
            raise ValueError(
                f"The encoder's mean has shape {mean.shape} and its log_var {log_var.shape}. "
                f"Give both the same latent size."
            )
        # The posterior is not known yet: `build_posterior` compares its outputs with them.
        self.code_shapes = tuple(tuple(v.shape[1:]) for v in outputs)
        return mean

    def check_density(self, subject):
        """Raise ValueError if log q(z|x) is known at its draws alone; `subject` needs it."""
        if not self.posterior.has_density:
            raise ValueError(
                f"{subject} needs log q(z|x) at any z, and {type(self.posterior).__name__} knows "
                f'it only at its own draws. Pass `posterior="full_covariance"` to the networks and '
                f"to the model, or to none of them."
            )

    def check_normal(self, subject):
        """Raise ValueError unless q(z|x) is a diagonal normal; `subject` says what needs it."""
        if type(self.posterior) is not posteriors.DiagonalNormal:  # A subclass may be another.
            raise ValueError(
                f"{subject} works only with diagonal normals q(z|x), and the posterior of this "
                f"{type(self).__name__} is {type(self.posterior).__name__}. Train a model without "
                f"`posterior=`."
            )

    def distribution_of(self, parameters):
        """Return q(z|x) of what the encoder gives, tensors or arrays: `kg.posteriors.Distribution`.

        Its parameters are vectors, tensors (batch, size).
        """
        tensors = (in_float32(ops.convert_to_tensor(v)) for v in parameters)
        return self.posterior.distribution(*map(self.flat, tensors))

    def posterior_of(self, x, y=None, training=False, num_samples=None):
        """Return q(z|x) of examples, a `kg.posteriors.Distribution`.

        Its parameters are tensors (batch, size), or with `num_samples` (num_samples, batch, size).
        """
        q = self.distribution_of(self.encoded(x, y, training))
        if num_samples is None:
            return q
        return q.map(lambda v: ops.repeat(v[None], num_samples, axis=0))

    def draw(self, q, stream):
        """Return z from q(z|x), tensor (..., latent_size), and log q(z|x), of a layer's noise."""
        return q.draw(ops.cast(stream.noise(ops.shape(q.mean)), q.mean.dtype))

    def code(self, x, y=None, training=False):
        """Return the one z that stands for each example, a tensor (batch, *latent_shape)."""
        return self.shaped(self.distribution_of(super().code(x, y, training)).center)

    def encode(self, x, batch_size=128, *, y=None):
        """Return the parameters of q(z|x), NumPy: of a normal (mean, log_var), (n, *latent_shape).

        They are what the encoder gives: the posterior's docstring says what more there is.
        """
        return tuple(super().encode(x, batch_size, y=y))

    def code_of(self, parameters):
        """Return the z that stands for each example, NumPy, of what `encode` gives: the mean."""
        return self._z_of(parameters, lambda q: q.center)

    def draw_of(self, parameters):
        """Return a draw of q(z|x), NumPy (n, *latent_shape), of what `encode` gives."""
        return self._z_of(parameters, lambda q: self.draw(q, self.user_sampling)[0])

    def _z_of(self, parameters, function):
        z = backend.without_gradient(
            lambda *tensors: function(self.distribution_of(tensors)),
            *map(ops.convert_to_tensor, parameters),
        )
        return ops.convert_to_numpy(z).reshape(-1, *self.latent_shape)

    def _encode_signature(self, x, *y):
        outputs = self.encoder([x, *y] if y else x, training=False)
        return dict(zip(self.posterior.outputs(self.latent_size), outputs, strict=True))
