"""The processes that are timed, and the machine that they run on."""

import contextlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys

BACKENDS = ("tensorflow", "jax", "torch")


class Worker:
    """A process that runs a module of this folder and answers in lines of JSON."""

    def __init__(self, module, backend, *arguments):
        self.name = f"{module} {' '.join(map(str, arguments))} on {backend}"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", f"train.benchmark.{module}"]
            + list(map(str, arguments)),
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "KERAS_BACKEND": backend},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def round(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        for text in self.process.stdout:
            with contextlib.suppress(ValueError):  # Libraries print as well.
                facts = json.loads(text)
                if isinstance(facts, dict):
                    return facts
        sys.exit(f"{self.name} ended with exit code {self.process.wait()}. Its error is above.")


def exit_on_sigterm():
    """End on SIGTERM as on an error: the workers end, and their folders are deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def installed(name):
    return importlib.util.find_spec(name) is not None


def machine():
    """Return the names of the processor and the GPUs, and the number of cores."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        name = next(row for row in file if row.startswith("model name")).split(":")[1].strip()
    return ", ".join([name, f"{len(os.sched_getaffinity(0))} cores", *gpus()])


def gpus():
    """Return the names of NVIDIA's GPUs, as their driver gives them."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):  # There is no driver, or it does not answer.
        return []
    return answer.stdout.splitlines() if answer.returncode == 0 else []
