"""Trains a variational autoencoder with `model.fit` and leaves pictures, curves and a model."""

from train import run

NETWORKS = {"mlp": (500, 500), "conv": (32, 64)}  # and their default --hidden
LIKELIHOODS = (
    "bernoulli",
    "continuous_bernoulli",
    "gaussian",
    "heteroscedastic_gaussian",
    "discretized_logistic",
    "categorical",
)


def main(argv=None):
    run.carry_out(make_parser(), "vae", train, argv)


def make_parser():
    parser = run.parser(__doc__, "vae", epochs=150)
    add = parser.add_argument
    add("--network", choices=NETWORKS, default="mlp", help="encoder and decoder")
    add(
        "--hidden",
        type=run.positive,
        nargs="+",
        help=f"layer widths of the mlp {NETWORKS['mlp']}, filters of the conv {NETWORKS['conv']}",
    )
    add("--latent-dim", type=run.positive, default=10, help="size of z")
    add(
        "--likelihood",
        choices=LIKELIHOODS,
        default="bernoulli",
        help="p(x|z); gaussian: with one learned sigma; discretized_logistic and categorical: "
        "of 8-bit images, the latter best with the conv network",
    )
    add("--beta", type=float, default=1.0, help="weight of the KL term")
    add("--free-bits", type=float, default=0.0, help="nats of KL that each latent has for nothing")
    add("--warm-up", type=run.positive, help="epochs in which beta rises from 0 to --beta")
    add(
        "--dynamic-binarization",
        action="store_true",
        help="draw black or white pixels from the grey ones anew in every step",
    )
    add(
        "--iwae",
        type=run.positive,
        metavar="K",
        help="train the importance-weighted bound with K draws of z",
    )
    add("--conditional", action="store_true", help="give encoder and decoder the labels")
    add("--learning-rate", type=run.positive_float, default=1e-3, help="of Adam")
    return parser


def train(args):
    check(args)
    run.quiet_tensorflow()
    import keras

    import keras_gen as kg

    train, test = kg.data.load(
        args.dataset,
        batch_size=args.batch_size,
        labels=args.conditional,
        seed=args.seed,
        multiple_of=args.devices,
        data_dir=args.data_dir,
        manual_dir=args.manual_dir,
    )
    run.shared(args, train, test)
    # A set that is prepared now, by TFDS, draws random numbers.
    keras.utils.set_random_seed(args.seed)
    with run.precision(args.dtype):
        vae = build(args, *run.description(train, args.conditional), steps_per_epoch=len(train))
    vae.compile(optimizer=keras.optimizers.Adam(args.learning_rate))
    vae.check_input_data(train)
    vae.check_input_data(test)

    every = args.sample_every or max(1, args.epochs // 15)
    tensorboard_dir = args.out / "tensorboard" if args.tensorboard else None
    pictures = {"every": every, "tensorboard_dir": tensorboard_dir}
    images, labels = next(iter(test)) if args.conditional else (next(iter(test)), None)
    guard = kg.callbacks.StopAtNonFinite()
    checkpoint = run.checkpoint(args)
    callbacks = [
        kg.callbacks.SampleGrid(args.out / "samples", seed=args.seed, **pictures),
        kg.callbacks.ReconstructionGrid(images, args.out / "samples", labels=labels, **pictures),
        *latent_pictures(args, test, pictures),
        keras.callbacks.CSVLogger(args.out / "history.csv", append=args.resume),
        guard,
        checkpoint,
        run.stop_when_interrupted(),
    ]
    run.start(args, "vae", vae, checkpoint)
    # Both kinds of set shuffle themselves.
    vae.fit(train, validation_data=test, epochs=args.epochs, shuffle=False, callbacks=callbacks)

    metrics = vae.evaluate(test, return_dict=True, verbose=0)
    run.draw_curves(
        args.out,
        [("elbo", "ELBO"), ("reconstruction", "Distortion"), ("kl", "Rate (KL)")],
        ylabel="nats per image",
    )
    run.check_finite(args.out, vae, guard)
    run.finish(args.out, vae, metrics, checkpoint)
    print(
        f"Test ELBO {metrics['elbo']:.2f} nats per image: "
        f"rate {metrics['kl']:.2f}, distortion {metrics['reconstruction']:.2f}\n"
        f"Pictures in {args.out / 'samples'}, curves in {args.out / 'curves.png'}, "
        f"model in {args.out / 'model.keras'}"
    )


def latent_pictures(args, test, pictures):
    """What is seen of z: its directions, or if it is a plane, all of it and where the data lie."""
    import keras_gen as kg

    folder = args.out / "samples"
    if args.latent_dim != 2:
        return [kg.callbacks.Traversals(folder, **pictures)]
    callbacks = [kg.callbacks.Manifold(folder, **pictures)]
    if hasattr(test, "x"):  # Of a stream the labels are not at hand.
        callbacks.append(kg.callbacks.LatentScatter(test.x, test.y, folder, **pictures))
    return callbacks


def check(args):
    """Raises ValueError on options that do not go together."""
    if args.iwae and (args.conditional or args.warm_up or args.free_bits or args.beta != 1):
        raise ValueError(
            "--iwae takes no --conditional, and its bound has no KL term of its own to weight: "
            "no --beta, --warm-up or --free-bits."
        )


def build(args, image_shape, num_classes=None, steps_per_epoch=None):
    import keras_gen as kg

    networks = {"conv": kg.networks.conv_vae, "mlp": kg.networks.mlp_vae}
    likelihoods = {
        "bernoulli": kg.likelihoods.Bernoulli,
        "continuous_bernoulli": kg.likelihoods.ContinuousBernoulli,
        "gaussian": lambda seed: kg.likelihoods.Gaussian(0.2, learn_sigma=True, seed=seed),
        "heteroscedastic_gaussian": kg.likelihoods.HeteroscedasticGaussian,
        "discretized_logistic": kg.likelihoods.DiscretizedLogistic,
        "categorical": kg.likelihoods.Categorical,
    }
    # With a seed of its own: from the global one it would take what the networks start from.
    likelihood = likelihoods[args.likelihood](seed=args.seed)
    hidden = tuple(args.hidden or NETWORKS[args.network])
    encoder, decoder = networks[args.network](
        image_shape,
        args.latent_dim,
        hidden,
        parameters_per_value=likelihood.parameters_per_value,
        num_classes=num_classes,
    )
    settings = {
        "likelihood": likelihood,
        "dynamic_binarization": args.dynamic_binarization,
        "seed": args.seed,
        "num_classes": num_classes,
    }
    if args.iwae:
        return kg.IWAE(encoder, decoder, num_samples=args.iwae, **settings)
    settings["free_bits"] = args.free_bits
    settings["beta"] = args.beta
    if args.warm_up:
        settings["beta"] = kg.schedules.LinearWarmUp(args.warm_up * steps_per_epoch, end=args.beta)
    return kg.VAE(encoder, decoder, **settings)


if __name__ == "__main__":
    main()
