"""What `train.gan` offers by name: losses, penalties, and the settings of data and papers."""

LOSSES = ("non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic")
PENALTIES = ("gradient_penalty", "dragan", "r1", "r2")

# Used where nothing else is asked for. The points have R3GAN's loss and penalties.
DEFAULTS = {
    "points": {
        "network": "points",
        "loss": "relativistic",
        "penalty": ["r1", "r2"],
        "penalty_weight": 0.1,
        "d_steps": 1,
        "augment": "none",
        "latent_dim": 2,
        "epochs": 30,
        "batch_size": 256,
        "generator_learning_rate": 1e-3,
        "discriminator_learning_rate": 1e-3,
        "beta_1": 0.0,
        "beta_2": 0.999,
    },
    "images": {
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
    },
    # Your own images. `by_data.choose` says the rest: filters, augmentation and epochs.
    "folder": {
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
