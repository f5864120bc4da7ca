import numpy as np

from keras_gen import metrics
from keras_gen.arguments import as_sequence, check_integer
from keras_gen.callbacks.grids import EpochPicture, has_classes


class ModeCoverage(EpochPicture):
    """Counts the modes of a toy mixture that a GAN covers, every epoch, and draws its samples.

    Adds the numbers of `metrics.mode_coverage` to the logs of every epoch. So they are in the
    progress bar, in the history, and in callbacks that come after this one, such as `CSVLogger`.
    The pictures show the real points in light grey and the samples in black, in a frame around the
    real points; samples outside it are not shown.

    Args:
        data: A `kg.data.ring`, `kg.data.grid` or other mixture in the plane: an object with `x`,
            `centres`, `sigma` and `weights`.
        directory: Folder for `epoch_0001.png`, ...; it is made.
        num_samples: Samples of the model, from the same z each time.
        every: Epochs between pictures; the modes are counted in every epoch.
        seed: Seed of z, which is drawn from N(0, I).
        ema, tensorboard_dir, display: As in `SampleGrid`.

    Example:

    ```python
    train = kg.data.ring()
    gan = kg.GAN(*kg.networks.point_gan(), latent_dim=2)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    coverage = kg.callbacks.ModeCoverage(train, "runs/ring/samples")
    gan.fit(train, epochs=20, callbacks=[coverage, keras.callbacks.CSVLogger("history.csv")])
    ```
    """

    caption = "real points in grey, samples in black"
    logged = ("modes", "modes_near", "high_quality", "mode_sd", "mode_kl")

    def __init__(
        self,
        data,
        directory,
        num_samples=2500,
        every=1,
        seed=0,
        name="epoch",
        tensorboard_dir=None,
        ema=False,
        display=None,
    ):
        super().__init__(directory, every, 1, name, tensorboard_dir, display=display)
        if np.shape(data.centres)[1:] != (2,):
            raise ValueError(
                f"`data.centres` has shape {np.shape(data.centres)}. Pass a mixture in the plane: "
                f"(modes, 2)."
            )
        self.data = data
        self.num_samples = check_integer("num_samples", num_samples)
        self.seed = seed
        self.ema = ema

    def on_train_begin(self, logs=None):
        self.count()
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        self.count()
        # All callbacks get one dictionary, and Keras's own history gets it last.
        if logs is not None:
            logs.update(self.coverage)
        super().on_epoch_end(epoch, logs)

    def count(self):
        # A generator of its own, so that training draws the same with and without this callback.
        random = np.random.default_rng(self.seed)
        z = random.standard_normal((self.num_samples, *as_sequence(self.model.latent_dim)))
        arguments = {"ema": True} if self.ema else {}
        if has_classes(self.model):  # A class is a mode.
            weights = self.data.weights
            arguments["y"] = random.choice(len(weights), size=self.num_samples, p=weights)
        self.samples = self.model.generate(z.astype("float32"), **arguments)
        self.coverage = metrics.mode_coverage(
            self.samples, self.data.centres, self.data.sigma, self.data.weights
        )

    def draw(self):
        # These are slow to import. pyplot is not used, because it would keep every figure.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        real, samples = self.data.x[: self.num_samples], np.asarray(self.samples)
        low, high = real.min(axis=0), real.max(axis=0)
        margin = 0.15 * (high - low).max()
        low, high = low - margin, high + margin
        samples = samples[np.all((samples > low) & (samples < high), axis=1)]

        figure = Figure(figsize=(4.8, 4.8), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.scatter(*real.T, s=20, color="0.8", linewidths=0)
        axes.scatter(*samples.T, s=3, color="black", linewidths=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axes.set_title(
            f"{self.coverage['modes']} of {len(self.data.centres)} modes, "
            f"{self.coverage['modes_near']} near; {self.coverage['high_quality']:.1%} of high "
            f"quality"
        )
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
