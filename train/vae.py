"""Train a variational autoencoder with `model.fit`; leave pictures, curves and a model."""

from train import (
    by_data,
    command,
    config,
    data_sets,
    devices,
    environment,
    film,
    fine_tune,
    options,
    plots,
    progress,
    quality,
    run_folder,
    speed,
    subset,
)

NETWORKS = {"mlp": (500, 500), "conv": (32, 64), "resnet": (16, 1)}  # And their default --hidden.
# `by_data.choose_for_vae` says the rest for your own images: filters, likelihood and epochs.
DEFAULTS = {
    "images": {
        "network": "mlp",
        "latent_dim": 10,
        "likelihood": "bernoulli",
        "prior": "standard_normal",
        "epochs": 150,
        "batch_size": 128,
    },
    # Of emoji in colour no sample from N(0, I) can be recognised: see docs/recipes.md.
    "folder": {"network": "conv", "latent_dim": 64, "prior": "flow", "batch_size": 64},
}
FAMILIES = {"mlp": "mlp_vae", "conv": "conv_vae", "resnet": None}  # Rows of the benchmark.
PICTURES = (
    "with 2 the pictures show the plane of z (manifold) and the test images in it by class "
    "(scatter), else traversals, one latent a row"
)
PRIORS = {"standard_normal": None, "mixture": 10, "vamp": 100, "flow": None}  # And --components.
LIKELIHOODS = (
    "bernoulli",
    "continuous_bernoulli",
    "gaussian",
    "heteroscedastic_gaussian",
    "discretized_logistic",
    "categorical",
)


def main(argv=None):
    command.carry_out(make_parser(), settle, train, argv)


def make_parser():
    parser = options.training_parser(__doc__, "vae", epochs=None)
    parser.set_defaults(batch_size=None)
    parser.epilog = options.in_words(
        {f"By default for {kind}": values for kind, values in DEFAULTS.items()}
    )
    add = parser.add_argument
    add("--network", choices=NETWORKS, help="encoder and decoder")
    add(
        "--hidden",
        type=options.positive,
        nargs="+",
        help=f"layer widths of the mlp {NETWORKS['mlp']}, filters of the conv {NETWORKS['conv']} "
        f"or by the image, width and depth of the resnet {NETWORKS['resnet']}",
    )
    add("--latent-dim", type=options.positive, help=f"size of z; {PICTURES}")
    add(
        "--likelihood",
        choices=LIKELIHOODS,
        help="p(x|z); gaussian: with one learned sigma; discretized_logistic and categorical: "
        "of 8-bit images, the latter best with the conv network",
    )
    add_bound(add)
    add("--conditional", action="store_true", help="give encoder and decoder the labels")
    add("--learning-rate", type=options.positive_float, default=1e-3, help="of Adam")
    return parser


def add_bound(add):
    """Add the options of the bound that is maximised: its prior, weights and draws."""
    add(
        "--prior",
        choices=PRIORS,
        help="p(z); all but the standard normal are learned with the model; with --free-bits, and "
        "with one or two latents, standard_normal by default for a folder, too",
    )
    add(
        "--components",
        type=options.positive,
        metavar="K",
        help=f"of the mixture ({PRIORS['mixture']}), or pseudo-inputs of vamp ({PRIORS['vamp']})",
    )
    add("--beta", type=options.not_negative, default=1.0, help="weight of the KL term")
    add(
        "--free-bits",
        type=options.not_negative,
        default=0.0,
        help="nats of KL that each latent has free of charge",
    )
    add("--warm-up", type=options.positive, help="epochs in which beta rises from 0 to --beta")
    add(
        "--dynamic-binarization",
        action="store_true",
        help="draw black or white pixels from the grey ones, again in every step",
    )
    add(
        "--iwae",
        type=options.positive,
        metavar="K",
        help="train the importance-weighted bound with K draws of z",
    )


def train(args):
    environment.quiet_tensorflow()
    import keras

    train, test = devices.share(args, *load(args))
    fill_in_by_data(args, train)
    # A set that is prepared now, by TFDS, draws random numbers.
    keras.utils.set_random_seed(args.seed)
    shape, num_classes = devices.describe(train, args.conditional)
    if shape[-1] == 3 and args.likelihood == "bernoulli":
        print(
            "The default likelihood, Bernoulli, suits pixels that are nearly black or white. For "
            "colours try --likelihood discretized_logistic."
        )
    with speed.precision(args.dtype):
        vae = build(args, shape, num_classes, steps_per_epoch=len(train))
    fine_tune.start_from(args, vae)
    vae.compile(
        optimizer=keras.optimizers.Adam(args.learning_rate),
        jit_compile=speed.jit_compile(args, FAMILIES[args.network]),
    )
    vae.check_input_data(train)
    vae.check_input_data(test)

    run = run_folder.Run(args, "vae", vae, train, test)
    callbacks = [*pictures(args, test), *quality.callbacks(args, train, test), *run.callbacks()]
    run.begin()
    run.preview(train)
    # Both kinds of set shuffle themselves.
    settings = {"epochs": args.epochs, "shuffle": False, "verbose": progress.verbosity()}
    vae.fit(train, validation_data=test, callbacks=callbacks, **settings)

    quality.take_best(args, vae)
    metrics = vae.evaluate(test, return_dict=True, verbose=0)
    curves = [("elbo", "ELBO"), ("reconstruction", "Distortion"), ("kl", "Rate (KL)")]
    plots.draw_curves(args.out, curves, ylabel="nats per image")
    film.write_at_the_end(args.out)
    run.finish(metrics)
    print(
        f"Test ELBO {metrics['elbo']:.2f} nats per image: "
        f"rate {metrics['kl']:.2f}, distortion {metrics['reconstruction']:.2f}\n"
        f"Pictures in {args.out / 'samples'} and {args.out / 'samples.gif'}, curves in "
        f"{args.out / 'curves.png'}, model in {args.out / 'model.keras'}, all of it in "
        f"{args.out / 'report.html'}"
    )


def settle(args):
    fill_in(args)
    check(args)
    fine_tune.check(args)


def fill_in(args):
    """Give every option that was left open its default."""
    is_path = options.is_path(args.dataset)
    # Free bits need the KL of each latent; two latents are drawn as a plane under N(0, I).
    if args.free_bits or (args.latent_dim or 3) <= 2:
        args.prior = args.prior or "standard_normal"
    for name, value in DEFAULTS["folder" if is_path else "images"].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.dynamic_binarization and args.likelihood is None:
        args.likelihood = "bernoulli"
    if not (is_path and args.network == "conv"):
        args.hidden = args.hidden or list(NETWORKS[args.network])


def fill_in_by_data(args, train):
    """Give the options that depend on the data a value, if they were left open."""
    if options.is_path(args.dataset):
        by_data.choose_for_vae(args, train)
    args.sample_every = args.sample_every or max(1, args.epochs // 15)


def load(args):
    """Return training and test data."""
    train, test = data_sets.load(args, args.batch_size)
    return subset.first(train, args.examples), test


def pictures(args, test):
    """Return the callbacks that draw samples, reconstructions and the latent space."""
    import keras_gen as kg

    folder = args.out / "samples"
    settings = {
        "every": args.sample_every,
        "tensorboard_dir": args.out / "tensorboard" if args.tensorboard else None,
    }
    first = next(iter(test))
    images, labels = first if args.conditional else (first, None)
    names = getattr(test, "class_names", None)
    callbacks = [
        kg.callbacks.SampleGrid(folder, seed=args.seed, class_names=names, **settings),
        kg.callbacks.ReconstructionGrid(images, folder, labels=labels, **settings),
    ]
    if args.latent_dim != 2:
        return [*callbacks, kg.callbacks.Traversals(folder, **settings)]
    callbacks.append(kg.callbacks.Manifold(folder, **settings))
    if hasattr(test, "x"):  # The labels of a stream are not at hand.
        settings["class_names"] = names
        callbacks.append(kg.callbacks.LatentScatter(test.x, test.y, folder, **settings))
    return callbacks


def check(args):
    """Raise ValueError on options that do not go together."""
    options.check_images(args)
    if args.network == "resnet" and len(args.hidden) > 2:
        raise ValueError(
            f"--hidden has {len(args.hidden)} numbers, and a resnet has two: width and depth. "
            f"Pass --hidden 16 1."
        )
    if args.iwae and (args.warm_up or args.free_bits or args.beta != 1):
        raise ValueError(
            "The bound of --iwae has no KL term of its own to weight: leave out --beta, --warm-up "
            "and --free-bits."
        )
    if args.free_bits and args.prior != "standard_normal":
        raise ValueError(
            f"--free-bits are of single latents, and under --prior {args.prior} these have no KL "
            f"of their own. Leave out one of them."
        )
    if args.prior == "flow" and args.latent_dim == 1:
        raise ValueError(
            "--prior flow couples one half of z with the other, and --latent-dim 1 has no halves. "
            "Pass --prior mixture, or a larger --latent-dim."
        )
    if args.components and not PRIORS[args.prior]:
        raise ValueError(
            f"--components is for --prior mixture or vamp, and the prior is {args.prior}. Leave it "
            f"out."
        )
    if args.warm_up and args.beta == 0:
        raise ValueError(
            "--warm-up lets beta rise from 0 to --beta, which is 0. Leave out one of them."
        )
    if args.dynamic_binarization and args.likelihood != "bernoulli":
        raise ValueError(
            f"--dynamic-binarization makes pixels black or white, which --likelihood "
            f"{args.likelihood} does not expect. Leave out one of them."
        )
    if args.dataset in config.DRAWN:
        raise ValueError(f"--dataset {args.dataset} is for train.gan. Name a set of images.")


def build(args, image_shape, num_classes=None, steps_per_epoch=None):
    import keras_gen as kg

    networks = {
        "mlp": kg.networks.mlp_vae,
        "conv": kg.networks.conv_vae,
        "resnet": lambda shape, latent_dim, hidden, **sizes: kg.networks.resnet_vae(
            shape, latent_dim, *hidden, **sizes
        ),
    }
    likelihoods = {
        "bernoulli": kg.likelihoods.Bernoulli,
        "continuous_bernoulli": kg.likelihoods.ContinuousBernoulli,
        "gaussian": lambda seed: kg.likelihoods.Gaussian(0.2, learn_sigma=True, seed=seed),
        "heteroscedastic_gaussian": kg.likelihoods.HeteroscedasticGaussian,
        "discretized_logistic": kg.likelihoods.DiscretizedLogistic,
        "categorical": kg.likelihoods.Categorical,
    }
    # With a seed of its own: drawing from the global one would change the networks' weights.
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
        "prior": make_prior(args),
    }
    if args.iwae:
        return kg.IWAE(encoder, decoder, num_samples=args.iwae, **settings)
    settings["free_bits"] = args.free_bits
    settings["beta"] = args.beta
    if args.warm_up:
        settings["beta"] = kg.schedules.LinearWarmUp(args.warm_up * steps_per_epoch, end=args.beta)
    return kg.VAE(encoder, decoder, **settings)


def make_prior(args):
    import keras_gen as kg

    if args.prior == "standard_normal":
        return kg.priors.StandardNormal()
    if args.prior == "flow":
        return kg.priors.Flow(seed=args.seed)
    kinds = {"mixture": kg.priors.Mixture, "vamp": kg.priors.VampPrior}
    return kinds[args.prior](args.components or PRIORS[args.prior], seed=args.seed)


if __name__ == "__main__":
    main()
