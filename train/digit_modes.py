"""The modes of Stacked MNIST that samples have, by a classifier of MNIST's digits."""

import functools

import keras

SAMPLES = 26_000  # Of the protocol: VEEGAN (Srivastava et al., 2017) and PacGAN.
STEPS, COPIES = 10_000, 2  # Of the classifier's training; moved copies of the digits.
LOGGED = ("modes", "mode_kl")


class DigitModes(keras.callbacks.Callback):
    """Adds the modes of a GAN's samples, and their KL, to the logs of every few epochs.

    Args:
        args: Those of the run. In epochs between two of `args.sample_every` the numbers are NaN.
    """

    logged = LOGGED

    def __init__(self, args):
        super().__init__()
        self.args = args
        classifier(args.data_dir, args.manual_dir)  # Before training, as it may take minutes.

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.args.sample_every and epoch + 1 < self.params["epochs"]:
            logs |= dict.fromkeys(LOGGED, float("nan"))
            return
        found = of_model(self.model, self.args, self.args.seed)
        logs |= {name: found[name] for name in LOGGED}


def of_model(gan, args, seed):
    """Return what `of_images` does, for samples of the GAN of a run with these arguments."""
    from keras_gen.callbacks.grids import drawing_arguments

    arguments = drawing_arguments(gan, SAMPLES, ema=args.ema is not None)
    images = gan.sample(SAMPLES, seed=seed, **arguments)
    return of_images(images, args.data_dir, args.manual_dir)


def of_images(images, data_dir=None, manual_dir=None):
    """Return `modes` of 1,000, `mode_kl` in nats, and the `classifier_accuracy`."""
    import numpy as np

    import keras_gen as kg

    judge = classifier(data_dir, manual_dir)
    digits = [judge.probabilities(images[..., i, None]).argmax(1) for i in range(3)]
    coverage = kg.metrics.class_coverage(np.stack(digits, axis=1) @ [100, 10, 1])
    return {**coverage, "classifier_accuracy": judge.accuracy}


@functools.cache
def classifier(data_dir=None, manual_dir=None):
    """Return a classifier of 99.3% of MNIST's test digits: it trained on moved ones, too."""
    import numpy as np

    import keras_gen as kg

    print("The modes are counted by a classifier of MNIST's digits. It is trained once: 2 minutes.")
    where = {"data_dir": data_dir, "manual_dir": manual_dir}
    train, test = kg.data.load("mnist", labels=True, **where)
    x = np.concatenate([train.x, *(moved(train.x, seed) for seed in range(COPIES))])
    y = np.tile(train.y, 1 + COPIES)
    return kg.features.Classifier.fit(x, y, test.x, test.y, steps=STEPS)


def moved(x, seed):
    """Return images that are moved by up to two pixels along each axis, at random."""
    import numpy as np

    sides = np.random.default_rng(seed).integers(-2, 3, size=(2, len(x)))
    rows, columns = (np.arange(x.shape[1])[None] - side[:, None] for side in sides)
    each = np.arange(len(x))[:, None, None]
    return x[each, rows[:, :, None] % x.shape[1], columns[:, None, :] % x.shape[2]]
