"""Draw new examples from a finished run: one picture, a folder of images, or an array."""

import functools
import pathlib
import re

from train import command, environment, options

AT_ONCE = 256  # So many images are in memory when they are written one by one.


def main(argv=None):
    command.run(make_parser(), sample, argv)


def make_parser():
    parser = options.Parser("sample", __doc__)
    add = parser.add_argument
    add("run", type=options.folder, help="folder of the run, such as runs/gan")
    add("--n", type=options.positive, default=64, help="how many")
    add("--y", metavar="CLASS", help="a class, by name or number; by default all, in turn")
    add("--seed", type=options.seed, default=0, help="of z: same seed, same z on every backend")
    add(
        "--truncation",
        type=options.Number(float, "a number of at least 0.05", 0.05, 3e38, includes_low=True),
        metavar="T",
        help="draw every number of z again until it lies in [-T, T]: clearer and less varied "
        "examples (the truncation trick of BigGAN)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--grid",
        type=functools.partial(options.output_file, suffix=".png"),
        metavar="FILE",
        help="one picture, a PNG; else RUN/grid.png",
    )
    where.add_argument(
        "--png",
        type=options.folder,
        metavar="FOLDER",
        help="an image a file, in a folder for each class if the model has classes: "
        "--dataset FOLDER reads them",
    )
    where.add_argument(
        "--npz",
        type=functools.partial(options.output_file, suffix=".npz"),
        metavar="FILE",
        help="arrays: the examples x, their z, and y if the model has classes",
    )
    return parser


def sample(args):
    environment.quiet_tensorflow()
    import keras_gen as kg

    run = kg.load_run(args.run)
    model, _, class_names = run
    z = draw_latents(model, args.n, args.seed, args.truncation)
    y = labels(args.y, args.n, model.num_classes, class_names)

    def generate(part):
        return model.generate(z[part], y=None if y is None else y[part], **run.weights)

    if args.npz:
        print(f"{args.n} examples in {write_arrays(args.npz, z, y, generate)}")
        return
    check_images(generate(slice(1)), args.run)
    if args.png:
        names = None if y is None else class_names or numbered(model.num_classes)
        print(f"{args.n} images in {write_images(args.png, args.n, y, names, generate)}")
        return
    path = pathlib.Path(args.grid or args.run / "grid.png")
    names = class_names or (None if y is None else numbered(model.num_classes))
    write_grid(path, generate(slice(None)), None if args.y else names)
    print(f"{args.n} images in {path}")


def draw_latents(model, n, seed, truncation=None):
    """Return z (n, ...) from the model's p(z), each number in [-truncation, truncation]."""
    import numpy as np

    prior = getattr(model, "prior", None)
    if truncation is not None and prior is not None and not prior.factorises:
        raise ValueError(
            f"--truncation is of draws from N(0, I), and the prior of this model is a "
            f"{type(prior).__name__}. Leave it out."
        )
    z = model.draw_latents(n, seed=seed)
    rng = np.random.default_rng((seed, 1))  # Of N(0, I), as z is but in a model of two layers.
    while truncation is not None and (outside := np.abs(z) > truncation).any():
        z[outside] = rng.standard_normal(outside.sum())
    return z


def labels(name, n, num_classes, class_names):
    """Return the labels of n examples, (n,) or None: of one class, or of all in turn.

    Raises:
        ValueError: The model has no such class, or no classes.
    """
    import numpy as np

    if num_classes is None:
        if name is not None:
            raise ValueError(
                f"--y {name} asks for a class, and this model was trained without labels. Leave "
                f"it out, or train with --conditional."
            )
        return None
    if name is None:
        return np.arange(n) % num_classes
    names = class_names or [str(label) for label in range(num_classes)]
    if name in names:
        return np.full(n, names.index(name))
    if name.isdecimal() and int(name) < num_classes:
        return np.full(n, int(name))
    raise ValueError(
        f"--y {name[:100]} is none of the {num_classes} classes. Pass one of "
        f"{', '.join(names[:20])}, or a number from 0 to {num_classes - 1}."
    )


def check_images(examples, run):
    """Raise ValueError if a picture cannot be made of the examples."""
    if examples.ndim != 4 or examples.shape[-1] not in (1, 3):
        raise ValueError(
            f"The model in {run} makes examples of the shape {examples.shape[1:]}, which are no "
            f"images. `python -m train.sample {run} --npz FILE` writes an array."
        )


def write_grid(path, images, names):
    """Write one picture of all images, at least 64 pixels an image, and the names of classes."""
    import keras_gen as kg

    if names is not None and len(names) > min(len(images), 20):
        names = None
    columns, scale = names and len(names), max(1, 64 // images.shape[1])
    images = images.clip(0, 1)  # A Gaussian's means may lie outside.
    picture = kg.callbacks.image_grid(images, columns, scale=scale, column_labels=names)
    kg.callbacks.save_png(path, picture)


def write_arrays(path, z, y, generate):
    """Write the examples, their z and their labels to one .npz; return its path."""
    import numpy as np

    from keras_gen import files

    path = pathlib.Path(path)
    arrays = {"x": generate(slice(None)), "z": z, **({} if y is None else {"y": y})}
    with files.whole(path) as unfinished:
        np.savez_compressed(unfinished, **arrays)
    return path


def write_images(folder, n, y, names, generate):
    """Write each image to a PNG file, under the name of its class; return the folder."""
    import numpy as np
    from PIL import Image

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--png {folder} is not empty. Name a new folder.")
    places = [folder / name for name in folder_names(names)] if names else [folder]
    for label in [0] if y is None else np.unique(y):
        places[label].mkdir(parents=True, exist_ok=True)
    for start in range(0, n, AT_ONCE):
        part = slice(start, min(n, start + AT_ONCE))
        pixels = (np.clip(generate(part), 0, 1) * 255 + 0.5).astype("uint8")
        for i, image in zip(range(part.start, part.stop), pixels, strict=True):
            image = image[..., 0] if image.shape[-1] == 1 else image
            place = places[0 if y is None else y[i]]
            Image.fromarray(image).save(place / f"{i:06d}.png")
    return folder


def folder_names(class_names):
    """Return names of folders for the classes: someone else may have written theirs."""
    safe = [re.sub(r"[^\w -]", "_", name).strip() or "_" for name in class_names]
    return safe if len({name.casefold() for name in safe}) == len(safe) else numbered(len(safe))


def numbered(num_classes):
    """Return the numbers of the classes as names, which are sorted as the numbers are."""
    return [f"{label:0{len(str(num_classes - 1))}d}" for label in range(num_classes)]


if __name__ == "__main__":
    main()
