"""--resume: the arguments that a stopped run goes on with."""

import argparse

from train import config, environment, run_folder

# What may differ when a run is resumed: where things are, and what leaves no trace.
FREE = ("out", "overwrite", "resume", "data_dir", "manual_dir", "checkpoint_every")


def goes_on(args):
    """Return whether the run in --out is continued, with the arguments that it began with."""
    return args.resume and (args.out / "config.json").exists()


def resumed(parser, args, argv):
    """Return the arguments to resume with: those that the run in --out was started with.

    Ends the script if that run is finished.
    """
    out = args.out
    if args.overwrite:
        raise ValueError("--resume continues the run in --out, and --overwrite replaces it.")
    if not goes_on(args):
        print(f"There is no run in {out} to resume: one begins.")
        return args
    run_folder.check_links(out)
    before, backend = _settings(parser, out)
    given = parser.given(argv)
    _check_same(out, vars(before), given)
    if (out / "metrics.json").exists():
        parser.exit(
            0,
            f"The run in {out} is finished: there is nothing to resume. --from {out}, with another "
            f"--out, trains on from its weights.\n",
        )
    if (out / "model.keras").exists() and not run_folder.has_checkpoint(out):
        raise ValueError(
            f"The run in {out} has diverged, and model.keras is what it was before. Start again "
            f"with --overwrite, and a smaller learning rate."
        )
    _check_backend(out, backend)
    typed = {name: given.get(name) for name in ("dataset", "data_dir", "manual_dir")}
    config.trust(out / "config.json", before, **typed)
    kept = {name: value for name, value in vars(before).items() if name not in FREE}
    kept["data_dir"], kept["manual_dir"] = before.data_dir, before.manual_dir
    kept["checkpoint_every"] = args.checkpoint_every or before.checkpoint_every
    for name in config.OF_A_PROCESS:
        kept.pop(name, None)
    return argparse.Namespace(**{**vars(args), **kept})


def _settings(parser, out):
    try:
        _, settings, backend = config.read(out / "config.json", {parser.name: parser})
    except ValueError as error:
        raise ValueError(f"--out {out} holds no run of {parser.prog} to resume. {error}") from error
    return settings, backend


def _check_same(out, before, given):
    is_finished = (out / "metrics.json").exists()
    way = f", with --from {out} to train on from its weights" if is_finished else ""
    for name, value in given.items():
        if name not in FREE and config.plain(value) != config.plain(before[name]):
            raise ValueError(
                f"The run in {out} was started with {name} = {before[name]}, and --resume was "
                f"given {value}, which would be another run. Leave it out, or name another "
                f"--out{way}."
            )


def _check_backend(out, backend):
    environment.quiet_tensorflow()
    import keras

    if backend != keras.config.backend():
        raise ValueError(
            f"The run in {out} was started on {backend}, and this is {keras.config.backend()}. "
            f"Set KERAS_BACKEND={backend}."
        )
