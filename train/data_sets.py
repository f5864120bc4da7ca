"""--dataset: a set of TFDS by its name, or images of one's own by their path."""

from train import options


def load(args, batch_size):
    """Return training and test images, with labels if the run is --conditional.

    If that was left open, it is where the images have classes.
    """
    import keras_gen as kg

    common = {"batch_size": batch_size, "seed": args.seed, "multiple_of": args.devices}
    if not options.is_path(args.dataset):
        files = {"data_dir": args.data_dir, "manual_dir": args.manual_dir}
        return kg.data.load(args.dataset, labels=args.conditional, **common, **files)
    train, test = kg.data.folder(
        args.dataset,
        size=args.size,
        channels=args.channels,
        # The classes of a run without them are used for pictures, and for an even split.
        labels=True if args.conditional else "auto",
        flip=args.flip,
        skip_unreadable=args.skip_unreadable,
        cache=False if args.no_cache else None,
        **common,
    )
    classes = train.class_names or []
    if args.conditional is None:
        args.conditional = len(classes) > 1
    for data in (train, test):
        data.labels = args.conditional
    names = ", ".join(classes)
    if len(names) > 200:
        names = names[:200].rsplit(", ", 1)[0] + ", ..."
    message = (
        f"{args.dataset}: {train.num_examples} images to train on and {test.num_examples} to test, "
        f"{'x'.join(map(str, train.images.shape[1:]))}"
        + (f", in {len(classes)} classes: {names}" if classes else "")
    )
    print(message.encode(errors="replace").decode())  # A name need not be UTF-8.
    return train, test
