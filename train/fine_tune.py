"""--from: training that starts from the weights of another run."""

import difflib
import os

from train import environment, run_folder

PARTS = ("encoder", "decoder", "prior", "generator", "discriminator")


def check(args):
    """Raise ValueError if there is no finished run to start from."""
    if is_used(args):
        environment.quiet_tensorflow()
        from keras_gen import runs

        runs.check_finished(args.from_run)
        out = args.out / "preview" if args.preview else args.out
        if os.path.realpath(args.from_run) == os.path.realpath(out):
            raise ValueError(
                f"--from {args.from_run} is the run that the new one would replace in --out "
                f"{out}. Pass another --out."
            )


def is_used(args):
    """Return whether a run starts from another: not if it goes on from its own checkpoint."""
    return args.from_run and not (args.resume and run_folder.has_checkpoint(args.out))


def start_from(args, model):
    """Give `model` the weights of the run --from, layer by layer where they fit, and say which.

    The layers of the two networks are aligned in their order: two fit if they are of one class and
    their weights have the same shapes. Other layers keep their first weights. A learned prior fits
    as a whole.

    Raises:
        ValueError: No layer fits.
    """
    if not is_used(args):
        return
    import keras_gen as kg

    other = kg.load_run(args.from_run).model
    taken = {
        name: _take(getattr(model, name), getattr(other, name))
        for name in PARTS
        if hasattr(other, name) and getattr(getattr(model, name, None), "weights", [])
    }
    if not any(fit for fit, _ in taken.values()):
        raise ValueError(
            f"--from {args.from_run}: no layer of its {type(other).__name__} fits this "
            f"{type(model).__name__}. Choose the same networks and sizes as in that run."
        )
    words = ", ".join(
        f"{fit} of {count} layers of the {name}" for name, (fit, count) in taken.items()
    )
    print(f"From {args.from_run}: the weights of {words}.")


def _take(network, other):
    """Copy the weights that fit; return how many layers did, and how many have weights."""
    ours, theirs = _layers(network), _layers(other)
    matcher = difflib.SequenceMatcher(None, *map(_kinds, (ours, theirs)), autojunk=False)
    fit = 0
    for start, other_start, size in matcher.get_matching_blocks():
        for i in range(size):
            ours[start + i].set_weights(theirs[other_start + i].get_weights())
        fit += size
    return fit, len(ours)


def _layers(network):
    """Return the layers that hold weights, in order, those of inner models in their place."""
    layers = []
    for layer in getattr(network, "layers", [network]):
        layers += _layers(layer) if hasattr(layer, "layers") else [layer] if layer.weights else []
    return layers


def _kinds(layers):
    return [
        (type(layer).__name__, *(tuple(weight.shape) for weight in layer.weights))
        for layer in layers
    ]
