"""Trains a generative adversarial network with `model.fit` and leaves pictures and a model."""

from train import run

POINTS = ("ring", "grid")
LOSSES = ("non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic")
PENALTIES = ("gradient_penalty", "dragan", "r1", "r2")


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        run.check_out(args.out, args.overwrite, default=run.default_out("gan"))
        train(args)
    except (ValueError, FileNotFoundError) as error:
        run.fail(parser, error)


def make_parser():
    parser = run.parser(__doc__, "gan", epochs=100)
    add = parser.add_argument
    add(
        "--network",
        choices=("dcgan", "mlp", "points"),
        help="generator and discriminator; by default points for ring and grid, else dcgan",
    )
    add("--latent-dim", type=run.positive, default=32, help="size of z")
    add("--loss", choices=LOSSES, default="relativistic", help="what the players minimise")
    add(
        "--penalty",
        choices=PENALTIES,
        nargs="*",
        default=["r1", "r2"],
        help="on the discriminator's gradient; none: --penalty alone",
    )
    add("--penalty-weight", type=float, default=1.0, help="gamma or lambda of each penalty")
    add("--d-steps", type=run.positive, default=1, help="steps of the discriminator on a batch")
    add("--packing", type=run.positive, default=1, help="images the discriminator sees at once")
    add("--generator-learning-rate", type=float, default=1e-3, help="of Adam, falling to 0")
    add("--discriminator-learning-rate", type=float, default=1e-3, help="of Adam, falling to 0")
    add("--beta-1", type=float, default=0.5, help="of both Adams")
    return parser


def train(args):
    run.quiet_tensorflow()
    import keras

    import keras_gen as kg

    keras.utils.set_random_seed(args.seed)
    train, test = load(args)
    example_shape = next(iter(train)).shape[1:]
    gan = build(args, example_shape)
    steps = args.epochs * len(train)
    gan.compile(
        generator_optimizer=adam(args.generator_learning_rate, args.beta_1, steps),
        discriminator_optimizer=adam(
            args.discriminator_learning_rate, args.beta_1, steps * args.d_steps
        ),
    )
    gan.checked(train)
    run.start(args.out, "gan", vars(args))

    every = args.sample_every or max(1, args.epochs // 15)
    samples = args.out / "samples"
    pictures = {
        "every": every,
        "seed": args.seed,
        "tensorboard_dir": args.out / "tensorboard" if args.tensorboard else None,
    }
    if args.dataset in POINTS:
        callbacks = [kg.callbacks.ModeCoverage(train, samples, **pictures)]
    else:
        callbacks = [
            kg.callbacks.SampleGrid(samples, **pictures),
            kg.callbacks.InterpolationGrid(samples, **pictures),
        ]
    log = keras.callbacks.CSVLogger(args.out / "history.csv")
    history = gan.fit(train, epochs=args.epochs, shuffle=False, callbacks=[*callbacks, log]).history

    metrics = gan.evaluate(test, return_dict=True, verbose=0)
    coverage = {name: history[name][-1] for name in history if name in MODES}
    run.finish(args.out, gan, {**metrics, **coverage})
    kg.callbacks.save_gif(args.out / "samples.gif", sorted(samples.glob("epoch_*.png")))
    run.draw_curves(
        args.out,
        [("d_loss", "Discriminator"), ("g_loss", "Generator")]
        + [(name, title) for name, title in MODES.items() if name in coverage],
        ylabel="",
    )
    if coverage:
        print(
            f"{coverage['modes']:.0f} of {len(train.centres)} modes, high quality "
            f"{100 * coverage['high_quality']:.1f}% (a perfect sampler: 98.9%), "
            f"KL {coverage['mode_kl']:.4f} nats"
        )
    print(
        f"Pictures in {samples} and {args.out / 'samples.gif'}, curves in "
        f"{args.out / 'curves.png'}, model in {args.out / 'model.keras'}"
    )


MODES = {"modes": "Modes covered", "high_quality": "High quality", "mode_kl": "KL over modes"}


def load(args):
    """Training and test data, in batches that are all full."""
    import keras_gen as kg

    # A batch of --batch-size is for one step of the discriminator.
    batch = {"batch_size": args.batch_size * args.d_steps, "seed": args.seed}
    if args.dataset in POINTS:
        make = {"ring": kg.data.ring, "grid": kg.data.grid}[args.dataset]
        train = make(drop_remainder=True, **batch)
        return train, make(10_000, batch_size=args.batch_size, seed=args.seed + 1)
    files = {"data_dir": args.data_dir, "manual_dir": args.manual_dir}
    if args.dataset == "stacked_mnist":
        train = kg.data.stacked_mnist(drop_remainder=True, **batch, **files)
        return train, kg.data.stacked_mnist(2_000, batch_size=args.batch_size, **files)
    train, test = kg.data.load(args.dataset, **batch, **files)
    if isinstance(train, kg.data.ArrayDataset):
        train.drop_remainder = True
    return train, test


def build(args, example_shape):
    import keras_gen as kg

    networks = {
        "dcgan": lambda: kg.networks.dcgan(
            example_shape, args.latent_dim, discriminator_norm=None, packing=args.packing
        ),
        "mlp": lambda: kg.networks.mlp_gan(example_shape, args.latent_dim, packing=args.packing),
        "points": lambda: kg.networks.point_gan(
            example_shape, args.latent_dim, packing=args.packing
        ),
    }
    penalties = {
        "gradient_penalty": kg.losses.GradientPenalty,
        "dragan": kg.losses.DRAGAN,
        "r1": kg.losses.R1,
        "r2": kg.losses.R2,
    }
    network = args.network or ("points" if args.dataset in POINTS else "dcgan")
    return kg.GAN(
        *networks[network](),
        latent_dim=args.latent_dim,
        loss=args.loss,
        penalties=[penalties[name](args.penalty_weight) for name in args.penalty],
        d_steps=args.d_steps,
        packing=args.packing,
        seed=args.seed,
    )


def adam(learning_rate, beta_1, steps):
    import keras

    return keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(learning_rate, steps), beta_1=beta_1
    )


if __name__ == "__main__":
    main()
