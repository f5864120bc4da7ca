"""The command-line options that the scripts share."""

import argparse
import math
import pathlib

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


def training_parser(description, name, epochs, datasets="digits, or the TFDS name of an image set"):
    """Return a parser with the options that all training scripts have."""
    parser = Parser(name, description)
    _add_data(parser, datasets)
    _add_training(parser, epochs)
    _add_folder(parser)
    # What the process finds out: the number of devices, and where the checkpoints are.
    parser.set_defaults(devices=1, checkpoints=None)
    return parser


def _add_data(parser, datasets):
    add = parser.add_argument
    add("--dataset", default="digits", help=datasets)
    add("--data-dir", help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    add("--manual-dir", help="folder with the original files of a data set, for no download")


def _add_training(parser, epochs):
    add = parser.add_argument
    add("--epochs", type=positive, default=epochs, help="passes over the training set")
    add("--batch-size", type=positive, default=128, help="images per step")
    add(
        "--sample-every",
        type=positive,
        help="epochs between pictures; by default about 15 pictures are drawn",
    )
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


def _add_folder(parser):
    add = parser.add_argument
    add("--out", type=pathlib.Path, default=default_out(parser.name), help="folder of the run")
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
    add("--tensorboard", action="store_true", help="write the pictures to --out/tensorboard too")


def default_out(name):
    """Return the folder that a script writes to if none is named."""
    return pathlib.Path("runs") / name


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive integer")
    return value


def finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{value} is not a finite number")
    return value


def positive_float(text):
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is not a positive, finite number")
    return value


def fraction(text):
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 1")
    return value


def seed(text):
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not in [0, 2^31)")
    return value
