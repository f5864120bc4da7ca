"""Run folders made by hand, as the training scripts leave them."""

import json

import numpy as np

from keras_gen import pictures

VAE = {
    **{"dataset": "digits", "network": "mlp", "latent_dim": 10, "epochs": 40, "seed": 0},
    **{"beta": 1.0, "warm_up": None, "free_bits": 0.0, "learning_rate": 1e-3, "out": "runs/vae"},
}
GAN = {
    **{"dataset": "digits", "network": "dcgan", "latent_dim": 32, "epochs": 40, "seed": 0},
    **{"loss": "non_saturating", "penalty": [], "packing": 1, "conditional": False},
    **{"augment": "none", "generator_learning_rate": 5e-4, "discriminator_learning_rate": 5e-4},
}


def write(path, history=None, metrics=None, facts=None, frames=0, kind="vae", **arguments):
    """Write a run folder; `history` maps columns to values, `frames` are pictures of samples."""
    (path / "samples").mkdir(parents=True)
    settings = {**(VAE if kind == "vae" else GAN), **arguments}
    config = {
        "command": f"python -m train.{kind} --seed 0",
        "arguments": settings,
        "backend": "jax",
        "versions": {"python": "3.11", "jax": "0.10"},
    }
    (path / "config.json").write_text(json.dumps(config))
    if history:
        lines = zip(*history.values(), strict=True)
        rows = [",".join(map(str, (i, *values))) for i, values in enumerate(lines)]
        header = ",".join(("epoch", *history))
        (path / "history.csv").write_text("\n".join([header, *rows]) + "\n")
    for name, content in (("metrics.json", metrics), ("report.json", facts)):
        if content is not None:
            (path / name).write_text(json.dumps(content))
    for epoch in range(frames):
        draw(path / "samples" / f"epoch_{epoch:04d}.png", shade=epoch)
    return path


def draw(path, shade=0, side=32):
    picture = np.full((side, side, 3), shade % 256, "uint8")
    picture[: side // 2] = 255
    pictures.save_png(path, picture)


def settling(epochs, start, end, pace=4.0):
    """Return values that go from `start` to `end`, and stay there."""
    return [end + (start - end) * float(np.exp(-i / pace)) for i in range(epochs)]
