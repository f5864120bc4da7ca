"""What `train.gan` offers by name: losses, penalties, and the settings of data and papers."""

from train import options

LOSSES = ("non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic")
PENALTIES = ("gradient_penalty", "dragan", "r1", "r2")

# Options that only some networks have.
OF_NETWORK = {
    "filters": ("dcgan",),
    "discriminator_norm": ("dcgan",),
    "width": ("resnet",),
    "depth": ("resnet",),
    "hidden": ("points",),
    "frequencies": ("points",),
    "latent_signs": ("points",),
}

_IMAGES = {
    "conditional": False,
    "packing": 1,
    "network": "dcgan",
    "filters": [32, 64],
    "loss": "non_saturating",
    "penalty": [],
    "d_steps": 1,
    "discriminator_norm": "batch",
    "augment": "none",
    "width": 16,
    "depth": 1,
    "latent_dim": 32,
    "epochs": 100,
    "batch_size": 64,
    "generator_learning_rate": 5e-4,
    "discriminator_learning_rate": 5e-4,
    "beta_1": 0.5,
    "beta_2": 0.999,
}

# R3GAN's loss and penalties. Gamma smooths the discriminator over a length of about 2 sqrt(gamma):
# it balances the modes while that is their distance, and shapes them when it is below sigma.
_POINTS = {
    "conditional": False,
    "packing": 1,
    "network": "points",
    "hidden": [64, 64, 64],
    "loss": "relativistic",
    "penalty": ["r1", "r2"],
    "d_steps": 1,
    "augment": "none",
    "latent_dim": 10,
    "latent_signs": 8,
    "epochs": 24,
    "batch_size": 256,
    "generator_learning_rate": 1e-3,
    "discriminator_learning_rate": 3e-3,
    "beta_1": 0.0,
    "beta_2": 0.999,
    "ema": 0.995,
}

# Used where nothing else is asked for.
DEFAULTS = {
    "ring": {
        **_POINTS,
        "frequencies": [3.0, 6.0, 12.0, 24.0, 48.0],
        "penalty_weight": 0.4,
        "penalty_weight_end": 1e-4,
    },
    # Its lengths are 4 to 5 times those of the ring.
    "grid": {
        **_POINTS,
        "hidden": [128, 128, 128],
        "generator_learning_rate": 5e-4,
        "frequencies": [0.75, 1.5, 3.0, 6.0, 12.0],
        "penalty_weight": 8.0,
        "penalty_weight_end": 0.005,
    },
    "images": _IMAGES,
    # Found by train.study: see docs/recipes.md. Labels make the digits legible; the loss, and a
    # discriminator of bounded slope, make those of one class differ.
    "digits": {
        **_IMAGES,
        "conditional": True,
        "loss": "relativistic",
        "discriminator_norm": "spectral",
        "beta_1": 0.0,
        "ema": 0.995,
    },
    # A third layer, and a discriminator that learns more slowly.
    "mnist": {
        **_IMAGES,
        "conditional": True,
        "filters": [32, 64, 128],
        "latent_dim": 64,
        "epochs": 8,
        "discriminator_learning_rate": 2e-4,
        "ema": 0.999,
    },
    "stacked_mnist": {**_IMAGES, "epochs": 5},  # Of 128,000 images.
    # Your own images. `by_data.choose` says the rest: filters, augmentation and epochs; with labels
    # where folders are classes.
    "folder": {
        "packing": 1,
        "network": "dcgan",
        "loss": "non_saturating",
        "penalty": [],
        "d_steps": 1,
        "discriminator_norm": "batch",
        "width": 16,
        "depth": 1,
        "latent_dim": 64,
        "batch_size": 32,
        "generator_learning_rate": 3e-4,
        "discriminator_learning_rate": 3e-4,
        "beta_1": 0.5,
        "beta_2": 0.999,
        "ema": 0.998,
    },
}

# Put in their place by --recipe; network and augmentation where there are images.
RECIPES = {
    "wgan": {
        "conditional": False,
        "loss": "wasserstein",
        "penalty": [],
        "d_steps": 5,
        "discriminator_norm": "batch",
        "epochs": 400,
        "generator_learning_rate": 5e-4,
        "discriminator_learning_rate": 5e-4,
        "beta_1": 0.0,
    },
    "wgan_gp": {
        "conditional": False,
        "loss": "wasserstein",
        "penalty": ["gradient_penalty"],
        "penalty_weight": 10.0,
        "d_steps": 5,
        "discriminator_norm": "layer",
        "epochs": 400,
        "beta_1": 0.0,
    },
    # With the schedules of r3gan.py.
    "r3gan": {
        "conditional": False,
        "network": "resnet",
        "loss": "relativistic",
        "penalty": ["r1", "r2"],
        "d_steps": 1,
        "discriminator_norm": "none",
        "augment": "scheduled",
        "latent_dim": 64,
        "generator_learning_rate": 2e-4,
        "discriminator_learning_rate": 2e-4,
        "beta_1": 0.0,
        "beta_2": 0.99,
        "ema": 0.998,
    },
}


def describe():
    """Return all settings in words, for --help."""
    return options.in_words(
        {
            **{f"By default for {kind}": values for kind, values in DEFAULTS.items()},
            **{f"--recipe {name}": values for name, values in RECIPES.items()},
        }
    )


def of_network(args):
    """Return the options of some networks that were given."""
    return [name for name in OF_NETWORK if getattr(args, name) is not None]


def check_given(args, given):
    """Raise ValueError if options were given that would do nothing."""
    for name in given:
        if args.network not in OF_NETWORK[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} is for --network {' or '.join(OF_NETWORK[name])}, and "
                f"the network is {args.network}. Leave it out."
            )
    if args.augment_ramp and args.augment != "adaptive":
        raise ValueError(
            f"--augment-ramp is for --augment adaptive, and this is "
            f"{args.augment or 'chosen by the images'}. Leave out the ramp, or add that."
        )
