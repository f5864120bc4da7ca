"""Time the same training on images in memory and on images read from their file on disk.

Start it under a limit of memory, such as `systemd-run --scope -p MemoryMax=1G` sets, so that the
file does not fit into what the system keeps of it.
"""

import argparse
import statistics
import tempfile
import time

import keras

import keras_gen as kg
from train import environment
from train.benchmark.growth_point import peak_mb

EPOCHS = 3  # Timed, after one that also compiles.


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.benchmark.cached", description=__doc__)
    parser.add_argument("folder", help="your images, all of one size")
    parser.add_argument("where", choices=("memory", "disk"), help="where the decoded images are")
    args = parser.parse_args(argv)
    environment.keep_memory()
    with tempfile.TemporaryDirectory() as place:
        cache = place if args.where == "disk" else None
        train, _ = kg.data.folder(args.folder, labels=False, batch_size=64, cache=cache)
        shape = train[0].shape[1:]
        model = kg.VAE(*kg.networks.conv_vae(shape, 64), likelihood="gaussian")
        model.compile(keras.optimizers.Adam(1e-3))
        seconds = []
        for _ in range(1 + EPOCHS):
            start = time.perf_counter()
            model.fit(train, epochs=1, shuffle=False, verbose=0)
            seconds.append(time.perf_counter() - start)
    speed = train.num_examples / statistics.median(seconds[1:])
    print(
        f"{keras.config.backend()}, {train.num_examples:,} images {shape} on {args.where}: "
        f"{speed:,.0f} images a second, at most {peak_mb():,.0f} MB"
    )


if __name__ == "__main__":
    main()
