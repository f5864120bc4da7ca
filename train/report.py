"""Write report.html into the folder of a run; of several runs, one page that compares them."""

import functools
import pathlib

from train import command, environment, options, run_folder


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        report(args)
    except (ValueError, OSError, ImportError) as error:
        command.fail(parser, error)
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: stopped.\n")


def make_parser():
    parser = options.Parser("report", __doc__)
    add = parser.add_argument
    add("runs", type=options.folder, nargs="+", metavar="RUN", help="folders of runs")
    add(
        "--out",
        type=functools.partial(options.output_file, suffix=".html"),
        default="comparison.html",
        metavar="FILE",
        help="the page that compares several runs",
    )
    add("--sort", metavar="METRIC", help="by which the table of several runs is sorted")
    return parser


def report(args):
    for run in args.runs:
        run_folder.check_links(run)
    environment.quiet_tensorflow()
    from keras_gen import report as reports

    if args.sort and len(args.runs) == 1:
        raise ValueError("--sort is for several runs, and one is named. Leave it out.")
    for run in args.runs:
        found = reports.judge(reports.read(run))
        print(f"{reports.write(run)}: {found[0].title}")
    if len(args.runs) > 1:
        print(reports.write_comparison(pathlib.Path(args.out), args.runs, args.sort))


if __name__ == "__main__":
    main()
