"""Settings that depend on the images, for --dataset PATH, and the reasons."""

import math

FEW = 20_000  # A discriminator knows so many images by heart, unless they are augmented.
LEAST_BATCH = 4  # Below it, batch norm and a discriminator see too little.
STEPS = {"few": 6_000, "more": 10_000}  # Up to 2,000 images, and above.
# Of a VAE, by the channels of the images: levels of 8 bits are not black or white.
LIKELIHOODS = {1: "bernoulli", 3: "discretized_logistic"}


def choose_for_vae(args, train):
    """Give the options of train.vae that were left open values that suit the images; print all."""
    *sides, channels = train.images.shape[1:]
    if args.hidden is None and not halvings(sides):
        raise ValueError(
            f"--network conv, the default, halves the sides of an image, and {sides[0]}x{sides[1]} "
            f"is odd or small. Pass --network mlp, or an even --size of at least 8."
        )
    if args.hidden is None:
        args.hidden = filters(sides)
    if args.likelihood is None:
        args.likelihood = LIKELIHOODS[channels]
    if args.epochs is None:
        args.epochs = epochs(train)
    sizes = " ".join(map(str, args.hidden))
    networks = {"conv": f"filters {sizes}: one for each halving of the image"}
    print(
        f"  network {args.network}, {networks.get(args.network, f'hidden {sizes}')}\n"
        f"  likelihood {args.likelihood}: the images have {channels} channel"
        f"{'s' * (channels > 1)}\n"
        f"  latent size {args.latent_dim}, prior {args.prior}, batch size {args.batch_size}, "
        f"learning rate {args.learning_rate:g}\n"
        f"  epochs {args.epochs}: {args.epochs * len(train)} steps\n"
        f"  Each of these is an option: --help"
    )


def choose(args, train):
    """Give the options of train.gan that were left open values that suit the images; print all."""
    *sides, _ = train.images.shape[1:]
    if args.filters is None:
        args.filters = filters(sides)
    if args.augment is None:
        few = train.num_examples < FEW and args.packing == 1  # Packed images are not augmented.
        args.augment = "diff_augment" if few else "none"
    if args.epochs is None:
        args.epochs = epochs(train)
    networks = {
        "dcgan": f"filters {' '.join(map(str, args.filters))}: one for each halving of the image",
        "resnet": f"width {args.width}, depth {args.depth}",
    }
    penalty = " ".join(args.penalty) or "none"
    if args.penalty_weight:
        penalty += f" with weight {args.penalty_weight:g}"
    labels = f"of {train.num_classes} classes, for both players" if args.conditional else "none"
    averages = "none" if args.ema is None else f"{args.ema}, for the pictures"
    print(
        f"  network {args.network}, {networks.get(args.network, '')}\n"
        f"  labels {labels}\n"
        f"  loss {args.loss}, penalty {penalty}, batch size "
        f"{train.batch_size // args.d_steps}, learning rates {args.generator_learning_rate:g} and "
        f"{args.discriminator_learning_rate:g}\n"
        f"  augment {args.augment}: there are {train.num_examples} images, and below {FEW} a "
        f"discriminator learns them by heart\n"
        f"  epochs {args.epochs}: {args.epochs * len(train)} steps\n"
        f"  averaged weights: {averages}. Each of these is an option: --help"
    )


def fit_batch(args, train):
    """Take a smaller batch where the images are fewer than one holds, and say so.

    `args` stays as it is, so that a run goes on with the options that it began with.
    """
    largest = train.num_examples // args.d_steps
    largest -= largest % args.packing
    if max(LEAST_BATCH, args.packing) <= largest < args.batch_size and args.devices == 1:
        print(f"The batch size is {largest}, and not {args.batch_size}: there are so few images.")
        train.batch_size = largest * args.d_steps


def epochs(train):
    steps = STEPS["few" if train.num_examples <= 2_000 else "more"]
    return math.ceil(steps / len(train))


def filters(sides):
    """Return the filters of convolutions, from the image on: one for each halving."""
    first = 32 if halvings(sides) <= 3 else 16  # A larger image, no slower.
    return [min(first * 2**i, 128) for i in range(halvings(sides))] or [32, 64]


def halvings(sides):
    """Return how often an image can be halved, down to 4 to 7."""
    count = 0
    while min(sides) > 7 and all(side % 2 == 0 for side in sides):
        sides, count = [side // 2 for side in sides], count + 1
    return count
