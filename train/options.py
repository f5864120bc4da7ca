"""The command-line options that the scripts share."""

import argparse
import math
import os
import pathlib
import re

# A set of TFDS itself. "user:name", with a namespace, is code from the network.
DATA_SET = re.compile(r"[a-z0-9_]+(/\w[\w.+-]*)?(:[0-9*]+\.[0-9*]+\.[0-9*]+)?")
# What the scripts know by name, whatever lies in the folder they are started in.
OWN = ("digits", "ring", "grid", "stacked_mnist")
IMAGE_OPTIONS = ("size", "channels", "flip", "skip_unreadable", "no_cache")
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")


class Parser(argparse.ArgumentParser):
    """A parser that shows defaults, and can raise ValueError instead of ending the program."""

    def __init__(self, name, description):
        super().__init__(
            prog=f"python -m train.{name}", description=description, formatter_class=Help
        )
        self.name = name
        self.raises = False

    def error(self, message):
        if self.raises:
            raise ValueError(message)
        super().error(message)

    def defaults(self):
        """Return every argument and its default, as a dictionary."""
        return vars(self.parse_args([]))

    def given(self, argv):
        """Return the arguments that stand on the command line, as a dictionary."""
        unset = object()
        values = self.parse_args(argv, argparse.Namespace(**dict.fromkeys(self.defaults(), unset)))
        return {name: value for name, value in vars(values).items() if value is not unset}


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names the default of an option only where there is one."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def training_parser(description, name, epochs, drawn=""):
    """Return a parser with the options that all training scripts have.

    `drawn` names data sets besides the digits that the script knows by itself.
    """
    parser = Parser(name, description)
    _add_data(parser, drawn)
    _add_training(parser, epochs)
    _add_folder(parser)
    # What the process finds out: the number of devices, and where the checkpoints are.
    parser.set_defaults(devices=1, checkpoints=None)
    return parser


def _add_data(parser, drawn):
    add = parser.add_argument
    add(
        "--dataset",
        type=data_set,
        default="digits",
        metavar="NAME|PATH",
        help=f"digits, {drawn}the TFDS name of an image set; or your own images: a folder, a zip "
        "or tar of it, or an array in a .npy or .npz",
    )
    _add_images(parser)
    add("--data-dir", type=folder_name, help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    add(
        "--examples",
        type=positive,
        metavar="N",
        help="train on N examples, drawn by --seed; by default on all of the training set",
    )
    add(
        "--manual-dir",
        type=folder_name,
        help="folder with the original files of a data set, for no download",
    )


def _add_images(parser):
    add = parser.add_argument_group("your own images, --dataset PATH").add_argument
    add(
        "--size",
        type=positive,
        nargs="+",
        metavar="PIXELS",
        help="side of the images, or height and width; by default the size that all have",
    )
    add("--channels", type=int, choices=(1, 3), help="1 makes them grey, 3 coloured")
    add("--flip", action="store_true", help="mirror half of the images, others in every epoch")
    add("--skip-unreadable", action="store_true", help="leave out files that cannot be read")
    add(
        "--no-cache",
        action="store_true",
        help="keep any number of images in memory, and delete the file of decoded images",
    )


def _add_training(parser, epochs):
    add = parser.add_argument
    add("--epochs", type=positive, default=epochs, help="passes over the training set")
    add("--batch-size", type=positive, default=128, help="images per step")
    add(
        "--preview",
        action="store_true",
        help="train for two minutes only, into the folder preview of --out, and say how long the "
        "whole run takes",
    )
    add(
        "--sample-every",
        type=positive,
        help="epochs between pictures; by default about 15 pictures are drawn",
    )
    add(
        "--from",
        "--from-run",
        dest="from_run",
        type=folder_name,
        metavar="RUN",
        help="start from the weights of another run, layer by layer where they fit",
    )
    _add_quality(parser)
    add("--seed", type=seed, default=0, help="of weights, noise and order: same seed, same run")
    add("--dtype", choices=DTYPES, default="float32", help="of the networks' arithmetic")
    add(
        "--jit-compile",
        choices=("auto", "true", "false"),
        help="compile the whole step; by default as train/speed.py says for backend and network",
    )
    add(
        "--distribute",
        action="store_true",
        help="share each batch among all devices, and among the processes named by TF_CONFIG, "
        "JAX_COORDINATOR_ADDRESS or torchrun",
    )


def _add_quality(parser):
    add = parser.add_argument
    add(
        "--keep-best",
        action="store_true",
        help="measure samples while training, and leave the model with the best: its Fréchet "
        "distance to real images, on features of a small classifier where there are labels, or of "
        "pixels",
    )
    add(
        "--evaluate-every",
        type=positive,
        metavar="EPOCHS",
        help="epochs between such measurements; by default there are about 20 in a run",
    )
    add(
        "--stop-after",
        type=positive,
        metavar="N",
        help="end training after N such measurements without gain",
    )


def _add_folder(parser):
    add = parser.add_argument
    add("--out", type=folder, default=default_out(parser.name), help="folder of the run")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add(
        "--resume",
        action="store_true",
        help="continue the run in --out after its last checkpoint, with the arguments that it was "
        "started with; if there is no run, begin one",
    )
    add(
        "--checkpoint-every",
        type=positive,
        metavar="EPOCHS",
        help="epochs between checkpoints; by default as often as costs less than 2%% of the time",
    )
    add("--tensorboard", action="store_true", help="write curves and pictures to --out/tensorboard")


def in_words(settings):
    """Return one text of dictionaries of options, by their titles, for the end of --help."""

    def words(value):
        return " ".join(map(str, value)) or "none" if isinstance(value, list) else value

    return ". ".join(
        f"{title}: " + ", ".join(f"{name} {words(value)}" for name, value in values.items())
        for title, values in settings.items()
    )


def default_out(name):
    """Return the folder that a script writes to if none is named."""
    return pathlib.Path("runs") / name


class Number:
    """Type of an argument that is a number of one kind between two bounds; NaN is in no bounds."""

    def __init__(self, kind, words, low, high, includes_low=False):
        self.kind, self.words = kind, words
        self.low, self.high, self.includes_low = low, high, includes_low

    def __call__(self, text):
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if not (self.low < value < self.high or (self.includes_low and value == self.low)):
            raise argparse.ArgumentTypeError(f"{text[:40]} is not {self.words}")
        return value


# Integers have 32 bits in the frameworks, and their floats are those of float32.
positive = Number(int, "a positive integer below 2^31", 0, 2**31)
seed = Number(int, "an integer in [0, 2^31)", 0, 2**31, includes_low=True)
positive_float = Number(float, "a positive, finite number", 1e-38, 3e38)
not_negative = Number(float, "a finite number that is not negative", 0, 3e38, includes_low=True)
fraction = Number(float, "a number between 0 and 1", 0, 1)
momentum = Number(float, "a number in [0, 1)", 0, 1, includes_low=True)


def folder(text):
    """Return the path of a folder, which need not be there."""
    path = pathlib.Path(text)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # Each command says what it needs.
    except (OSError, ValueError) as error:  # A name of 300 characters.
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{text[:40]!r}... names no folder: {reason}") from error
    return path


def folder_name(text):
    """Return the path of a folder as it is typed; `config.json` holds it."""
    folder(text)
    return text


def output_file(text, suffix=""):
    """Return the path of a file that can be written, as it is typed."""
    folder(text)
    path = pathlib.Path(text)
    endings = (suffix,) if isinstance(suffix, str) else suffix
    if suffix and path.suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"{text[:100]} does not end in {' or '.join(endings)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that is not there"
        raise argparse.ArgumentTypeError(f"{text} {problem}")
    return text


def data_set(text):
    """Return the name of a data set, or the path of images, as it is typed."""
    if not DATA_SET.fullmatch(text) and not is_path(text):
        raise argparse.ArgumentTypeError(
            f"{text[:100]!r} is no folder or file, and not the name of a data set, such as digits, "
            f"mnist or emnist/letters"
        )
    return text


def is_path(dataset):
    """Return whether a --dataset is a folder or file of images: one that is there.

    A folder of that name in which TFDS has prepared a set, as with --data-dir . , is none.
    """
    path = os.path.expanduser(dataset)
    return dataset not in OWN and os.path.exists(path) and not _is_prepared(pathlib.Path(path))


def _is_prepared(path):
    versions = ("[0-9]*.*.*/dataset_info.json", "*/[0-9]*.*.*/dataset_info.json")
    return path.is_dir() and any(found for version in versions for found in path.glob(version))


def check_preview(args):
    """Give a --preview its folder; raise ValueError on options that do not go with it."""
    if not args.preview:
        return
    for name in ("resume", "distribute"):
        if getattr(args, name):
            reason = {
                "resume": "starts anew",
                "distribute": "stops by the clock, which is not the same in all processes",
            }
            raise ValueError(f"--preview {reason[name]}. Leave out --{name}.")
    args.out = args.out / "preview"


def check_keep_best(args):
    """Raise ValueError on --keep-best with --distribute, and on --evaluate-every without a use."""
    if args.evaluate_every and not (args.keep_best or args.stop_after):
        raise ValueError(
            "--evaluate-every is how often --keep-best and --stop-after measure samples. Add one "
            "of them, or leave it out."
        )
    if args.keep_best and args.distribute:
        raise ValueError(
            "--keep-best reads the best model from --out, which is not the same folder in all "
            "processes. Leave out --distribute."
        )


def check_images(args):
    """Raise ValueError on options for images of one's own where there are none, and on --out there.

    What a run draws would be among the images of the next.
    """
    if is_path(args.dataset):
        place = pathlib.Path(args.dataset).expanduser().resolve()
        if args.out.resolve().is_relative_to(place):
            raise ValueError(
                f"--out {args.out} lies in --dataset {args.dataset}: the pictures of the run would "
                f"be among its images. Name a folder elsewhere."
            )
    if len(args.size or ()) > 2:
        raise ValueError(f"--size has {len(args.size)} numbers. Pass one, or height and width.")
    given = [name for name in IMAGE_OPTIONS if getattr(args, name)]
    if given and not is_path(args.dataset):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(
            f"{options}: for images of your own, and {args.dataset} is no folder or archive that "
            f"is there. Pass the path of one by --dataset."
        )
