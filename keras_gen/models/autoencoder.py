import keras
from keras import ops

from keras_gen import backend, checks, door, likelihoods, seeds
from keras_gen.arguments import check_latent_dim
from keras_gen.bounds import output_bounds
from keras_gen.dtypes import total_in_float32
from keras_gen.export import Signature
from keras_gen.inference import interpolate_examples, predict
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latents import Latents, common_shape


@keras.saving.register_keras_serializable("keras_gen")
class Autoencoder(Latents, GenerativeModel):
    """Plain autoencoder: minimises -log p(x|z) at z = encoder(x).

    It compresses and cannot generate. Nothing says where the codes lie: z has no prior, so a
    z drawn from N(0, I), or from anything else, falls between the codes, where the decoder
    was never trained. A `VAE` pays a KL term for the missing prior.

    With `num_classes` all of it is given the label, as in `VAE`.

    Args:
        encoder: Keras model, x -> z, (batch, latent_dim) or of any shape, as in `VAE`.
        decoder: Keras model, z -> parameters of the likelihood.
        likelihood: A layer of `kg.likelihoods`, or its name, such as "gaussian".
        num_classes: None, or the number of classes: labels are integers from 0 on.

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
    without_target = "Pass `x` alone."  # Advice to who passes a second copy of it.
    absent = dict.fromkeys(
        ("sample", "generate", "log_likelihood", "anomaly_score", "inpaint"),
        "it has no prior, so nothing says which z to draw or how likely one is. kg.VAE has one.",
    )

    def __init__(self, encoder, decoder, likelihood="bernoulli", num_classes=None, **kwargs):
        checks.check_networks(encoder=encoder, decoder=decoder)
        super().__init__(num_classes=num_classes, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.latent_dim = None
        if all(hasattr(network, "input_shape") for network in (encoder, decoder)):
            # Functional networks leave nothing to build. Not `self.build`: that would lock
            # the model, and a subclass could add no layers after `super().__init__`.
            self._fit_together(self.input_shape_of(encoder, None))
            self.built = True

    @backend.step
    def train_step(self, data):
        data = self.unpack(data)
        variables = self.trainable_variables
        output = backend.descend(self.optimizer, variables, self.objective, *data)
        return self.update_metrics(checks.terms_of(output), data[0])

    @backend.step
    def test_step(self, data):
        data = self.unpack(data, training=False)
        output = self.objective(*data, training=False)
        return self.update_metrics(checks.terms_of(output), data[0])

    def objective(self, x, sample_weight, y=None, *, training=True):
        """Return the loss to minimise and the scalars to log, in nats per example."""
        z = self.encoded(x, y, training)  # (batch, latent_dim)
        parameters = self.decoded(z, y, training)
        reconstruction = -likelihoods.log_prob(self.likelihood, x, parameters)  # (batch,)
        reconstruction = ops.mean(sample_weight * reconstruction)
        loss = reconstruction + self.added_losses()
        return loss, {"loss": loss, "reconstruction": reconstruction}

    def unpack(self, data, training=True):
        """Return `(x, sample_weight, y)` from a batch of `fit`, all that a step does to its data.

        `sample_weight` is (batch,), and y int32 (batch,), or None without classes.
        """
        x, y, sample_weight = self.read_batch(data)
        if sample_weight is None:
            sample_weight = ops.ones(1)
        sample_weight = ops.reshape(ops.cast(sample_weight, x.dtype), (-1,))
        x, y = self.mark_unknown_labels(x, y)
        return x, sample_weight, y

    def added_losses(self):
        """Return the sum of regularisers and of what layers add, a scalar in float32 or wider."""
        return total_in_float32(self.losses)

    def check_next_to(self, x, y, sample_weight):
        if self.num_classes is None:
            checks.check_not_a_target(x, y, type(self).__name__, self.without_target)
        if sample_weight is not None:
            door.check_weights(sample_weight)

    def encoded(self, x, y=None, training=False):
        """Return what the encoder gives in a step, a tensor z (batch, *latent_shape)."""
        return self.encoder(x if y is None else [x, y], training=training)

    def decoded(self, z, y=None, training=False):
        """Return the parameters of p(x|z), a tensor; z may be flat, (batch, latent_size)."""
        z = self.shaped(z)
        return self.decoder(z if y is None else [z, y], training=training)

    def call(self, inputs, training=False):
        x, y = self.split_labels(inputs)
        return self.likelihood.mean(self.decoded(self.code(x, y, training), y, training))

    def code(self, x, y=None, training=False):
        """Return the one z that stands for each example, a tensor (batch, *latent_shape)."""
        return self.encoder(x if y is None else [x, y], training=training)

    def encode(self, x, batch_size=128, *, y=None):
        """Return z of examples, NumPy (n, *latent_shape)."""

        def use(x, y):
            return predict(self.encoder, x if y is None else [x, y], batch_size)

        return self.over_parts(use, x, y)

    def code_of(self, code):
        """Return the one z that stands for each example, NumPy, of what `encode` gives."""
        return code

    def decode(self, z, draw_pixels=False, batch_size=128, *, y=None, seed=None):
        """Return E[x|z] of a NumPy array z (n, *latent_shape), with `draw_pixels` a draw of x.

        An integer `seed` draws the same x each time, and leaves the streams of noise as they are.
        """
        self.check_sized()
        z = checks.check_latents(z, self.latent_dim)
        y = self.labels(y, len(z))
        pixels = self.likelihood.sample if draw_pixels else self.likelihood.mean

        def finish(parameters):
            return ops.convert_to_numpy(pixels(ops.convert_to_tensor(parameters)))

        with seeds.seeded(self, seed):
            return predict(self.decoder, z if y is None else [z, y], batch_size, finish)

    def reconstruct(self, x, batch_size=128, *, y=None):
        """Return E[x|z] at the z of each example, in the shape of `x`, NumPy."""

        def use(x, y):
            return self.decode(self.encode(x, batch_size, y=y), batch_size=batch_size, y=y)

        return self.over_parts(use, x, y)

    def interpolate(self, x_from, x_to, steps=8, *, y=None):
        """Return examples on lines between pairs: see `kg.inference.interpolate_examples`."""
        return interpolate_examples(self, x_from, x_to, steps, y)

    def signatures(self):
        x = keras.InputSpec(shape=(None, *self.example_shape), dtype="float32", name="x")
        z = keras.InputSpec(shape=(None, *self.latent_shape), dtype="float32", name="z")
        specs = self.label_specs()

        def reconstruct(x, *y):
            return {"reconstruction": self.call([x, *y] if y else x)}

        def decode(z, *y):
            return {"x": self.likelihood.mean(self.decoded(z, *y))}

        return {
            "reconstruct": Signature(reconstruct, [x, *specs]),
            "encode": Signature(self._encode_signature, [x, *specs]),
            "decode": Signature(decode, [z, *specs]),
        }

    def check_data(self, x):
        checks.check_examples(x, self.example_shape, type(self).__name__)
        self.likelihood.check_data(x)

    def value_bounds(self):
        return self.likelihood.domain

    @property
    def white(self):
        return self.likelihood.white

    def check_sized(self):
        if self.latent_dim is None:
            raise ValueError(
                f"This {type(self).__name__} does not know its sizes yet: its networks are not "
                f"functional models. Call it on a batch, or `fit` it, first."
            )

    def build(self, input_shape):
        if self.num_classes is not None and isinstance(input_shape[0], (list, tuple)):
            input_shape, _ = input_shape  # Those of x and y, where the model is called.
        self._fit_together(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    def _fit_together(self, input_shape):
        x = keras.KerasTensor((None, *input_shape[1:]))
        z = self.check_code(checks.output_spec(self.encoder, self.symbolic_inputs(x)))
        latent_shape = common_shape(z.shape, self.input_shape_of(self.decoder, z.shape))
        z = keras.KerasTensor((None, *latent_shape))
        parameters = checks.output_of(self.decoder, self.symbolic_inputs(z), "decoder")
        shape = _with_sizes_of(parameters.shape, x.shape)
        self.likelihood.check_shapes(shape, parameters.shape)
        if self.likelihood.needs_raw_outputs:
            self.likelihood.check_bounds(*output_bounds(self.decoder, self.symbolic_inputs(z)))
        self.example_shape = shape[1:]
        self.latent_dim = check_latent_dim(latent_shape)

    def check_code(self, outputs):
        """Return z of the encoder's symbolic outputs; ValueError if they are of another kind."""
        if not isinstance(outputs, keras.KerasTensor):
            raise ValueError(
                f"The encoder of an Autoencoder gives one tensor z, and this one gives "
                f"{checks.describe(outputs)}. For (mean, log_var) use VAE."
            )
        return outputs

    def _encode_signature(self, x, *y):
        return {"z": self.code(x, *y)}


def _with_sizes_of(outputs, shape):
    """Return the shape of the data; sizes that the encoder leaves open are the decoder's."""
    if len(outputs) != len(shape):
        return tuple(shape)
    batch, *sizes, channels = zip(shape, outputs, strict=True)
    sizes = [given if size is None else size for size, given in sizes]
    return (batch[0], *sizes, channels[0])
