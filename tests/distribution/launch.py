"""Starts a Python program on two devices of this machine: virtual ones, or two processes."""

import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

# TensorFlow has no variable for this.
TWO_CPUS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
RUN = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


def on_two_devices(engine, module, *arguments, timeout=300):
    """Runs `python -m module arguments`; returns (exit code, output) of each process.

    `engine` is "tensorflow", "jax" or "torch", or "tensorflow workers" or "jax processes".
    """
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for command, environment in commands(engine, [module, *map(str, arguments)])
    ]
    outputs = []
    try:
        for process in processes:
            output, _ = process.communicate(timeout=timeout)
            outputs.append((process.returncode, output))
    finally:
        for process in processes:
            process.kill()
    return outputs


def commands(engine, arguments):
    """Pairs of a command and the environment it takes."""
    backend = {"KERAS_BACKEND": engine.split()[0]}
    plain = [sys.executable, "-m", *arguments]
    if engine == "tensorflow":
        return [([sys.executable, "-c", TWO_CPUS + RUN, *arguments], backend)]
    if engine == "jax":
        flags = "--xla_force_host_platform_device_count=2"
        return [(plain, {**backend, "XLA_FLAGS": flags})]
    if engine == "torch":
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
        return [([sys.executable, *launch, *arguments], backend)]
    ports = free_ports(2)
    if engine == "tensorflow workers":
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        return [
            (plain, {**backend, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})
            for task in ({"type": "worker", "index": index} for index in range(2))
        ]
    coordinator = {"JAX_COORDINATOR_ADDRESS": f"localhost:{ports[0]}", "JAX_NUM_PROCESSES": "2"}
    return [(plain, {**backend, **coordinator, "JAX_PROCESS_ID": str(index)}) for index in range(2)]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
