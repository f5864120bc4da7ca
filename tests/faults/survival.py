"""Count what a run survives and where it goes: one row for each backend and model."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from concurrent import futures

from tests.faults import devices, hostile, pairs
from train.reproduce.rows import AtLeast

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "jax", "torch")
# Seconds in all, in epochs of a tenth of a second or less: a run that is killed in one of them
# must not be over by then. A checkpoint after each, and pictures now and then.
EPOCHS = {"vae": 160, "gan": 40}
COMMON = "--latent-dim 3 --sample-every 20 --checkpoint-every 1".split()
ARGUMENTS = {
    "vae": ["--hidden", "16", *COMMON],
    "gan": ["--network", "mlp", "--batch-size", "256", *COMMON],
}


def table(data_dir=None):
    """Return a row for each backend, model and column."""
    models = [(b, m) for b in BACKENDS if importlib.util.find_spec(b) for m in ARGUMENTS]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TFDS_DATA_DIR", data_dir or f"{folder}/data")
        # The same steps are compiled in every process.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/jax")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        _prepare_data()
        # A run keeps one core busy.
        with ctrl_c_is_handled(), futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            counts = pool.map(lambda pair: _counts(*pair, pathlib.Path(folder, *pair)), models)
            for (backend, model), counted in zip(models, counts, strict=True):
                for name, (good, tried) in counted.items():
                    rows.append(AtLeast(f"{backend} {model}", name, good, tried))
    return rows


def markdown(rows):
    """Return the table of docs/reproduced.md from what `table` returns."""
    lines = [f"| backend | model | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}"]
    for start in range(0, len(rows), len(COLUMNS)):
        of_model = rows[start : start + len(COLUMNS)]
        backend, model = of_model[0].name.split()
        cells = [f"{row.obtained} / {row.published}" for row in of_model]
        lines.append(f"| {backend} | `train.{model}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def kills(backend, model, folder, count=20, seed=0):
    """Count the kills of one run at random moments, each resumed from, that lost no checkpoint."""
    start, of_an_epoch = _finish(backend, model, folder / "reference")
    moments = random.Random(f"{seed} {backend} {model}")
    out, survived = folder / "killed", 0
    for i in range(count):
        before = last_whole(out)
        if i % 4 == 3:  # Anywhere, importing included.
            moment = {"seconds": moments.uniform(0, start)}
        else:  # Within some epoch, each kill in a later one.
            share = moments.uniform(i, i + 1) / count
            epoch = max(before + 1, int(share * (EPOCHS[model] - 3)) + 1)
            seconds = moments.uniform(0, 2 * of_an_epoch)
            moment = {"after": f"Epoch {epoch}/", "seconds": seconds}
        code, text = _stopped(backend, model, out, signal.SIGKILL, **moment)
        resumed = re.search(r"after epoch (\d+)", text)
        began_at = int(resumed[1]) if resumed else 0
        went_on = "Epoch " not in text or began_at == before  # Else it was killed before.
        survived += code == -signal.SIGKILL and went_on and last_whole(out) >= before
    _finish(backend, model, out)
    return survived, count


def identical(backend, model, folder, out="killed"):
    """Count which of weights, history, metrics, pictures of a killed run are the other's."""
    ends = [_contents(folder / name) for name in ("reference", out)]
    return sum(ends[0][key] == ends[1][key] for key in ends[0]), len(ends[0])


def ctrl_c(backend, model, folder):
    """Press Ctrl-C while training: check exit code, the message how to go on, and the same end."""
    out = folder / "interrupted"
    code, text = _stopped(backend, model, out, signal.SIGINT, after="Epoch 9/", seconds=0)
    said = f"To continue after the last checkpoint: python -m train.{model} --resume" in text
    stopped = code == 130 and said and last_whole(out) > 0
    _finish(backend, model, out)
    same, of = identical(backend, model, folder, "interrupted")
    return int(stopped and same == of), 1


def bad_inputs(backend, model, folder):
    """Count bad inputs and full disks that are refused or reported, with nothing lost."""
    outcomes = json.loads(
        _last_line(backend, "-m", "tests.faults.bad_input", model, folder / "inputs")
    )
    for name, failure in outcomes.items():
        if failure:
            print(f"{backend} {model}: {name}: {failure}", file=sys.stderr)
    return sum(failure is None for failure in outcomes.values()), len(outcomes)


def hostile_files(backend, model, folder):
    """Count the files that want to run or read something else and are refused."""
    return hostile.hostile_files(backend, model, folder / "hostile")


def other_backends(backend, model, folder):
    """Count the backends that load a model file of this one and train a step further."""
    with _one_at_a_time:  # All backends are asked at the first call.
        return pairs.cross_backend(backend, model, folder.parents[1] / "pairs")


def exports(backend, model, folder):
    """Count the functions in SavedModel and ONNX files that agree with the model of a run."""
    program = "import sys; from train import export; print(*export.targets(sys.argv[1]))"
    good, tried = _last_line(backend, "-c", program, folder / "reference").split()
    return int(good), int(tried)


def two_devices(backend, model, folder):
    """Count the ways of training on two devices that end where one device ends."""
    return devices.two_devices(backend, model, folder / "devices")


_one_at_a_time = threading.Lock()

# Each (backend, model, folder) -> (good, tried), in this order.
COLUMNS = {
    "kills survived": kills,
    "same weights, history, metrics, pictures": identical,
    "Ctrl-C": ctrl_c,
    "bad input refused": bad_inputs,
    "hostile files refused": hostile_files,
    "loaded and trained on other backends": other_backends,
    "exports that agree": exports,
    "ways to two devices": two_devices,
}


def last_whole(out):
    """Return the epoch of the last checkpoint that agrees with its checksum, 0 without one."""
    epochs = [0]
    for path in (out / "checkpoint").glob("epoch_*.json"):
        with contextlib.suppress(OSError, ValueError):
            manifest = json.loads(path.read_text())
            content = path.with_suffix(".keras").read_bytes()
            if hashlib.sha256(content).hexdigest() == manifest["sha256"]["keras"]:
                epochs.append(manifest["epoch"])
    return max(epochs)


def _counts(backend, model, folder):
    folder.mkdir(parents=True)
    counts = {}
    for name, column in COLUMNS.items():
        good, tried = counts[name] = column(backend, model, folder)
        print(f"{backend} {model}: {name} {good} / {tried}", flush=True)
    return counts


def _last_line(backend, *arguments):
    """Return the last line that a Python program prints; RuntimeError if it fails."""
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=_environment(backend),
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(process.stderr)
    return process.stdout.splitlines()[-1]


def _environment(backend):
    return {
        **os.environ,
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _prepare_data():
    """Prepare the digits once, or the runs that are killed would do so at the same time."""
    program = 'import keras_gen; keras_gen.data.load("digits")'
    backend = next(name for name in reversed(BACKENDS) if importlib.util.find_spec(name))
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=_environment(backend), check=True)


@contextlib.contextmanager
def _running(backend, model, out):
    """Yield the process of a run that begins or goes on, and the file of its output."""
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.parent / f"{out.name}.log"
    command = [sys.executable, "-m", f"train.{model}", "--resume", *ARGUMENTS[model]]
    command += ["--epochs", str(EPOCHS[model])]
    with (
        open(log, "wb") as file,
        subprocess.Popen(
            [*command, "--out", str(out)],
            cwd=ROOT,
            env=_environment(backend),
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.kill()


@contextlib.contextmanager
def ctrl_c_is_handled():
    """Handle Ctrl-C here and in what is started here; a program in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _finish(backend, model, out):
    """Run to the end; return the seconds to the first epoch, and those of an epoch."""
    with _running(backend, model, out) as (process, log):
        start = time.perf_counter()
        _wait_for(process, log, "Epoch ")
        trains = time.perf_counter()
        _wait_for(process, log, f"Epoch {EPOCHS[model]}/")
        trained = time.perf_counter()
        if process.wait() != 0:
            raise RuntimeError(f"train.{model} on {backend} failed:\n{log.read_text()[-2000:]}")
        return trains - start, (trained - trains) / EPOCHS[model]


def _stopped(backend, model, out, number, seconds, after=None):
    """Run, and send a signal some seconds after a text is printed; return exit code and output."""
    with _running(backend, model, out) as (process, log):
        if after:
            _wait_for(process, log, after)
        time.sleep(seconds)
        process.send_signal(number)
        return process.wait(), log.read_text(errors="replace")


def _wait_for(process, log, text):
    while text.encode() not in log.read_bytes() and process.poll() is None:
        time.sleep(0.005)


def _contents(out):
    """Return what a run leaves, without what tells one folder from another."""
    import h5py
    import numpy as np

    weights = {}
    with zipfile.ZipFile(out / "model.keras") as archive:
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:

            def read(name, node):
                if isinstance(node, h5py.Dataset):
                    weights[name] = np.asarray(node).tobytes()

            file.visititems(read)
    return {
        "weights": weights,
        "history": (out / "history.csv").read_bytes(),
        "metrics": (out / "metrics.json").read_bytes(),
        "pictures": {path.name: path.read_bytes() for path in sorted(out.glob("**/*.png"))},
    }
