"""What `python -m train.gan --dataset mnist` trains, without its pictures and its run folder."""

import time

import keras

import keras_gen as kg
from train import building, devices, gan, quality, speed, study
from train.reproduce.peers import worker


def settings(seed=0):
    """Return the options of the default recipe."""
    args = gan.make_parser().parse_args(["--dataset", "mnist", "--seed", str(seed)])
    gan.settle(args)
    return args


def recipe(seed, x, y):
    """Train; return the facts that the worker prints, and the function that draws samples."""
    args = settings(seed)
    train = kg.data.ArrayDataset(
        x, y if args.conditional else None, batch_size=args.batch_size * args.d_steps, seed=seed
    )
    train.drop_remainder = True
    keras.utils.set_random_seed(seed)
    shape, num_classes = devices.describe(train, args.conditional)
    gan.fill_in_by_data(args, train, shape)
    steps = args.epochs * len(train)
    model = building.build(args, shape, num_classes, steps)
    rates = args.generator_learning_rate, args.discriminator_learning_rate
    model.compile(
        generator_optimizer=building.adam(args, rates[0], steps, args.ema),
        discriminator_optimizer=building.adam(args, rates[1], steps * args.d_steps),
        jit_compile=speed.jit_compile(args, gan.family(args)),
    )
    clock = Clock()
    model.fit(train, epochs=args.epochs, shuffle=False, verbose=2, callbacks=[clock])
    ema = quality.is_averaged(args)
    return clock.facts(steps), lambda labels: study.sample(model, ema, labels, seed)


class Clock(keras.callbacks.Callback):
    """Notes when training began, when its first step was done, and when it ended."""

    def on_train_begin(self, logs=None):
        self.begin, self.first = time.perf_counter(), None

    def on_train_batch_end(self, batch, logs=None):
        if self.first is None:
            self.first, self.cpu = time.perf_counter(), time.process_time()

    def on_train_end(self, logs=None):
        self.end, self.cpu = time.perf_counter(), time.process_time() - self.cpu

    def facts(self, steps):
        return worker.facts(steps, self.begin, self.first, self.end, self.cpu)
