"""One point of `growth`, in a process of its own.

python -m train.benchmark.growth_point AXIS VALUE STEPS FOLDER, with KERAS_BACKEND set. It prints
one line of JSON: milliseconds a step, and the largest memory of the process in MB. Data on disk are
written to the folder and stay there.
"""

import argparse
import os
import resource
import statistics
import time

import keras
import numpy as np

import keras_gen as kg
from train.benchmark.worker import say

GB = 10**9


def main(axis, value, steps, folder):
    model, data = POINTS[axis](value, steps, folder)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(data, epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)  # Compiles.
    seconds = []
    for _ in range(1 if axis in WHOLE else 3):
        start = time.perf_counter()
        model.fit(data, epochs=1, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    say(ms=1000 * statistics.median(seconds) / len(data), peak_mb=peak_mb())


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def of_batch(size, steps, folder):
    return mlp_vae(), pictures(28, int(size), steps)


def of_pixels(count, steps, folder):
    side = int(count**0.5)
    model = kg.VAE(*kg.networks.conv_vae((side, side, 1), 20, (32, 64)))
    return model, pictures(side, 16, steps)


def of_latent(size, steps, folder):
    return mlp_vae(latent_dim=int(size)), pictures(28, 128, steps)


def of_k(k, steps, folder):
    networks = kg.networks.mlp_vae((28, 28, 1), 50, (200, 200), "tanh")
    return kg.IWAE(*networks, num_samples=int(k)), pictures(28, 20, steps)


def of_memory(gigabytes, steps, folder):
    # Not zeros: a page of zeros that nobody has written needs no memory.
    x = np.full((whole_batches(gigabytes * GB / (4 * 64**2)), 64, 64, 1), 0.3, "float32")
    return mlp_vae(64, hidden=64), kg.data.ArrayDataset(x, batch_size=256)


def of_disk(gigabytes, steps, folder):
    count = whole_batches(gigabytes * GB / 64**2)
    source = File(os.path.join(folder, "images"), count, (64, 64, 1))
    return mlp_vae(64, hidden=64), kg.data.SourceDataset(source, white=255, batch_size=256)


def whole_batches(count, size=256):
    """Return about `count`: a last batch of another size would be compiled while it is timed."""
    return max(1, round(count / size)) * size


def mlp_vae(side=28, latent_dim=20, hidden=400):
    return kg.VAE(*kg.networks.mlp_vae((side, side, 1), latent_dim, (hidden,)))


def pictures(side, batch_size, steps):
    x = np.random.default_rng(0).random((batch_size, side, side, 1), "float32")
    return Again(x, steps)


class Again(keras.utils.PyDataset):
    """The same batch in every step, so the data do not grow with the batch."""

    def __init__(self, batch, steps):
        super().__init__()
        self.batch, self.steps = batch, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return self.batch


class File:
    """Random images in a file, each read when it is requested.

    Not `np.memmap`: pages that it has read count as memory of the process.
    """

    def __init__(self, path, count, shape):
        self.path, self.count, self.shape = path, count, shape
        self.size = int(np.prod(shape))
        random = np.random.default_rng(0)
        with open(path, "wb") as file:
            for start in range(0, count, 4096):
                file.write(random.bytes(min(4096, count - start) * self.size))

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        with open(self.path, "rb") as file:
            pieces = [os.pread(file.fileno(), self.size, i * self.size) for i in indices]
        return [{"image": np.frombuffer(piece, "uint8").reshape(self.shape)} for piece in pieces]


# On these axes a round is one pass over all data, whatever the steps.
WHOLE = ("in_memory", "streamed")
POINTS = {
    "batch": of_batch,
    "pixels": of_pixels,
    "latent": of_latent,
    "k": of_k,
    "in_memory": of_memory,
    "streamed": of_disk,
}


def parsed(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m train.benchmark.growth_point",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("axis", choices=POINTS)
    parser.add_argument("value", type=float, help="size; GB for data")
    parser.add_argument("steps", type=int, help="steps of a round; for data it is one pass")
    parser.add_argument("folder", help="an existing folder, for data on disk")
    args = parser.parse_args(argv)
    if args.value <= 0 or args.steps < 1:
        parser.error("value is above 0, and steps is at least 1")
    if not os.path.isdir(args.folder):
        parser.error(f"there is no folder {args.folder}")
    return args


if __name__ == "__main__":
    main(**vars(parsed()))
