"""--distribute: the devices that share each batch."""

import contextlib
import os
import pathlib
import tempfile

from train import environment


@contextlib.contextmanager
def all_devices(args):
    """With --distribute, run what is inside on all devices, and set args.devices to their number.

    All processes do the same, as the engines expect it, and the folder of the first is kept.
    """
    if not args.distribute:
        yield
        return
    environment.quiet_tensorflow()
    import keras_gen as kg

    with kg.distribution.data_parallel() as devices, contextlib.ExitStack() as stack:
        args.devices = devices.count
        if devices.is_chief:
            print(f"Each batch is shared by {devices.count} device(s).")
        else:
            args.checkpoints = args.out / "checkpoint"  # Read, not written.
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            args.out = pathlib.Path(folder) / "run"
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def share(args, *sets):
    """Return the training and the test set in batches that the devices can share equally."""
    for data, name in zip(sets, ("training", "test"), strict=True):
        if hasattr(data, "multiple_of"):
            data.multiple_of = args.devices
        if len(data) == 0:  # Not one batch is full.
            d_steps = getattr(args, "d_steps", 1)
            each = f" for each of --d-steps {d_steps}" if d_steps > 1 else ""
            raise ValueError(
                f"--batch-size {args.batch_size}{each} is more than the {name} set, "
                f"{args.dataset}, holds. Pass a smaller one."
            )
        if not hasattr(data, "multiple_of"):
            if args.devices > 1:
                print(f"Of the {name} set, a last batch that is not full is left out.")
            continue
        left_out = data.num_examples - data.num_read
        if left_out and not data.drop_remainder:
            print(
                f"Of the {name} set's last batch, {left_out} examples are left out, which "
                f"{args.devices} devices cannot share equally."
            )
    return sets


def describe(data, labels):
    """Return the shape of an example, and the number of classes if there are `labels`."""
    if hasattr(data, "element_spec"):
        if labels:
            raise ValueError(
                "--conditional needs a data set that fits in memory: the number of classes of a "
                "stream is not known."
            )
        return tuple(data.element_spec.shape[1:]), None
    examples, *_ = data[0] if labels else (data[0],)
    if not labels:
        return examples.shape[1:], None
    # A set that is read from disk cannot look at all labels, and is told.
    return examples.shape[1:], getattr(data, "num_classes", None) or int(data.y.max()) + 1
