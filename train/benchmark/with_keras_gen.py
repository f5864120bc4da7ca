"""The library's side: its models under `fit`."""

import keras

import keras_gen as kg


def build(name, case, jit):
    """Return the compiled model of a case; `jit` passes `jit_compile=True`."""
    shape = (28, 28, 1)
    if name == "conv_vae":
        networks = kg.networks.conv_vae(shape, case.latent_dim, case.filters)
    elif case.filters:
        norm = "batch" if name == "dcgan" else "layer"
        networks = kg.networks.dcgan(shape, case.latent_dim, case.filters, discriminator_norm=norm)
    else:
        activation = "tanh" if case.num_samples > 1 else "relu"
        networks = kg.networks.mlp_vae(shape, case.latent_dim, case.hidden, activation)
    jit_compile = True if jit else "auto"
    if name in ("dcgan", "wgan_gp"):
        penalized = {"loss": "wasserstein", "penalties": ["gradient_penalty"]}
        options = penalized if name == "wgan_gp" else {}
        model = kg.GAN(*networks, case.latent_dim, d_steps=case.d_steps, **options)
        model.compile(
            generator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
            jit_compile=jit_compile,
        )
        return model
    if name == "iwae":
        model = kg.IWAE(*networks, num_samples=case.num_samples)
    else:
        model = kg.VAE(*networks)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
    return model


def rounds(name, case, x, jit):
    """Return a function that makes one round."""
    model = build(name, case, jit)
    if name == "nll":
        return lambda: model.log_likelihood(x, case.num_samples, verbose=0)
    train = kg.data.ArrayDataset(x, batch_size=case.batch * case.d_steps)
    return lambda: model.fit(train, epochs=1, verbose=0)
