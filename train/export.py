"""Export the model of a finished run; load what was written and compare it with the model."""

import argparse
import pathlib
import sys
import tempfile

from train import command, environment, options, run_folder

FORMATS = {"saved_model": "tf_saved_model", "onnx": "onnx"}  # By their folder in the run.


def main(argv=None):
    parser = make_parser()
    try:
        command.run(parser, export, argv, "No export is half written.")
    except RuntimeError as error:
        sys.exit(f"{parser.prog}: {error}")


def make_parser():
    parser = options.Parser("export", __doc__)
    add = parser.add_argument
    add("run", type=options.folder, help="folder of the run, such as runs/vae")
    add(
        "--format",
        choices=FORMATS,
        nargs="+",
        default=["saved_model"],
        help="TensorFlow SavedModel, ONNX, or both",
    )
    add("--out", type=options.folder, help="folder for saved_model/ and onnx/ (else the run's)")
    add("--overwrite", action="store_true", help="replace what was exported there before")
    add(
        "--ema",
        action=argparse.BooleanOptionalAction,
        help="export a GAN's averaged weights, or not (default: as in the run's pictures)",
    )
    return parser


def export(args):
    environment.quiet_tensorflow()
    import keras_gen as kg
    from keras_gen import runs

    runs.check_finished(args.run)
    run_folder.check_links(args.run)
    places = {name: (args.out or args.run) / name for name in dict.fromkeys(args.format)}
    for name, folder in places.items():
        kg.export.check_target(folder, args.overwrite)
        kg.export.writer(FORMATS[name])
    run = kg.load_run(args.run)
    model, weights = run.model, run.weights
    if args.ema and not isinstance(model, kg.GAN):
        raise ValueError(f"--ema is for GANs, and {args.run} holds a {type(model).__name__}.")
    if args.ema is not None:
        weights = {"ema": True} if args.ema else {}
    if isinstance(model, kg.GAN):
        print(f"The generator's {'averaged' if weights else 'raw'} weights:")
    for name, folder in places.items():
        differences = model.export(
            folder, FORMATS[name], overwrite=args.overwrite, verbose=False, **weights
        )
        print(f"{folder}: loaded without keras_gen, and compared with the model")
        signatures = kg.export.signatures(model, FORMATS[name])
        for signature, difference in differences.items():
            inputs = ", ".join(f"{s.name} {_shape(s)}" for s in signatures[signature].inputs)
            found = "draws" if difference is None else f"largest difference {difference:.1e}"
            print(f"  {signature}({inputs}): {found}")


def targets(folder):
    """Return how many functions of a run's model are exported and agree, and how many there are.

    A function counts once for every format that has it.
    """
    environment.quiet_tensorflow()
    import keras_gen as kg

    model = load(folder)
    good = tried = 0
    with tempfile.TemporaryDirectory() as out:
        for name, format in FORMATS.items():
            tried += len(kg.export.signatures(model, format))
            try:
                good += len(model.export(pathlib.Path(out) / name, format, verbose=False))
            except (ImportError, RuntimeError) as error:
                print(f"{folder}: {error}")
    return good, tried


def load(folder):
    import keras_gen as kg

    return kg.saving.load_model(pathlib.Path(folder) / "model.keras")


def _shape(spec):
    return f"({', '.join('n' if size is None else str(size) for size in spec.shape)})"


if __name__ == "__main__":
    main()
