"""Train a generative adversarial network with `model.fit`; leave pictures and a model."""

import argparse

from train import (
    by_data,
    command,
    data_sets,
    devices,
    environment,
    film,
    fine_tune,
    options,
    plots,
    progress,
    quality,
    r3gan,
    recipes,
    resume,
    run_folder,
    speed,
    subset,
)
from train.building import adam, build, say_what_averages_hold
from train.config import POINTS
from train.recipes import DEFAULTS, LOSSES, PENALTIES, RECIPES, describe

NETWORKS = ("dcgan", "resnet", "mlp", "points")
AUGMENT = ("diff_augment", "adaptive", "scheduled", "none")
MODES = {
    "modes": "Modes covered",
    "modes_near": "Modes nearly covered",
    "high_quality": "High quality",
    "mode_sd": "Spread within modes / sigma",
    "mode_kl": "KL over modes",
}
NORMS = ("batch", "layer", "spectral", "none")


def main(argv=None):
    command.carry_out(make_parser(), settle, train, argv)


def make_parser():
    parser = options.training_parser(
        __doc__, "gan", epochs=None, drawn="ring, grid, stacked_mnist, "
    )
    parser.set_defaults(batch_size=None)
    parser.epilog = describe()
    _add_networks(parser)
    _add_loss(parser)
    _add_game(parser)
    return parser


def _add_networks(parser):
    add = parser.add_argument
    add("--network", choices=NETWORKS, help="generator and discriminator")
    add(
        "--filters",
        type=options.positive,
        nargs="+",
        help="channels of the dcgan, from the layer at the image on",
    )
    add("--width", type=options.positive, help="channels of the resnet at the image")
    add("--depth", type=options.positive, help="blocks of the resnet at each resolution")
    add("--latent-dim", type=options.positive, help="size of z")
    add("--discriminator-norm", choices=NORMS, help="in the dcgan's discriminator")
    add("--hidden", type=options.positive, nargs="+", help="widths of the points' networks")
    add(
        "--frequencies",
        type=options.positive_float,
        nargs="*",
        metavar="W",
        help="give the points' discriminator sin(W x) and cos(W x), too; --frequencies alone: none",
    )
    add("--latent-signs", type=int, help="of z, the last ones: the points' jump where they change")
    add("--packing", type=options.positive, help="examples that are judged together")
    labels = "give both players the labels; by default, without --recipe, for digits, mnist and a "
    labels += "folder of folders"
    add("--conditional", action=argparse.BooleanOptionalAction, help=labels)


def _add_loss(parser):
    add = parser.add_argument
    add("--loss", choices=LOSSES, help="what the players minimise")
    add(
        "--penalty",
        choices=PENALTIES,
        nargs="*",
        help="on the discriminator's gradient; --penalty alone: none",
    )
    add(
        "--penalty-weight",
        type=options.positive_float,
        help="gamma or lambda of each penalty; by default as below, for other penalties that of "
        "their paper",
    )
    add(
        "--penalty-weight-end",
        type=options.positive_float,
        help="the same at the end, if the weight shall fall, along half a cosine like the "
        "learning rates",
    )


def _add_game(parser):
    add = parser.add_argument
    add(
        "--recipe",
        choices=RECIPES,
        help="settings of a paper; other options that are given go first. r3gan also has its "
        "schedules, and leaves out what docs/guide.md says",
    )
    add(
        "--augment",
        choices=AUGMENT,
        help="change the images that the discriminator sees, at random: for some hundred to some "
        "thousand images. scheduled: with a probability that rises to 0.3 in half of the run",
    )
    add(
        "--augment-ramp",
        type=options.positive,
        metavar="IMAGES",
        help="images in which the probability of --augment adaptive may go from 0 to 1; by default "
        "a quarter of all that the run shows",
    )
    add("--d-steps", type=options.positive, help="discriminator steps on a batch")
    falls = "of Adam; it falls to 0, with --recipe r3gan to a quarter"
    add("--generator-learning-rate", type=options.positive_float, help=falls)
    add("--discriminator-learning-rate", type=options.positive_float, help=falls)
    add(
        "--ema",
        type=options.fraction,
        help="average the generator's weights with this momentum, such as 0.999, and draw the "
        "pictures with the averages; the losses are those of the raw weights",
    )
    add("--beta-1", type=options.momentum, help="of both Adams")
    add("--beta-2", type=options.momentum, help="of both Adams")


def train(args):
    environment.quiet_tensorflow()
    import keras

    train, test = devices.share(args, *load(args))
    shape, num_classes = devices.describe(train, args.conditional)
    fill_in_by_data(args, train, shape)
    steps = args.epochs * len(train)
    if not fine_tune.is_used(args):
        say_what_averages_hold(args.ema, steps)
    # A set that is prepared now, by TFDS, draws random numbers.
    keras.utils.set_random_seed(args.seed)
    with speed.precision(args.dtype):
        gan = build(args, shape, num_classes, steps)
    fine_tune.start_from(args, gan)
    gan.compile(
        generator_optimizer=adam(args, args.generator_learning_rate, steps, args.ema),
        discriminator_optimizer=adam(args, args.discriminator_learning_rate, steps * args.d_steps),
        jit_compile=speed.jit_compile(args, family(args)),
    )
    gan.check_input_data(train)
    gan.check_input_data(test)

    run = run_folder.Run(args, "gan", gan, train, test)
    drawn = pictures(args, train)
    callbacks = [*drawn, *quality.callbacks(args, train, test), *run.callbacks()]
    run.begin()
    if args.dataset not in POINTS:
        run.preview(train)
    # The data shuffle themselves.
    settings = {"epochs": args.epochs, "shuffle": False, "verbose": progress.verbosity()}
    history = gan.fit(train, callbacks=callbacks, **settings).history

    quality.take_best(args, gan)
    metrics = gan.evaluate(test, return_dict=True, verbose=0)
    coverage = count_modes(args, gan, drawn)
    draw(args, history)
    run.finish({**metrics, **coverage})
    if coverage:
        print(quality.describe_modes(coverage, train))
    print(
        f"Pictures in {args.out / 'samples'} and {args.out / 'samples.gif'}, curves in "
        f"{args.out / 'curves.png'}, model in {args.out / 'model.keras'}, all of it in "
        f"{args.out / 'report.html'}"
    )


def pictures(args, train):
    """Return the callbacks that draw samples."""
    import keras_gen as kg

    folder = args.out / "samples"
    settings = {
        "every": args.sample_every,
        "seed": args.seed,
        "tensorboard_dir": args.out / "tensorboard" if args.tensorboard else None,
        "ema": args.ema is not None,
    }
    if args.dataset in POINTS:
        return [kg.callbacks.ModeCoverage(train, folder, **settings)]
    settings["class_names"] = getattr(train, "class_names", None)
    grids = kg.callbacks.SampleGrid, kg.callbacks.InterpolationGrid
    drawn = [grid(folder, **settings) for grid in grids]
    if counts_digits(args):
        from train import digit_modes

        drawn.append(digit_modes.DigitModes(args))
    return drawn


def counts_digits(args):
    """Return whether the modes of Stacked MNIST are counted: not with --preview, --distribute."""
    return args.dataset == "stacked_mnist" and not (args.preview or args.distribute)


def count_modes(args, gan, drawn):
    """Return the modes, where data have any, of the model as it is: it may not be the last."""
    if counts_digits(args):
        from train import digit_modes

        return digit_modes.of_model(gan, args, args.seed)
    if args.dataset not in POINTS:
        return {}
    (callback,) = drawn
    callback.count()
    return {name: float(callback.coverage[name]) for name in MODES}


def draw(args, history):
    """Write samples.gif and curves.png."""
    film.write_at_the_end(args.out)
    curves = {"d_loss": "Discriminator's loss", "g_loss": "Generator's loss", **MODES}
    shown = [item for item in curves.items() if item[0] in history]
    plots.draw_curves(args.out, shown, ylabel="")


def settle(args):
    given = recipes.of_network(args)
    fill_in(args)
    if not resume.goes_on(args):  # Its options were filled in when it began.
        recipes.check_given(args, given)
    check(args)
    fine_tune.check(args)


def fill_in(args):
    """Give every option that was left open the value of the recipe, or of the data set."""
    kind = "folder" if options.is_path(args.dataset) else args.dataset
    settings = dict(DEFAULTS.get(kind, DEFAULTS["images"]))
    recipe = dict(RECIPES.get(args.recipe, {}))
    if args.dataset in POINTS:
        recipe.pop("network", None)
        recipe.pop("augment", None)
    if "penalty" in recipe:
        settings.pop("penalty_weight", None)
        settings.pop("penalty_weight_end", None)
    settings.update(recipe)
    if args.penalty not in (None, settings["penalty"]):  # A weight belongs to its penalties.
        settings.pop("penalty_weight", None)
        settings.pop("penalty_weight_end", None)
    if args.penalty_weight is not None:
        settings.pop("penalty_weight_end", None)
    if "latent_signs" in settings and args.latent_dim not in (None, settings["latent_dim"]):
        settings["latent_signs"] = 0  # Those of another z.
    for name, value in settings.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def fill_in_by_data(args, train, shape):
    """Give the options that depend on the data a value, if they were left open."""
    if args.preview and args.ema is not None:
        print("The preview draws with the raw weights: after so few steps the averages are grey.")
        args.ema = None
    if args.recipe == "r3gan" and args.penalty == ["r1", "r2"] and len(shape) == 3:
        args.penalty_weight = args.penalty_weight or r3gan.gamma_of(shape)
    if options.is_path(args.dataset):
        by_data.choose(args, train)
    args.sample_every = args.sample_every or max(1, args.epochs // 15)
    num_examples = getattr(train, "num_examples", None)  # A stream does not know it.
    if args.augment == "adaptive" and args.augment_ramp is None and num_examples:
        args.augment_ramp = max(1, args.epochs * num_examples // 4)


def family(args):
    """Return the row of the benchmark that is nearest to these networks, or None."""
    if args.network != "dcgan":
        return None
    return "wgan_gp" if args.penalty else "dcgan"


def check(args):
    """Raise ValueError on options that do not go together."""
    options.check_images(args)
    if args.recipe == "wgan" and (args.conditional or args.penalty or args.loss != "wasserstein"):
        raise ValueError(
            "--recipe wgan clips the critic's weights, under its own loss: it has no --loss, "
            "--penalty or --conditional. See --recipe wgan_gp."
        )
    if args.penalty_weight_end and not args.penalty_weight:
        raise ValueError("--penalty-weight-end ends what --penalty-weight begins. Pass both.")
    if args.penalty_weight and not args.penalty:
        raise ValueError("--penalty-weight weights a --penalty, and there is none. Name one.")
    fits = ("points", "mlp") if args.dataset in POINTS else ("dcgan", "resnet", "mlp")
    if args.network not in fits:
        raise ValueError(
            f"--network {args.network} does not make {args.dataset}: images have the form (height, "
            f"width, channels), and points (2,). Pass --network {' or '.join(fits)}."
        )
    if args.batch_size < args.packing:
        raise ValueError(
            f"--batch-size {args.batch_size} is too small: --packing {args.packing} judges "
            f"{args.packing} examples together."
        )


def load(args):
    """Return training and test data; the batches of the former are all full."""
    train, test = load_all(args)
    train = subset.first(train, args.examples)
    if hasattr(train, "drop_remainder"):
        train.drop_remainder = True
    if options.is_path(args.dataset):
        by_data.fit_batch(args, train)
    return train, test


def load_all(args):
    import keras_gen as kg

    # A batch of --batch-size is for one step of the discriminator.
    batch = {
        "batch_size": args.batch_size * args.d_steps,
        "seed": args.seed,
        "labels": args.conditional,
    }
    test = {**batch, "batch_size": args.batch_size, "seed": args.seed + 1}
    if args.dataset in POINTS:
        make = {"ring": kg.data.ring, "grid": kg.data.grid}[args.dataset]
        return make(**batch), make(10_000, **test)
    files = {"data_dir": args.data_dir, "manual_dir": args.manual_dir}
    if args.dataset == "stacked_mnist":
        train = kg.data.stacked_mnist(**batch, **files)
        return train, kg.data.stacked_mnist(2_000, **test, **files)
    return data_sets.load(args, batch["batch_size"])


if __name__ == "__main__":
    main()
