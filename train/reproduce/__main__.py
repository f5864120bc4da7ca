"""Run a published experiment and print what it obtains next to what was published."""

import argparse
import json
import shlex
import sys
import time

from train import command, environment, options, results
from train.reproduce import (
    burda,
    codes,
    colors,
    examples,
    few_images,
    likelihoods,
    minibatch,
    models,
    points,
    priors,
    quality,
    samplers,
    stacked,
    table,
    uses,
)

ENTRIES = {
    "pytorch-vae": examples.pytorch_vae,
    "keras-vae": examples.keras_vae,
    "conditional": examples.conditional,
    "linear-vae": likelihoods.linear_vae,
    "iwae-gap": likelihoods.iwae_gap,
    "nll-20": likelihoods.nll_20,
    "nll-50": likelihoods.nll_50,
    "nll-ten-minutes": likelihoods.nll_ten_minutes,
    "burda": burda.table_1,
    "burda-short": burda.short_table,
    "burda-layers": burda.layers,
    "one-class-mnist": uses.one_class_mnist,
    "denoise": uses.denoise,
    "inpaint": uses.inpaint,
    "invert": uses.invert,
    "points": points.points,
    "quality": quality.quality,
    "stacked": stacked.stacked,
    "minibatch": minibatch.minibatch,
    "few-images": few_images.few_images,
    "vamp": priors.vamp,
    "samplers": samplers.samplers,
    "codes": codes.codes,
    "colors": colors.colors,
    "models": models.models,
}
WITH_DATASET = ("one-class-mnist", "samplers", "codes", "colors")


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m train.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name}: {entry.__doc__}" for name, entry in ENTRIES.items()),
    )
    add, folder = parser.add_argument, options.folder_name
    add("name", nargs="?", choices=ENTRIES, help="without one: list them")
    add("--seed", type=options.seed, default=0, help="default: 0")
    add(
        "--dataset",
        type=options.data_set,
        help=f"another set, for {', '.join(WITH_DATASET)}",
    )
    add("--data-dir", type=folder, help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    add("--manual-dir", type=folder, help="folder with the original files, not downloaded")
    add("--json", type=options.output_file, metavar="FILE", help="write the rows there, too")
    add("--record", action="store_true", help="write them into the table of docs/reproduced.md")
    return parser


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.name is None:
        parser.print_help()
        return
    data = {"data_dir": args.data_dir, "manual_dir": args.manual_dir}
    if args.dataset is not None:
        if args.name not in WITH_DATASET or args.record:
            parser.error(f"--dataset is for {', '.join(WITH_DATASET)}, without --record")
        data["dataset"] = args.dataset
    environment.quiet_tensorflow()
    import keras

    start = time.perf_counter()
    try:
        rows = ENTRIES[args.name](args.seed, **data)
    except (ValueError, OSError, ImportError) as error:
        command.fail(parser, error)
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: stopped. Runs that are rows of a table are kept.\n")
    results.check_converged({f"{row.name} {row.quantity}": row.obtained for row in rows})
    seconds = time.perf_counter() - start
    print_rows(rows)
    backend = keras.config.backend()
    typed = shlex.join(["python", "-m", "train.reproduce", *(argv or sys.argv[1:])])
    print(f"KERAS_BACKEND={backend} {typed}: seed {args.seed}, {seconds:.0f} s")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(table.content(rows), file, indent=2)
    if args.record:
        table.record(args.name, list(ENTRIES), backend, args.seed, seconds, rows)
    sys.exit(not all(row.passed for row in rows))


def print_rows(rows):
    width = max(len(f"{row.name}  {row.quantity}") for row in rows) + 2
    print(f"{'':<{width}}{'obtained':>10}  {'published, expected':<20}passed")
    for row in rows:
        print(
            f"{f'{row.name}  {row.quantity}':<{width}}{row.obtained:>10.5g}  {row.wanted:<20}"
            f"{'yes' if row.passed else 'no'}"
        )


if __name__ == "__main__":
    main()
