"""The model and the optimizers that the arguments of `train.gan` describe."""

import functools
import math

from train import r3gan


def build(args, example_shape, num_classes, steps=1):
    """Return the model of a run of so many steps of the generator."""
    import keras_gen as kg

    sizes = {"packing": args.packing, "num_classes": num_classes}
    norm = None if args.discriminator_norm == "none" else args.discriminator_norm
    networks = {
        "dcgan": functools.partial(
            kg.networks.dcgan, filters=args.filters, kernel_size=4, discriminator_norm=norm
        ),
        "resnet": functools.partial(kg.networks.resnet_gan, width=args.width, depth=args.depth),
        "mlp": kg.networks.mlp_gan,
        "points": functools.partial(
            kg.networks.point_gan,
            hidden=args.hidden,
            frequencies=args.frequencies,
            latent_signs=args.latent_signs,
        ),
    }
    players = networks[args.network](example_shape, args.latent_dim, **sizes)
    settings = {
        "latent_dim": args.latent_dim,
        "d_steps": args.d_steps,
        "packing": args.packing,
        "seed": args.seed,
        "num_classes": num_classes,
        "augment": make_augmentation(args, steps),
    }
    if args.recipe == "wgan":
        return kg.WGAN(*players, **settings)
    settings["loss"] = args.loss
    weight = penalty_weight(args, steps)
    kinds = [type(kg.losses.penalties.get(name)) for name in args.penalty]
    settings["penalties"] = [kind(*weight) for kind in kinds]
    return kg.GAN(*players, **settings)


def penalty_weight(args, steps):
    """Return a list of the weight of each penalty, a number or schedule; [] for its paper's."""
    import keras

    start, end = args.penalty_weight, args.penalty_weight_end
    if start is None:
        return []
    if end is not None:
        return [keras.optimizers.schedules.CosineDecay(start, steps, end / start)]
    return [r3gan.gamma(start, steps) if args.recipe == "r3gan" else start]


def make_augmentation(args, steps):
    import keras_gen as kg

    if args.augment == "adaptive" and args.augment_ramp:
        return kg.augment.Adaptive(ramp_images=args.augment_ramp)
    if args.augment == "scheduled":
        return kg.augment.Scheduled(r3gan.probability(steps))
    return None if args.augment == "none" else args.augment


def adam(args, learning_rate, steps, ema=None):
    import keras

    if args.recipe == "r3gan":
        falling = r3gan.learning_rate(learning_rate, steps)
    else:
        falling = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    averages = {} if ema is None else {"use_ema": True, "ema_momentum": ema}
    return keras.optimizers.Adam(falling, beta_1=args.beta_1, beta_2=args.beta_2, **averages)


def say_what_averages_hold(ema, steps):
    """Print a line if a run is too short for its averaged weights."""
    if ema is None or ema**steps <= 0.1:
        return
    enough = math.floor(1000 * 0.05 ** (1 / steps)) / 1000
    print(
        f"After {steps:,} steps {ema**steps:.0%} of the averaged weights, which draw the pictures, "
        f"is still their random start. For so few steps pass --ema {enough}."
    )
