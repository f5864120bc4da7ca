"""pythae's VAE under its own trainer, with its own network, and its `get_nll`."""

import contextlib
import logging
import os
import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from train.benchmark import with_torch


def rounds(name, case, x, jit):
    """Return a function that makes one round; there is nothing to compile."""
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=case.latent_dim, reconstruction_loss="bce")
    make = likelihoods if name == "nll" else trained
    return make(case, x, config)


def trained(case, x, config):
    """Return an epoch of its trainer, without what that writes to disk after the last one."""
    logging.disable(logging.INFO)  # In this process.
    x = torch.from_numpy(x).reshape(-1, 1, 28, 28)  # The trainer moves them to a GPU.
    data = BaseDataset(x, torch.zeros(len(x)))
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=case.batch, learning_rate=1e-3
        )
        trainer = BaseTrainer(VAE(config), data, training_config=settings)
        trainer.prepare_training()

    def epoch():
        with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
            return float(trainer.train_step(1))  # With a progress bar.

    return epoch


class Encoder(BaseEncoder):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        mean, log_var = self.network(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, z):
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


def likelihoods(case, x, config):
    with_torch.use_gpu()
    x = with_torch.on_device(x.reshape(-1, 1, 28, 28))
    encoder, decoder = with_torch.encoder_and_decoder(case)
    model = VAE(config, Encoder(encoder), Decoder(decoder))

    @torch.no_grad()
    def estimate():
        return model.get_nll(x, n_samples=case.num_samples, batch_size=500)

    return estimate
