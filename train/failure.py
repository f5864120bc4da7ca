"""Train three games on the same data, and draw what becomes of them.

For each data set: samples at five moments, and curves of what the discriminator says, of both
losses and of the norm of the generator's gradient. Thin lines are the values where a discriminator
that is optimal cannot tell samples from data: D = 1/2.
"""

import argparse
import dataclasses
import pathlib

from train import building, environment, gan, options

GAMES = {
    "ring": {
        "minimax": "--loss minimax --penalty",
        "non-saturating": "--loss non_saturating --penalty",
        "default: relativistic, R1 and R2": "",
    },
    "mnist": {
        "minimax": "--no-conditional --loss minimax",
        "non-saturating": "--no-conditional",
        "default: non-saturating, with labels": "",
    },
}
STEPS = {"ring": 2500, "mnist": 400}
EPOCHS = 100  # Parts of a run; each is a point of the curves.
SHOWN = (2, 10, 30, 60, 100)  # After which of them samples are drawn.


@dataclasses.dataclass
class Game:
    """What is left of a run."""

    name: str
    loss: str
    history: dict
    samples: list  # Arrays, one for each of SHOWN.
    at_equilibrium: tuple  # The losses of D and of G where D(x) = D(G(z)) = 1/2.


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.failure", description=__doc__)
    add = parser.add_argument
    add("--dataset", choices=GAMES, nargs="+", default=list(GAMES), help="default: both")
    add("--steps", type=options.positive, help="default: 2500 of the ring, 400 of mnist")
    add("--seed", type=options.seed, default=0)
    add("--data-dir", type=options.folder_name, help="where TFDS keeps MNIST (else TFDS_DATA_DIR)")
    add("--out", type=pathlib.Path, default=pathlib.Path("runs/failure"), help="for the pictures")
    args = parser.parse_args(argv)
    environment.quiet_tensorflow()
    environment.keep_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    for dataset in args.dataset:
        steps = args.steps or STEPS[dataset]
        games = [play(dataset, name, steps, args) for name in GAMES[dataset]]
        for kind, draw in {"": draw_samples, "_curves": draw_curves}.items():
            path = args.out / f"failure_{dataset}{kind}.png"
            draw(path, games, steps)
            print(path)


def play(dataset, name, steps, args):
    """Train a game by the options of `train.gan` that make it."""
    import keras
    from keras import ops

    from train.gradients import GradientNorm, MeasuredAdam

    settings = gan.make_parser().parse_args(["--dataset", dataset, *GAMES[dataset][name].split()])
    settings.seed, settings.data_dir = args.seed, args.data_dir
    gan.settle(settings)
    train = load(settings, steps)
    keras.utils.set_random_seed(args.seed)
    num_classes = 10 if settings.conditional else None
    model = building.build(settings, train.x.shape[1:], num_classes, steps)
    g_adam = building.adam(settings, settings.generator_learning_rate, steps)
    d_adam = building.adam(settings, settings.discriminator_learning_rate, steps)
    model.compile(MeasuredAdam.from_config(g_adam.get_config()), d_adam)
    samples = []

    def sample(epoch, logs):
        if epoch + 1 in SHOWN:
            samples.append(draw(model, 1000 if dataset == "ring" else 25, args.seed))

    print(f"{dataset}, {name}: {steps} steps", flush=True)
    history = model.fit(
        train,
        epochs=EPOCHS,
        steps_per_epoch=max(1, steps // EPOCHS),
        verbose=0,
        callbacks=[GradientNorm(), keras.callbacks.LambdaCallback(on_epoch_end=sample)],
    ).history
    loss, zeros = model.adversarial_loss, ops.zeros(1)
    losses = loss.discriminator_loss(zeros, zeros), loss.generator_loss(zeros, zeros)
    at_equilibrium = tuple(float(ops.convert_to_numpy(value)[0]) for value in losses)
    return Game(name, settings.loss, history, samples, at_equilibrium)


def load(settings, steps):
    """Return the training data; of points as many as are read in one pass."""
    import keras_gen as kg

    if settings.dataset == "ring":
        batch_size = settings.batch_size
        return kg.data.ring(steps * batch_size, batch_size=batch_size, seed=settings.seed)
    return gan.load(settings)[0]


def draw(model, n, seed):
    import numpy as np

    y = {} if model.num_classes is None else {"y": np.arange(n) % model.num_classes}
    return model.sample(n, seed=seed, **y)


def draw_samples(path, games, steps):
    """Draw the samples of a game in a row, from the first to the last."""
    from matplotlib.figure import Figure

    import keras_gen as kg

    figure = Figure(figsize=(2.1 * len(SHOWN), 2.35 * len(games)), dpi=100, layout="constrained")
    for row, game in zip(figure.subplots(len(games), len(SHOWN)), games, strict=True):
        for axes, epoch, samples in zip(row, SHOWN, game.samples, strict=True):
            if samples.shape[1:] == (2,):
                axes.scatter(*kg.data.ring(8, sigma=1e-9).centres.T, s=120, color="0.85", lw=0)
                axes.scatter(*samples.T, s=2, color="black", lw=0)
                axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
            else:
                axes.imshow(kg.callbacks.image_grid(samples, padding=0))
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"step {epoch * (steps // EPOCHS):,}", fontsize=9)
        row[0].set_ylabel(game.name.replace(": ", ":\n"), fontsize=9)
    figure.savefig(path)


def draw_curves(path, games, steps):
    """Draw D, the losses and the norm of G's gradient, a game in each row."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.7 * len(games)), dpi=100, layout="constrained")
    grid = figure.subplots(len(games), 3, sharex=True, squeeze=False)
    x = (np.arange(EPOCHS) + 1) * (steps // EPOCHS)
    norms = [game.history["g_gradient"] for game in games]
    for (of_d, of_losses, of_norm), game in zip(grid, games, strict=True):
        history = game.history
        if "p_real" in history:
            of_d.plot(x, history["p_real"], label="D(x)")
            of_d.plot(x, history["p_fake"], label="D(G(z))")
        else:  # Outputs are compared with each other alone.
            told_apart = np.exp(-np.array(history["d_loss"]))
            of_d.plot(x, told_apart, label="D(x) above D(G(z)): exp(-loss of D)")
        of_d.axhline(0.5, color="0.5", lw=0.8)
        of_d.set(ylim=(-0.03, 1.03), title=game.name)
        names = {"d_loss": "loss of D", "g_loss": "loss of G"}
        for i, (name, label) in enumerate(names.items()):
            of_losses.plot(x, history[name], color=f"C{i}", label=label)
            of_losses.axhline(game.at_equilibrium[i], color=f"C{i}", lw=0.8, ls="--")
        of_losses.set(title="losses, nats")
        of_norm.plot(x, history["g_gradient"], color="C2")
        limits = 0.7 * np.min(norms), 1.4 * np.max(norms)
        of_norm.set(yscale="log", ylim=limits, title="norm of G's gradient")
        for axes in (of_d, of_losses):
            axes.legend(frameon=False, fontsize=8)
        for axes in (of_d, of_losses, of_norm):
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set(xlabel="step")
    figure.savefig(path)


if __name__ == "__main__":
    main()
