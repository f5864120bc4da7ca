import contextlib
import difflib
import hashlib
import importlib.util
import io
import os
import random
import tempfile
import threading

import numpy as np
import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.extractor import ExtractError
from tensorflow_datasets.core.download.resource import get_dl_fname
from tensorflow_datasets.core.utils import tqdm_utils

from keras_gen.data.digits import Digits

# Left alone, TFDS tries for minutes before it gives up on a network that is not there.
PROBE_SECONDS = 5


def prepare(builder, manual_dir, download):
    downloads = os.path.join(builder.data_dir_root, "downloads")
    missing = _missing(builder, manual_dir, downloads)
    if missing and not (download and _answers(missing[0])):
        reason = f"{missing[0]} does not answer" if download else "download=False"
        raise FileNotFoundError(
            f"Data set {builder.name!r} is not prepared in {builder.data_path}, and {reason}.\n"
            "Connect to a network, pass data_dir= (or set TFDS_DATA_DIR) where it is prepared, or "
            f"manual_dir= with its files: {_file_names(missing)}."
        )
    try:
        with _kept_random_state():
            _prepare(builder, manual_dir, downloads, download)
    except Exception:
        # Another process may have been quicker: TFDS's last step is to rename a folder.
        if not is_prepared(builder):
            raise


def find(name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        pass
    except Exception as error:  # What is damaged raises errors of protobuf, JSON, Unicode, ...
        _check_files(name, data_dir, error)
        # For an unknown name the message of TFDS fills a screen; for an unknown config it is good,
        # and for an unknown version, an AssertionError, too.
        if "Parsing builder name string" not in str(error):
            raise ValueError(str(error)) from error
    if os.path.isdir(name):
        raise ValueError(
            f"{name!r} is a folder, and `load` reads the data sets of TFDS by name. Read your own "
            f"images by kg.data.folder({name!r})."
        )
    known = tfds.list_builders(with_community_datasets=False)
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        f"There is no data set {name!r}, and no folder of that name here. {hint}Pass "
        '"digits" or a name that tfds.list_builders() gives.'
    )


def _check_files(name, data_dir, error):
    """Raise ValueError if a set that is known was not found only because its files are damaged."""
    with tempfile.TemporaryDirectory() as empty:
        try:
            builder = tfds.builder(name, data_dir=empty)
        except Exception:
            return
        folder = os.path.join(
            data_dir or tfds.core.constants.DATA_DIR, os.path.relpath(builder.data_path, empty)
        )
    reason = str(error).rsplit('": ', 1)[-1].splitlines()[0]
    raise ValueError(
        f"Data set {name!r} cannot be read; dataset_info.json in {folder} is damaged: {reason}\n"
        f"Remove that folder, and the set is prepared again."
    ) from error


def is_prepared(builder):
    return (builder.data_path / "dataset_info.json").exists()


def as_array_record(builder):
    """Return the line of Python that prepares a data set to be read without TensorFlow."""
    return (
        f'tensorflow_datasets.builder("{builder.name}", data_dir=..., '
        'file_format="array_record").download_and_prepare()'
    )


def _missing(builder, manual_dir, downloads):
    """Return the URLs still to be downloaded, and verify the files that are there."""
    if manual_dir is not None and not os.path.isdir(manual_dir):
        raise FileNotFoundError(
            f"`manual_dir` is {os.fspath(manual_dir)!r}, which is not a folder. Pass the folder "
            f"that holds the original files of {builder.name!r}."
        )
    manual_dir = manual_dir or os.path.join(downloads, "manual")  # TFDS looks there too.
    missing = []
    for url, info in (builder.url_infos or {}).items():
        given = os.path.join(manual_dir, info.filename or "")
        cached = get_dl_fname(url, info.checksum)
        if os.path.isfile(given):
            _verify(given, info.checksum, builder.name, url)
        elif not any(
            os.path.exists(os.path.join(downloads, folder, cached)) for folder in ("", builder.name)
        ):
            missing.append(url)
    return missing


def _verify(path, expected, name, url):
    with open(path, "rb") as file:
        came = hashlib.file_digest(file, "sha256").hexdigest()
    if came != expected:
        raise ValueError(
            f"{path} is not the original file of data set {name!r}: its sha256 is {came} "
            f"instead of {expected}.\nReplace it with {url}, or give each data set a manual_dir of "
            "its own."
        )


def _file_names(urls):
    names = [url.rsplit("/", 1)[-1] for url in urls[:4]]
    return ", ".join(names) + (f" and {len(urls) - 4} more" if len(urls) > 4 else "")


def _answers(url):
    # In a thread, because looking up a name has no time limit of its own.
    answers = []

    def ask():
        with contextlib.suppress(requests.RequestException):
            answers.append(requests.head(url, timeout=PROBE_SECONDS))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers)


def _prepare(builder, manual_dir, downloads, download):
    try:
        os.makedirs(downloads, exist_ok=True)
        # TFDS knows an extracted file by its name alone, and MNIST, Fashion-MNIST and KMNIST use
        # the same four names: an extraction is removed with the set that it was made for.
        extracted = tempfile.TemporaryDirectory(dir=downloads, prefix="extracted_")
    except OSError as error:
        raise PermissionError(
            f"Data set {builder.name!r} must be prepared once, but {builder.data_dir_root} cannot "
            "be written to.\nPass data_dir=, or set TFDS_DATA_DIR to another folder."
        ) from error
    own = isinstance(builder, Digits)
    # It is read without TensorFlow, but TFDS installs its reader on Linux alone.
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    array_record = (own or not has_tensorflow) and importlib.util.find_spec("array_record")
    with extracted, _silence() if own else contextlib.nullcontext():
        try:
            builder.download_and_prepare(
                file_format="array_record" if array_record else None,
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(
                    extract_dir=extracted.name,
                    manual_dir=manual_dir,
                    try_download_gcs=False,
                    force_checksums_validation=not download,
                ),
            )
        except (ImportError, ExtractError) as error:
            if has_tensorflow:
                raise
            raise ImportError(
                f"TFDS unpacks and prepares data set {builder.name!r} with TensorFlow, which is "
                "not installed.\nInstall tensorflow, or prepare the set once where it is "
                f"installed, by {as_array_record(builder)}"
            ) from error


@contextlib.contextmanager
def _kept_random_state():
    # TFDS draws names of temporary folders: the first run would differ from all others.
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextlib.contextmanager
def _silence():
    bars = tqdm_utils._active
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(bars)
