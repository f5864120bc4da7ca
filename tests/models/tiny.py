"""Tiny models for the contract tests.

A new model makes three edits here: a builder, its row in `MODELS`, and, if its step is made of
other parts than those in `STEPS`, a row there.
"""

import keras
import numpy as np

import keras_gen as kg
from keras_gen.networks.burda import normal_network

IMAGE_SHAPE = (8, 8, 1)


def images(n=20, shape=IMAGE_SHAPE, seed=0):
    return np.random.default_rng(seed).random((n, *shape), dtype="float32")


def sgd():
    return keras.optimizers.SGD(0.01)


def autoencoder(**kwargs):
    return kg.Autoencoder(*kg.networks.mlp_autoencoder(IMAGE_SHAPE, 3, hidden=(6,)), **kwargs)


def vae(**kwargs):
    return kg.VAE(*kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,)), seed=1, **kwargs)


def conv_vae(**kwargs):
    networks = kg.networks.conv_vae(IMAGE_SHAPE, 3, filters=(4, 6))
    return kg.VAE(*networks, seed=1, **kwargs)


MAPS = (2, 2, 3)


def networks_of_maps(flat=False, image_shape=IMAGE_SHAPE):
    """Encoder and decoder whose z is a few maps, or with `flat` the same z as a vector."""
    last = {"data_format": "channels_last"}
    x = keras.Input(image_shape)
    h = keras.layers.Conv2D(4, 4, strides=4, activation="relu", **last)(x)
    heads = [keras.layers.Conv2D(3, 1, **last)(h) for _ in range(2)]
    z = keras.Input((12,) if flat else MAPS)
    h = keras.layers.Reshape(MAPS)(z) if flat else z
    h = keras.layers.Conv2DTranspose(1, 4, strides=4, **last)(h)
    if flat:
        heads = [keras.layers.Flatten()(head) for head in heads]
    return keras.Model(x, heads), keras.Model(z, h)


def vae_of_maps(**kwargs):
    return kg.VAE(*networks_of_maps(), seed=1, **kwargs)


def scheduled_vae():
    """With a weight in the likelihood, and a beta that grows."""
    return vae(
        likelihood=kg.likelihoods.Gaussian(0.5, learn_sigma=True),
        beta=keras.optimizers.schedules.PolynomialDecay(0.1, 10, 1.0),
    )


def binarized_vae():
    """Pixels drawn anew for each batch, and latents that may tell something at no charge."""
    return vae(dynamic_binarization=True, free_bits=0.05)


def iwae(**kwargs):
    return kg.IWAE(*kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,)), seed=1, **kwargs)


def dreg_iwae(**kwargs):
    return kg.DReGIWAE(*kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,)), seed=1, **kwargs)


def two_layer_iwae(**kwargs):
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    top = [normal_network(*sizes, (4,), "tanh", "top") for sizes in ((3, 2), (2, 3))]
    return kg.TwoLayerIWAE(*networks, *top, seed=1, **{"num_samples": 3, **kwargs})


def regular_vae(rate=0.3, **kwargs):
    """With everything that keeps state: dropout, batch norm, a regulariser."""
    x = keras.Input(IMAGE_SHAPE)
    h = keras.layers.Flatten()(x)
    h = keras.layers.Dense(6, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(h)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.Dropout(rate, seed=5)(h)
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    return kg.VAE(encoder, decoder, seed=1, **kwargs)


def denoising_autoencoder():
    """With a noise of its own for every example."""
    networks = kg.networks.unet_autoencoder(IMAGE_SHAPE, filters=(2, 3))
    return kg.DenoisingAutoencoder(*networks, stddev=(0.1, 0.5), seed=1)


def denoising_vae(**kwargs):
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    return kg.DenoisingVAE(*networks, stddev=0.3, seed=1, **kwargs)


def _player(inputs, outputs, norm=None):
    x = keras.Input((inputs,))
    h = keras.layers.Dense(6)(x)
    h = keras.layers.LeakyReLU(0.2)(norm()(h) if norm else h)
    return keras.Model(x, keras.layers.Dense(outputs)(h))


def gan(**kwargs):
    """Batch norm and dropout in the players, two steps of the discriminator, packing."""
    discriminator = _player(16, 1, lambda: keras.layers.Dropout(0.2, seed=6))
    generator = _player(2, 8, keras.layers.BatchNormalization)
    return kg.GAN(generator, discriminator, latent_dim=2, d_steps=2, packing=2, seed=1, **kwargs)


def r3gan():
    penalties = [kg.losses.R1(0.1), kg.losses.R2(0.1)]
    players = _player(2, 8), _player(8, 1)
    return kg.GAN(*players, latent_dim=2, loss="relativistic", penalties=penalties, seed=1)


def augmented_gan(**kwargs):
    """Of images, with a probability that adapts and a penalty that sees it."""
    z, x = keras.Input((2,)), keras.Input((4, 4, 1))
    fake = keras.layers.Reshape((4, 4, 1))(keras.layers.Dense(16)(z))
    logit = keras.layers.Dense(1)(keras.layers.Dense(6, "tanh")(keras.layers.Flatten()(x)))
    settings = {
        "loss": "relativistic",
        "penalties": [kg.losses.R1(0.1)],
        "augment": kg.augment.Adaptive(ramp_images=80),
        "seed": 1,
    }
    players = keras.Model(z, fake), keras.Model(x, logit)
    return kg.GAN(*players, latent_dim=2, **{**settings, **kwargs})


def wgan():
    return kg.WGAN(_player(2, 8), _player(8, 1), latent_dim=2, clip=0.1, d_steps=2, seed=1)


def conditional_gan():
    """Labels next to packed examples, two steps of the discriminator, and a penalty."""
    networks = kg.networks.point_gan((8,), 2, hidden=(6,), packing=2, num_classes=3)
    return kg.GAN(
        *networks,
        latent_dim=2,
        num_classes=3,
        d_steps=2,
        packing=2,
        penalties=[kg.losses.GradientPenalty(0.1)],
        seed=1,
    )


def conditional_wgan():
    networks = kg.networks.point_gan((8,), 2, hidden=(6,), num_classes=3)
    return kg.WGAN(*networks, latent_dim=2, num_classes=3, clip=0.1, d_steps=2, seed=1)


def conditional_vae():
    networks = kg.networks.conv_vae(IMAGE_SHAPE, 3, filters=(4,), num_classes=3)
    return kg.VAE(*networks, num_classes=3, seed=1)


def conditional_iwae(**kwargs):
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,), num_classes=3)
    return kg.IWAE(*networks, num_classes=3, seed=1, **kwargs)


def conditional_denoising_vae(**kwargs):
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,), num_classes=3)
    return kg.DenoisingVAE(*networks, stddev=0.3, num_classes=3, seed=1, **kwargs)


def mixture_denoising_vae():
    return denoising_vae(prior=kg.priors.Mixture(3, seed=1))


def vamp_conditional_vae():
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,), num_classes=3)
    return kg.VAE(*networks, num_classes=3, seed=1, prior=kg.priors.VampPrior(4, seed=1))


def flow_dreg_iwae():
    return dreg_iwae(num_samples=3, prior=kg.priors.Flow(couplings=2, hidden=4, seed=1))


def of_posterior(kind, posterior, num_classes=None, **kwargs):
    """A model with a posterior that needs more of the encoder than mean and log_var."""
    sizes = {"hidden": (6,), "num_classes": num_classes, "posterior": posterior}
    networks = kg.networks.mlp_vae(IMAGE_SHAPE, 3, **sizes)
    return kind(*networks, num_classes=num_classes, posterior=posterior, seed=1, **kwargs)


def full_vamp_dreg_iwae():
    prior = kg.priors.VampPrior(4, seed=1)
    return of_posterior(kg.DReGIWAE, "full_covariance", num_samples=3, prior=prior)


def autoregressive(steps=2):
    return kg.posteriors.InverseAutoregressiveFlow(steps, hidden=5, seed=1)


def autoregressive_conditional_vae():
    return of_posterior(kg.VAE, autoregressive(), num_classes=3)


def vqvae(quantizer=None, num_classes=None, **kwargs):
    """With a prior of its codes, not trained, as every use of the model needs one."""
    quantizer = quantizer or kg.layers.VectorQuantizer(5, seed=1)
    size = len(getattr(quantizer, "levels", (0, 0, 0)))
    networks = kg.networks.vqvae(IMAGE_SHAPE, size, filters=(4, 6), num_classes=num_classes)
    sizes = {"width": 4, "depth": 1, "heads": 2, "num_classes": num_classes}
    transformer = kg.networks.code_transformer(quantizer.num_codes, 4, **sizes)
    prior = kg.priors.CodePrior(transformer)
    return kg.VQVAE(*networks, quantizer, num_classes=num_classes, prior=prior, seed=1, **kwargs)


def conditional_fsq_vqvae():
    return vqvae(kg.layers.FSQ((3, 2)), num_classes=3)


def patches(num_classes=None):
    return kg.networks.patch_discriminator(IMAGE_SHAPE, filters=(4,), num_classes=num_classes)


def vaegan(**kwargs):
    """With a prior that learns, a sigma too, and a game that grows."""
    networks = kg.networks.conv_vae(IMAGE_SHAPE, 3, filters=(4, 6))
    settings = {
        "likelihood": kg.likelihoods.Gaussian(0.5, learn_sigma=True),
        "adversarial_weight": kg.schedules.LinearWarmUp(4, end=0.1),
        "prior": kg.priors.Mixture(2, seed=1),
        "seed": 1,
    }
    return kg.VAEGAN(*networks, patches(), **{**settings, **kwargs})


def conditional_vqgan():
    networks = kg.networks.vqvae(IMAGE_SHAPE, 3, filters=(4, 6), num_classes=3)
    quantizer = kg.layers.VectorQuantizer(5, seed=1)
    sizes = {"width": 4, "depth": 1, "heads": 2, "num_classes": 3}
    prior = kg.priors.CodePrior(kg.networks.code_transformer(5, 4, **sizes))
    settings = {"num_classes": 3, "prior": prior, "seed": 1, "adversarial_loss": "non_saturating"}
    return kg.VQGAN(*networks, quantizer, patches(3), adversarial_weight=0.1, **settings)


MODELS = [
    autoencoder,
    vae,
    conv_vae,
    scheduled_vae,
    regular_vae,
    conditional_vae,
    conditional_iwae,
    conditional_denoising_vae,
    binarized_vae,
    iwae,
    dreg_iwae,
    two_layer_iwae,
    mixture_denoising_vae,
    vamp_conditional_vae,
    flow_dreg_iwae,
    full_vamp_dreg_iwae,
    autoregressive_conditional_vae,
    vqvae,
    conditional_fsq_vqvae,
    vaegan,
    conditional_vqgan,
    gan,
    r3gan,
    augmented_gan,
    denoising_autoencoder,
    denoising_vae,
    wgan,
    conditional_gan,
    conditional_wgan,
]


# What depends on the step and its state alone is tested on these. A model that is left out differs
# from one of them in a network, the likelihood, what is done to the data (labels, noise, drawn
# pixels) or, as `iwae` and `dreg_iwae`, in the objective: the step around it is the same.
STEPS = [
    autoencoder,
    scheduled_vae,
    regular_vae,
    two_layer_iwae,
    denoising_vae,
    vqvae,
    vaegan,
    gan,
    r3gan,
    wgan,
    conditional_gan,
]


def name(build):
    return build.__name__


def compile_model(model, optimizer, **kwargs):
    """An optimizer of its own for each player; `optimizer` makes one."""
    if hasattr(model, "discriminator"):
        model.compile(optimizer(), optimizer(), **kwargs)
    else:
        model.compile(optimizer(), **kwargs)


def examples(model, n=20):
    return images(n, model.example_shape)


def labels(model, n=20):
    """Labels of the examples, or None if the model has no classes."""
    if model.num_classes is None:
        return None
    return np.random.default_rng(1).integers(model.num_classes, size=n)


def drawn(model):
    """Examples that the model makes of the same input each time, NumPy."""
    if isinstance(model, kg.GAN):
        z = np.random.default_rng(0).standard_normal((3, 2))
        return model.generate(z, y=labels(model, 3))
    return model.reconstruct(images(3), y=labels(model, 3))


def steps(model):
    """Updates so far, those of both players."""
    optimizers = [model.optimizer]
    if isinstance(model, kg.GAN):
        optimizers = [model.optimizer.generator, model.optimizer.discriminator]
    return sum(int(keras.ops.convert_to_numpy(o.iterations)) for o in optimizers)
