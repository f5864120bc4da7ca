"""Compare finished runs: a table of their metrics.json, and a picture of samples side by side."""

import functools
import math
import pathlib

from train import command, environment, options, results, run_folder

IMAGES = 64  # Of each run.


def main(argv=None):
    command.run(make_parser(), compare, argv)


def make_parser():
    parser = options.Parser("compare", __doc__)
    add = parser.add_argument
    add("runs", type=options.folder, nargs="+", metavar="RUN", help="folders of the runs")
    add(
        "--picture",
        type=functools.partial(options.output_file, suffix=".png"),
        default="compare.png",
        metavar="FILE",
        help="samples of each run, of the same seed",
    )
    add("--seed", type=options.seed, default=0, help="of the samples")
    return parser


def compare(args):
    if len(args.runs) < 2:
        raise ValueError("One run has nothing to be compared with. Name two or more.")
    environment.quiet_tensorflow()
    from keras_gen import runs

    for run in args.runs:
        runs.check_finished(run)
        run_folder.check_links(run)
    paths = [run / "metrics.json" for run in args.runs]
    numbers = [results.read_json(path) if path.exists() else {} for path in paths]
    for path, known in zip(paths, numbers, strict=True):
        if not isinstance(known.get("evaluation", {}), dict):
            raise ValueError(f"{path} holds no evaluation as `train.evaluate` writes it.")
    print("\n".join(table([str(run) for run in args.runs], numbers)))
    for run, known in zip(args.runs, numbers, strict=True):
        if "evaluation" not in known:
            print(f"{run} is not evaluated: python -m train.evaluate {run}")
    made = {_made(known) for known in numbers if "evaluation" in known}
    if len(made) > 1:
        print("The figures were made in different ways, and do not compare: " + "; ".join(made))
    picture(args)
    print(f"Samples side by side in {args.picture}")


def table(names, numbers):
    """Return the lines of a table: a column for each run, a row for each number of any of them."""
    rows = dict.fromkeys(name for known in numbers for name in known)
    rows = [name for name in rows if name != "evaluation" and not _is_part(name, rows)]
    texts = [*names, *(_cell(known, row) for known in numbers for row in rows)]
    width = max(12, *(len(text) + 2 for text in texts))
    lines = [" " * 28 + "".join(f"{name:>{width}}" for name in names) + f"{'floor':>12}"]
    for row in rows:
        cells = "".join(f"{_cell(known, row):>{width}}" for known in numbers)
        floors = {known.get(f"{row}_floor") for known in numbers} - {None}
        floor = "" if not floors else _cell({row: floors.pop()}, row) if len(floors) == 1 else "-"
        lines.append(f"{row:<28}{cells}{floor:>12}".rstrip())
    return lines


def picture(args):
    """Write one picture: a square of samples for each run, under the name of its folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    import keras_gen as kg

    figure, axes = pyplot.subplots(
        1, len(args.runs), figsize=(4 * len(args.runs), 4.2), squeeze=False, layout="constrained"
    )
    for axis, run in zip(axes[0], args.runs, strict=True):
        samples = _samples(kg.load_run(run), args.seed)
        if samples.ndim == 4:
            axis.imshow(kg.callbacks.image_grid(samples.clip(0, 1)))
            axis.set_axis_off()
        else:
            axis.scatter(*samples[:, :2].T, s=2, color="black", linewidths=0)
            axis.set_aspect("equal")
        axis.set_title(pathlib.Path(run).name)
    figure.savefig(args.picture, dpi=120)
    pyplot.close(figure)


def _samples(run, seed):
    model, averaged = run.model, run.weights
    n = IMAGES if len(model.example_shape) == 3 else 2000
    if model.num_classes is None:
        return model.sample(n, seed=seed, **averaged)
    from keras_gen.callbacks.grids import drawing_arguments

    return model.sample(n, seed=seed, **drawing_arguments(model, n, bool(averaged)))


def _is_part(name, rows):
    """Return whether a number is the deviation or the floor of another."""
    return any(name == f"{row}{end}" for row in rows for end in ("_sd", "_floor"))


def _cell(known, name):
    value, sd = known.get(name), known.get(f"{name}_sd")
    if not _is_number(value):
        return "-"
    return f"{value:.4g}" + (f" ±{sd:.2g}" if _is_number(sd) else "")


def _is_number(value):
    return isinstance(value, int | float) and math.isfinite(value)


def _made(known):
    """Return how the quality of a run's samples was measured, as text."""
    names = ("data_set", "features", "feature_accuracy", "real_examples", "n_real", "n_fake")
    made = known["evaluation"]
    return ", ".join(f"{name} {made[name]}" for name in names if name in made)


if __name__ == "__main__":
    main()
