"""The callback that measures samples while a model is trained, and keeps the best weights."""

import json
import math
import time

import keras
import numpy as np

from keras_gen import distribution, door, files
from keras_gen.arguments import check_integer, check_path
from keras_gen.callbacks.grids import drawing_arguments
from keras_gen.metrics.samples import HIGHER_IS_BETTER, check_names, compare, describe, take

SAMPLES = 1000  # Of a measurement.


class SampleQuality(keras.callbacks.Callback):
    """Measures samples next to real images while a model is trained, and keeps the best weights.

    Adds figures of `kg.metrics.quality` to the logs, by name: so they are in the progress bar, the
    history, and in callbacks that come after this one, such as `CSVLogger` and `EarlyStopping`.
    Real images and samples are as many on both sides, and the samples come from the same z each
    time; a model with classes draws them with the labels of real images, if `data` has labels, else
    with all classes in turn. Training draws the same noise with and without this callback.

    Samples that are NaN or infinite count as a measurement without gain. With a `Checkpoint`
    after it, a `fit` that goes on knows the best figure so far, also if it came after the
    checkpoint. Where several processes train, they must share the folder of `keep_best`: all of
    them measure and the first one writes.

    Args:
        data: Real images, best held-out ones: an array, or data as `fit` accepts, such as
            `kg.data.load` gives. 2 * `samples` of them are used, in random order: half for each
            figure, the other half for the floors. They are drawn from all of an array or of a set
            of `kg.data`, and no others are read. Of a stream, such as a `tf.data.Dataset`, they are
            the first ones: shuffle it if it is sorted.
        metrics: Names of figures as in `kg.metrics.quality`, without those that need the
            training images; the first decides what is best.
        features: As in `kg.metrics.quality`.
        every: Epochs between measurements; the last epoch always has one. In the others the
            figures are NaN, with which Keras's `EarlyStopping` and the like do not work.
        samples: Samples of a measurement; by default 1,000, or half as many as `data` holds if
            that is less. 1,000 MNIST digits cost about a second on a CPU with "frechet" and a
            `kg.features.Classifier`, most of it for drawing them: where an epoch is as short, let
            `every` be more than 1.
        keep_best: Path of a `.keras` file for the model, with moving averages and optimizers, as
            it was at its best figure; it is written again at each gain. The figure and its epoch
            are next to it, in a file whose name ends in `.keras.json`.
        stop_after: Measurements without gain after which training ends.
        seed: Seed of the samples, as in `sample`.
        ema: True measures the images of a GAN's averaged weights, False those of the raw ones.

    Attributes:
        best: The best figure so far.
        best_epoch: The number of epochs trained at that time.
        floors: The figures of real images in place of samples, by name.
        seconds: Time that the measurements of the last `fit` took, in all.

    Raises:
        ValueError: By `fit`, before training, if the figures cannot be computed.

    Example:

    ```python
    quality = kg.callbacks.SampleQuality(
        test, metrics=("frechet", "recall"), samples=16, keep_best="best.keras", stop_after=10
    )
    vae.fit(train, epochs=100, callbacks=[quality])
    best = kg.saving.load_model("best.keras")
    ```
    """

    checkpointed = ("best", "best_epoch", "waited")

    def __init__(
        self,
        data,
        metrics=("frechet",),
        features=None,
        every=1,
        samples=None,
        keep_best=None,
        stop_after=None,
        seed=0,
        ema=False,
    ):
        super().__init__()
        self.metrics = self.logged = check_names(metrics)
        self.features = features
        self.every = check_integer("every", every)
        self.samples = None if samples is None else check_integer("samples", samples, least=10)
        self.keep_best = self.note = None
        if keep_best is not None:
            self.keep_best = check_path("keep_best", keep_best, ".keras")
            self.note = self.keep_best.with_suffix(".keras.json")
        self.stop_after = None if stop_after is None else check_integer("stop_after", stop_after)
        self.seed = seed
        self.ema = ema
        self.data = data

    def on_train_begin(self, logs=None):
        self.best, self.best_epoch, self.waited = None, 0, 0
        self.has_begun = False
        self.read()
        # Here, so that what cannot be measured raises before training.
        untrained = self.measure()
        missing = [name for name in self.metrics if name not in untrained]
        if missing:
            raise ValueError(
                f"SampleQuality cannot measure {', '.join(missing)}: a classifier's figures need "
                f"features=kg.features.Classifier, and copies the training images, which "
                f"`kg.metrics.quality(train=...)` takes."
            )
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        # Not earlier: a `Checkpoint`, which comes later, restores its state as training begins.
        if self.keep_best is not None and not self.has_begun:
            self.take_up(epoch)
        self.has_begun = True

    def on_epoch_end(self, epoch, logs=None):
        figures = dict.fromkeys(self.metrics, math.nan)
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if is_last or (epoch + 1) % self.every == 0:
            start = time.perf_counter()
            figures = self.measure()
            self.judge(figures[self.metrics[0]], epoch + 1)
            self.seconds += time.perf_counter() - start
        # All callbacks get one dictionary, and Keras's own history gets it last.
        if logs is not None:
            logs.update(figures)

    def read(self):
        """Describe the real images: half of them for the figures, half for the floors."""
        x, y = door.some(self.data, 2 * (self.samples or SAMPLES))
        if len(x) < 20:
            raise ValueError(f"`data` holds {len(x)} examples. Pass at least 20.")
        if hasattr(self.model, "check_data"):
            self.model.check_data(x)  # Of another shape or range they would be far from any sample.
            has_classes = y is not None and self.model.num_classes is not None
            y = self.model.labels(y, len(x)) if has_classes else None
        self.rows = len(x) // 2
        if self.samples is not None and self.rows < self.samples:
            raise ValueError(
                f"A measurement of {self.samples} samples needs {2 * self.samples} real examples, "
                f"and `data` holds {len(x)}. Pass samples={self.rows}."
            )
        real = describe(x, self.features)
        self.real = take(real, slice(self.rows))
        others = slice(self.rows, 2 * self.rows)  # In whose place the samples are measured.
        self.labels, others = None if y is None else y[others], take(real, others)
        self.floors = compare(self.real, others, self.metrics)

    def measure(self):
        """Return the figures of the model as it is, by name."""
        arguments = drawing_arguments(self.model, self.rows, self.ema, self.labels)
        samples = self.model.sample(self.rows, seed=self.seed, **arguments)
        if not np.isfinite(samples).all():
            return dict.fromkeys(self.metrics, math.nan)
        return compare(self.real, describe(samples, self.features), self.metrics)

    def judge(self, figure, epochs):
        """Keep the model if it is the best so far; end training if it has not been for long."""
        if self.is_gain(figure):
            self.best, self.best_epoch, self.waited = figure, epochs, 0
            if self.keep_best is not None:
                self.save()
            return
        self.waited += epochs > self.best_epoch  # Up to there, a `fit` that goes on repeats epochs.
        if self.stop_after is not None and self.waited >= self.stop_after:
            print(
                f"\nEpoch {epochs}: {self.waited} measurements without gain. The best "
                f"{self.metrics[0]} was {self.best}, after epoch {self.best_epoch}."
            )
            self.model.stop_training = True

    def is_gain(self, figure):
        sign = -1 if self.metrics[0] in HIGHER_IS_BETTER else 1
        return math.isfinite(figure) and (self.best is None or sign * figure < sign * self.best)

    def take_up(self, epoch):
        """Take the best figure from its file, which may be newer than the checkpoint."""
        if epoch == 0:  # The files are another run's.
            if distribution.is_chief():
                self.note.unlink(missing_ok=True)
        elif self.note.exists() and self.keep_best.exists():
            kept = json.loads(self.note.read_text())
            if kept["metric"] == self.metrics[0] and self.is_gain(kept["figure"]):
                self.best, self.best_epoch, self.waited = kept["figure"], kept["epoch"], 0

    def save(self):
        if not distribution.is_chief():
            self.model.save(self.keep_best)  # Takes part, and writes nothing.
            return
        self.keep_best.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(self.keep_best) as path:
            self.model.save(path)
        kept = {"metric": self.metrics[0], "figure": float(self.best), "epoch": self.best_epoch}
        with files.whole(self.note) as path:
            path.write_text(json.dumps(kept))
