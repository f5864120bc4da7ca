"""Write report.html into the folder of a run; of several runs, one page that compares them."""

import functools
import os
import pathlib

from train import command, defaults, environment, options, run_folder

# By which runs are compared if no metric is named: the first that any of them has.
BY_DEFAULT = ("frechet_ratio", "frechet", "modes", "elbo", "coverage", "recall")
RISES = {"elbo", "modes", "modes_near", "high_quality", "classes", "active_units"}
PLACES = ("out", "overwrite", "sample_every")  # Arguments that make no other run.


def main(argv=None):
    command.run(make_parser(), report, argv)


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
        print(
            f"{reports.write(run, defaults=_defaults(run))}: {reports.judge(_read(run))[0].title}"
        )
    if len(args.runs) > 1:
        print(write_comparison(args.out, args.runs, args.sort))


def _read(folder):
    from keras_gen import report

    return report.read(folder, defaults=_defaults(folder))


def _defaults(folder):
    """Return the defaults of a run's arguments, for a report.json that does not hold them."""
    from keras_gen import report

    run = report.read(folder)
    return run.defaults or defaults.of_run(run.config, run.facts.get("data", {}).get("training"))


def write_comparison(path, folders, by=None):
    """Write one page that compares runs, sorted by a metric; return its path."""
    from keras_gen import report
    from keras_gen.metrics.samples import HIGHER_IS_BETTER
    from keras_gen.report import images, page

    path, runs = pathlib.Path(path), [_read(folder) for folder in folders]
    rises = {*RISES, *HIGHER_IS_BETTER}
    rows = [{"run": run, "numbers": {row[0]: row[1] for row in page.numbers(run)}} for run in runs]
    metrics = list(dict.fromkeys(name for row in rows for name in row["numbers"]))
    by = by or next((name for name in BY_DEFAULT if name in metrics), None)
    if by is not None and by not in metrics:
        raise ValueError(f"No run has the metric {by}. Known are {', '.join(metrics) or 'none'}.")
    sign = -1 if by in rises else 1
    rows.sort(key=lambda row: sign * row["numbers"].get(by, sign * float("inf")))
    same_name = len({run.name for run in runs}) < len(runs)
    for row in rows:
        run = row["run"]
        row["name"] = str(run.path) if same_name else run.name
        row["address"] = os.path.relpath(run.path / page.NAME, path.absolute().parent)
        row["verdict"] = report.judge(run)[0]
        row["picture"] = images.newest({"epoch": run.pictures("epoch")}).get("epoch")
    names = dict.fromkeys(name for run in runs for name in run.arguments if name not in PLACES)
    settings = {name: [row["run"].arguments.get(name) for row in rows] for name in names}
    return page.render(
        path,
        "comparison.html",
        panels(rows),
        rows=rows,
        metrics=metrics,
        by=by,
        rises=rises,
        differ={name: of for name, of in settings.items() if any(v != of[0] for v in of)},
    )


def panels(rows):
    """Return panels with a line for each run, of held-out images where it can be."""
    from keras_gen.report import curves

    found = []
    for title, unit, names in curves.PANELS:
        for name in names:
            lines = [
                curves.line(row["name"], row["run"], column)
                for row in rows
                for column in (f"val_{name}", name)
                if row["run"].column(column)
            ]
            lines = list({line["label"]: line for line in reversed(lines)}.values())[::-1]
            if lines:
                words = title if len(names) == 1 else f"{title}, {curves.LABELS[name]}"
                found.append(curves.panel(words, unit, lines, curves.BEST.get(name)))
    return found[: curves.MOST_PANELS]


if __name__ == "__main__":
    main()
