"""Films of a run: its samples over the epochs, and a walk through latent space."""

import functools
import pathlib

from train import command, environment, options, run_folder, sample
from train.config import POINTS

WIDEST = 960  # Pixels of a frame of training.
MOST_PIXELS = 2**26  # No callback draws more.
ENDINGS = (".gif", ".webp", ".mp4")
SECONDS = 0.05  # Of a frame of a walk.


def main(argv=None):
    command.run(make_parser(), film, argv)


def make_parser():
    parser = options.Parser("film", __doc__)
    add = parser.add_argument
    add("run", type=options.folder, help="folder of the run, such as runs/gan")
    file = {"type": functools.partial(options.output_file, suffix=ENDINGS), "metavar": "FILE"}
    add(
        "--training",
        **file,
        help="the same z after each epoch, as GIF, WebP or MP4; with neither --training nor "
        "--walk RUN/samples.gif and RUN/walk.gif are written",
    )
    add("--walk", **file, help="each image follows a path through --points z and back to the first")
    add("--n", type=options.positive, default=20, help="images in the walk")
    add("--y", metavar="CLASS", help="a class, by name or number; by default one class a column")
    add("--seed", type=options.seed, default=0, help="of the z of the walk")
    add("--points", type=options.Number(int, "an integer of at least 2", 1, 10_000), default=6)
    add("--steps", type=options.positive, default=20, help="frames from one z to the next")
    return parser


def film(args):
    run_folder.check_links(args.run)
    environment.quiet_tensorflow()
    from keras_gen import films
    from keras_gen.report.reading import read

    run, both = read(args.run), not (args.training or args.walk)
    training = args.training or (both and args.run / "samples.gif")
    walk = args.walk or (both and args.run / "walk.gif")
    for path in filter(None, (training, walk)):
        films.check_film(path)
    if training and walk and pathlib.Path(training) == pathlib.Path(walk):
        raise ValueError(f"--training and --walk both name {walk}. Pass two files.")
    if both and (reason := _no_walk(run)):
        print(f"There is no walk: {reason}")
        walk = None
    if training:
        print(f"{write_training(training, run)} frames in {training}")
    if walk:
        print(f"{write_walk(walk, args)} frames in {walk}")


def _no_walk(run):
    if run.arguments.get("dataset") in POINTS:
        return "the run makes points, not images."
    return None if (run.path / "model.keras").exists() else "the run has no model.keras yet."


def write_training(path, run):
    """Write a film of the samples of a `RunFolder`; return the number of its frames."""
    import keras_gen as kg
    from keras_gen.report import images

    pictures = [picture for _, picture in run.pictures("epoch")]
    if not pictures:
        raise ValueError(
            f"{run.path} holds no pictures of training, samples/epoch_0000.png and so on. A "
            f"training script writes them, or `kg.callbacks.SampleGrid`."
        )
    frames = _read(images.thin(pictures, images.MOST_FRAMES))
    kg.callbacks.save_film(path, frames)
    return len(frames)


def write_at_the_end(out):
    """Write samples.gif of a run that ends; what is wrong is printed, and the run goes on."""
    from keras_gen import distribution

    if not distribution.is_chief():
        return
    try:
        from keras_gen.report.reading import read

        write_training(out / "samples.gif", read(out))
    except (ValueError, OSError, ImportError) as error:  # The model is worth more.
        print(f"samples.gif is not written: {error}")


def _read(paths):
    """Return pictures, uint8 arrays of one size, of PNG files that need not be trusted."""
    import numpy as np
    from PIL import Image

    frames = []
    for path in paths:
        try:
            with Image.open(path, formats=["PNG"]) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise ValueError(f"it has {file.width} x {file.height} pixels")
                frame = file.convert("RGB")
        except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} is no picture of a run: {error}") from error
        frame.thumbnail((WIDEST, WIDEST))
        frames.append(frame)
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    # Those of a run that went on with another version may be smaller.
    pages = [Image.new("RGB", size, "white") for _ in frames]
    for page, frame in zip(pages, frames, strict=True):
        page.paste(frame)
    return [np.asarray(page) for page in pages]


def write_walk(path, args):
    """Write a film of images whose z follow closed paths; return the number of its frames."""
    import numpy as np

    import keras_gen as kg

    run = kg.load_run(args.run)
    model, _, class_names = run
    y, names = _classes(args, model.num_classes, class_names)
    n = args.n if names is None else args.n - args.n % len(names)
    labels = run.weights | ({} if y is None else {"y": np.resize(y, n)})
    z = model.draw_latents(n * args.points, seed=args.seed)
    sample.check_images(model.generate(z[:n], **labels), args.run)
    z = z.reshape(args.points, n, *z.shape[1:])
    is_normal = isinstance(getattr(model, "prior", None), kg.priors.StandardNormal | None)
    paths = [kg.inference.walk(z[:, i], args.steps, spherical=is_normal) for i in range(n)]
    paths = np.stack(paths, axis=1).astype("float32")  # (frames, n, *latent_shape)
    frames, at_once = [], max(1, sample.AT_ONCE // n)  # A call costs as much as many images.
    for start in range(0, len(paths), at_once):
        part = paths[start : start + at_once]
        known = {} if y is None else {"y": np.tile(labels["y"], len(part))}
        images = model.generate(part.reshape(-1, *part.shape[2:]), **known, **run.weights)
        frames += [_grid(images[k : k + n], names, args.y) for k in range(0, len(images), n)]
    kg.callbacks.save_film(pathlib.Path(path), frames, SECONDS, SECONDS)
    return len(frames)


def _grid(images, names, label):
    import keras_gen as kg

    return kg.callbacks.image_grid(
        images.clip(0, 1),  # A Gaussian's means may lie outside.
        names and len(names),
        scale=max(1, 64 // images.shape[1]),
        column_labels=names,
        caption=f"a walk through z{f', class {label}' if label else ''}",
    )


def _classes(args, num_classes, class_names):
    """Return labels, and the names of columns; each None where there are none."""
    from keras_gen.callbacks.grids import class_columns, names_of

    y = sample.labels(args.y, args.n, num_classes, class_names)
    if y is None or args.y or num_classes == 1:
        return y, None
    y = class_columns(num_classes, args.n)
    return y, names_of(y, class_names)


if __name__ == "__main__":
    main()
