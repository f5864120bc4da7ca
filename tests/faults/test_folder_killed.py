"""A run over a folder, with workers, that is killed inside an epoch ends as one that is not."""

import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_gen as kg
from tests.data.test_folder import photos
from tests.helpers import weights_of

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]


class Kill(keras.callbacks.Callback):
    """Kills the process in the second step of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, workers=1, callbacks=()):
    """Return the weights after four epochs of three batches."""
    keras.utils.set_random_seed(0)
    data, _ = kg.data.folder(folder, batch_size=8, flip=True, test=0)
    data.workers = workers
    vae = kg.VAE(*kg.networks.mlp_vae((6, 8, 3), 2, hidden=(4,)), seed=1)
    vae.compile("adam")
    vae.fit(data, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))
    return weights_of(vae)


def main(folder, checkpoints):
    train(folder, workers=2, callbacks=[Kill(), kg.callbacks.Checkpoint(checkpoints, every=1)])


def test_weights_are_the_same_to_the_bit(tmp_path, capsys):
    folder, checkpoints = photos(tmp_path / "photos", each=12), tmp_path / "checkpoints"
    command = [sys.executable, "-m", __name__, str(folder), str(checkpoints)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = train(folder, workers=2, callbacks=[kg.callbacks.Checkpoint(checkpoints)])
    assert "after epoch 2." in capsys.readouterr().out
    for others in (train(folder), train(folder, workers=2)):
        for ours, theirs in zip(resumed, others, strict=True):
            np.testing.assert_array_equal(ours, theirs)


if __name__ == "__main__":
    main(*sys.argv[1:])
