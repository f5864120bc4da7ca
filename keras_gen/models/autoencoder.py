import keras
import numpy as np
from keras import ops

from keras_gen import backend, likelihoods
from keras_gen.dtypes import total_in_float32
from keras_gen.export import Signature
from keras_gen.models.base import (
    GenerativeModel,
    check_networks,
    describe,
    ends_in_sigmoid,
    predict,
    spec,
)
from keras_gen.models.latents import check_pairs, check_z, path


@keras.saving.register_keras_serializable("keras_gen")
class Autoencoder(GenerativeModel):
    """Plain autoencoder: minimises -log p(x|z) at z = encoder(x).

    It compresses and cannot generate. Nothing says where the codes lie: z has no prior, so a
    z drawn from N(0, I), or from anything else, falls between the codes, where the decoder
    was never trained. A `VAE` pays a KL term for the missing prior.

    Args:
        encoder: Keras model, x -> z of shape (batch, latent_dim).
        decoder: Keras model, z -> parameters of the likelihood.
        likelihood: A likelihood layer, or "bernoulli" or "gaussian".

    Example:

    ```python
    model = kg.Autoencoder(*kg.networks.mlp_autoencoder((28, 28, 1), latent_dim=20))
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    model.fit(x, epochs=10)
    ```

    Reference:
        Hinton and Salakhutdinov (2006), "Reducing the Dimensionality of Data with Neural
        Networks": https://doi.org/10.1126/science.1127647
    """

    logged = ("loss", "reconstruction")

    def __init__(self, encoder, decoder, likelihood="bernoulli", **kwargs):
        check_networks(encoder=encoder, decoder=decoder)
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.latent_dim = None
        if all(hasattr(network, "input_shape") for network in (encoder, decoder)):
            # Functional networks leave nothing to build. Not `self.build`: that would lock
            # the model, and a subclass could add no layers after `super().__init__`.
            self._fit_together(self.example_input(encoder, None))
            self.built = True

    @backend.step
    def train_step(self, data):
        x, sample_weight = self.unpack(data)
        _, terms = backend.descend(
            self.optimizer, self.trainable_variables, self.objective, x, sample_weight
        )
        return self.track(terms, x)

    @backend.step
    def test_step(self, data):
        x, sample_weight = self.unpack(data)
        _, terms = self.objective(x, sample_weight, training=False)
        return self.track(terms, x)

    def objective(self, x, sample_weight, *, training=True):
        """The loss to minimise and the scalars to log, in nats per example."""
        z = self.encoder(x, training=training)  # (batch, latent_dim)
        parameters = self.decoder(z, training=training)
        reconstruction = -self.likelihood.log_prob(x, parameters)  # -log p(x|z), (batch,)
        reconstruction = ops.mean(sample_weight * reconstruction)
        loss = reconstruction + total_in_float32(self.losses)
        return loss, {"loss": loss, "reconstruction": reconstruction}

    def call(self, x, training=False):
        """The reconstruction E[x|z], of the shape of `x`."""
        return self.likelihood.mean(self.decoder(self.code(x, training), training=training))

    def code(self, x, training=False):
        """The one z that stands for `x`, as a tensor (batch, latent_dim)."""
        return self.encoder(x, training=training)

    def encode(self, x, batch_size=128):
        """z of a NumPy array of examples, (n, latent_dim)."""
        return predict(self.encoder, self._examples(x), batch_size)

    def decode(self, z, draw_pixels=False, batch_size=128):
        """E[x|z] of a NumPy array z (n, latent_dim); with `draw_pixels` a draw from p(x|z)."""
        return self._decode(self._codes(z), draw_pixels, batch_size)

    def reconstruct(self, x, batch_size=128):
        """E[x|z] at the z of every example, in the shape of `x`, NumPy."""
        return self.decode(self.encode(x, batch_size), batch_size=batch_size)

    def interpolate(self, x_from, x_to, steps=8):
        """Examples between pairs: z moves from one's to the other's along a straight line.

        Args:
            x_from: NumPy array (n, ...).
            x_to: NumPy array of the same shape.
            steps: Number of points on each line, both ends included; at least 2.

        Returns:
            NumPy array (n, steps, ...).
        """
        check_pairs(steps, x_from=x_from, x_to=x_to)
        z = path(self._code_of(x_from), self._code_of(x_to), steps, spherical=False)
        x = self.decode(z.reshape(-1, z.shape[-1]))
        return x.reshape(len(z), steps, *x.shape[1:])

    def signatures(self):
        x = keras.InputSpec(shape=(None, *self.example_shape), dtype="float32", name="x")
        z = keras.InputSpec(shape=(None, self.latent_dim), dtype="float32", name="z")
        y = self.label_specs()
        return {
            "reconstruct": Signature(self._reconstruction_of, [x, *y]),
            "encode": Signature(self._code_by_name, [x, *y]),
            "decode": Signature(self._mean_of, [z, *y]),
        }

    def check_data(self, x):
        self.check_kind(x)
        self.likelihood.check_data(x)

    def unpack(self, data):
        """x and its weights (batch,) from what `fit` hands over; labels are left aside."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.check_kind(x)
        if y is not None and len(x.shape) > 1 and tuple(y.shape[1:]) == tuple(x.shape[1:]):
            raise ValueError(
                f"`y` has the shape of `x`, {tuple(x.shape[1:])}, but {type(self).__name__} "
                f"reconstructs `x` itself. Pass `x` alone."
            )
        if sample_weight is None:
            sample_weight = ops.ones(1)
        sample_weight = ops.cast(sample_weight, "float32")
        if len(sample_weight.shape) > 1 and tuple(sample_weight.shape[1:]) != (1,):
            raise ValueError(
                f"`sample_weight` has shape {tuple(sample_weight.shape)}. Pass one weight for each "
                f"example, (n,)."
            )
        return x, ops.reshape(sample_weight, (-1,))

    def build(self, input_shape):
        self._fit_together(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    def _fit_together(self, input_shape):
        """Learns the sizes, building networks that are not built; refuses what disagrees."""
        x = keras.KerasTensor((None, *input_shape[1:]))
        z = self._code_spec(spec(self.encoder, self.beside_labels(x)))
        latent_dim = self.example_input(self.decoder, z.shape)[-1]
        if z.shape[-1] != latent_dim:
            raise ValueError(
                f"The encoder's z has size {z.shape[-1]} and the decoder takes {latent_dim}. "
                f"Build both with the same `latent_dim`."
            )
        parameters = spec(self.decoder, self.beside_labels(keras.KerasTensor((None, latent_dim))))
        self.likelihood.check_shapes(x.shape, parameters.shape)
        if isinstance(self.likelihood, likelihoods.Bernoulli) and ends_in_sigmoid(self.decoder):
            raise ValueError(
                "The decoder ends in a sigmoid. Bernoulli takes logits, and is stable for that: "
                "leave the activation out."
            )
        self.example_shape = tuple(x.shape[1:])
        self.latent_dim = latent_dim

    def _code_spec(self, outputs):
        if not isinstance(outputs, keras.KerasTensor):
            raise ValueError(
                f"The encoder of an Autoencoder gives one tensor z, and this one gives "
                f"{describe(outputs)}. For (mean, log_var) use VAE."
            )
        return outputs

    def _check_sized(self):
        if self.latent_dim is None:
            raise ValueError(
                f"This {type(self).__name__} does not know its sizes yet: its networks are not "
                f"functional models. Call it on a batch, or `fit` it, first."
            )

    def _reconstruction_of(self, x, *y):
        return {"reconstruction": self.call([x, *y] if y else x)}

    def _code_by_name(self, x):
        return {"z": self.encoder(x, training=False)}

    def _mean_of(self, z, *y):
        parameters = self.decoder([z, *y] if y else z, training=False)
        return {"x": self.likelihood.mean(parameters)}

    def _code_of(self, x):
        return self.encode(x)

    def _codes(self, z):
        self._check_sized()
        return check_z(z, self.latent_dim)

    def _decode(self, inputs, draw_pixels, batch_size):
        pixels = self.likelihood.sample if draw_pixels else self.likelihood.mean

        def finish(parameters):
            return ops.convert_to_numpy(pixels(ops.convert_to_tensor(parameters)))

        return predict(self.decoder, inputs, batch_size, finish)

    def _examples(self, x):
        x = np.asarray(x)
        self.check_data(x)
        return x.astype(keras.config.floatx(), copy=False)
