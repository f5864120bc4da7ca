"""How a command ends: one message and an exit code, whatever happens."""

import shlex

from train import devices, environment, interrupts, options, resume, run_folder

# Raised by TensorFlow, which may not be installed, when a stream is read while it trains.
UNREADABLE = ("DataLossError", "NotFoundError", "FailedPreconditionError")


def carry_out(parser, settle, train, argv=None):
    """Parse and train; if something goes wrong, print one message and end with an exit code.

    `settle` fills in the options that were left open and checks them together, before anything
    slow is imported.

    1: training diverged. 2: bad input, or files that cannot be written. 130: Ctrl-C.
    """
    args = parser.parse_args(argv)
    made = []
    try:
        with interrupts.remembered():
            if args.resume:
                args = resume.resumed(parser, args, argv)
            settle(args)
            options.check_preview(args)
            options.check_keep_best(args)
            environment.keep_memory()
            with devices.all_devices(args):
                default = args.out if args.preview else options.default_out(parser.name)
                made = run_folder.check_out(args, default)
                train(args)
    except (ValueError, OSError, ImportError) as error:
        fail(parser, f"{error}{_how_to_resume(parser, args)}")
    except KeyboardInterrupt:
        there = ", ".join(run_folder.content(args.out)) or "nothing"
        resuming = _how_to_resume(parser, args)
        parser.exit(130, f"\n{parser.prog}: stopped. {args.out} holds {there}.{resuming}\n")
    except Exception as error:
        if type(error).__name__ not in UNREADABLE:
            raise
        fail(parser, f"A file of the data set {args.dataset!r} cannot be read: {error}")
    finally:
        run_folder.leave(made)


def run(parser, work, argv=None, stopped=""):
    """Parse, and do the work of a command that trains nothing; errors end it as `carry_out` does.

    `stopped` is what Ctrl-C leaves, in words, in which {args} are those of the command.
    """
    args = parser.parse_args(argv)
    try:
        work(args)
    except (ValueError, OSError, ImportError) as error:
        fail(parser, error)
    except KeyboardInterrupt:
        left = stopped and f" {stopped.format(args=args)}"
        parser.exit(130, f"\n{parser.prog}: stopped.{left}\n")


def fail(parser, error):
    """End a script on bad input: the message alone, exit code 2, nothing trained."""
    parser.exit(2, f"{parser.prog}: error: {error}\n")


def _how_to_resume(parser, args):
    if not run_folder.has_checkpoint(args.out):
        return ""
    command = ["--resume", "--out", str(args.out)]
    # What a config says of the place of data is not used: it is typed again.
    if args.data_dir is not None:
        command += ["--data-dir", args.data_dir]
    if ":" in args.dataset:
        command += ["--dataset", args.dataset]
    return f"\nTo continue after the last checkpoint: {parser.prog} {shlex.join(command)}"
