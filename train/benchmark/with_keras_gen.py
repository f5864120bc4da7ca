"""Our side: the models of the library under `fit`."""

import keras

import keras_gen as kg
from train.benchmark import cases


def build(name, case, dtype="float32", steps_per_execution=1):
    """The compiled model of a case."""
    keras.config.set_dtype_policy(dtype)
    shape = (28, 28, 1)
    if name == "conv_vae":
        networks = kg.networks.conv_vae(shape, case.latent_dim, case.filters)
    elif case.filters:
        norm = "batch" if name == "dcgan" else "layer"
        networks = kg.networks.dcgan(shape, case.latent_dim, case.filters, discriminator_norm=norm)
    else:
        activation = "tanh" if case.num_samples > 1 else "relu"
        networks = kg.networks.mlp_vae(shape, case.latent_dim, case.hidden, activation)
    if name in ("dcgan", "wgan_gp"):
        gradient_penalty = {"loss": "wasserstein", "penalties": ["gradient_penalty"]}
        loss = gradient_penalty if name == "wgan_gp" else {}
        model = kg.GAN(*networks, case.latent_dim, d_steps=case.d_steps, **loss)
        model.compile(
            generator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
            steps_per_execution=steps_per_execution,
        )
        return model
    if name == "iwae":
        model = kg.IWAE(*networks, num_samples=case.num_samples)
    else:
        model = kg.VAE(*networks)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=steps_per_execution)
    return model


def rounds(name, case, x, dtype, steps_per_execution):
    """A function that makes one round, and the operations of one step."""
    model = build(name, case, dtype, steps_per_execution)
    flops = cases.step_flops(name, case, model)
    if name == "nll":
        return lambda: model.log_likelihood(x, case.num_samples, verbose=0), flops
    train = kg.data.ArrayDataset(x, batch_size=case.batch * case.d_steps)
    return lambda: model.fit(train, epochs=1, shuffle=False, verbose=0), flops
