"""Runs the tests once per installed backend, one after the other, and adds them up.

python -m tests [--fast | --studies | --browser] [--workers N] [pytest arguments]
"""

import argparse
import collections
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

# What is run once runs on the first.
BACKENDS = ("torch", "tensorflow", "jax")

# Tests compile much and compute little: XLA then compiles in a third of the time. Its softplus
# and exp are as precise as without, which they are not at optimization level 0.
QUICK_XLA = (
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_llvm_disable_expensive_passes=true"
)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--studies", action="store_true", help="run the long studies, alone")
    parser.add_argument("--browser", action="store_true", help="run the tests in Chromium, alone")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="default: all installed"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(os.cpu_count() or 1, 4),
        help="processes that share the tests of a backend; default: one a core, at most 4",
    )
    args, pytest_args = parser.parse_known_args()
    backends = args.backend or [name for name in BACKENDS if importlib.util.find_spec(name)]
    if not backends:
        parser.exit(2, f"None of {', '.join(BACKENDS)} is installed. Install one of them.\n")
    if args.workers > 1:
        # File by file, as what the tests of one share is made once; in our order, the long first.
        pytest_args += ["-n", str(args.workers), "--dist", "loadfile", "--no-loadscope-reorder"]

    rows = []
    for backend in backends[:1] if args.browser else backends:  # A page knows no backend.
        alone = {"study": args.studies, "browser": args.browser}
        marks = [name for name, asked in alone.items() if asked]
        marks = marks or [f"not {name}" for name in alone]
        if args.fast:
            marks.append("not slow")
        if rows:
            marks.append("not once")
        rows.append(run(backend, ["-m", " and ".join(marks), *pytest_args]))
    print(f"\n{'backend':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for row in rows:
        print("{backend:<12}{passed:>8}{failed:>8}{skipped:>9}{seconds:>9.0f}".format(**row))
    passed, failed = (sum(row[key] for row in rows) for key in ("passed", "failed"))
    print(f"{passed} passed, {failed} failed", flush=True)
    # A backend whose pytest broke off, or found no test, has not passed.
    sys.exit(any(row["failed"] or row["code"] or not row["passed"] for row in rows))


def run(backend, pytest_args):
    print(f"\n== {backend}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            # Tests build the same tiny models over and over: XLA compiles each once.
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", QUICK_XLA),
        }
        start = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *pytest_args]
        code = subprocess.run(command, env=environment).returncode
        seconds = time.perf_counter() - start
        text = report.read_text() if report.exists() else ""
    suite = ElementTree.fromstring(text).find("testsuite") if text else None
    if suite is not None:
        print(f"the longest files, in seconds: {longest_files(suite)}")
    count = (
        {}
        if suite is None
        else {key: int(value) for key, value in suite.items() if value.isdigit()}
    )
    failed = count.get("failures", 0) + count.get("errors", 0)
    skipped = count.get("skipped", 0)
    return {
        "backend": backend,
        "passed": count.get("tests", 0) - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "seconds": seconds,
        "code": code,
    }


def longest_files(suite, count=15):
    """Return the files of a report that took the longest: their names and seconds."""
    seconds = collections.Counter()
    for case in suite.iter("testcase"):
        seconds[case.get("classname").removeprefix("tests.")] += float(case.get("time"))
    return ", ".join(f"{name} {value:.0f}" for name, value in seconds.most_common(count))


if __name__ == "__main__":
    main()
