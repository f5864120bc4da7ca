"""report.html of a run: written while it trains and at its end, and never a reason to fail."""

import contextlib
import time

from train import config, defaults, results

SHARE = 0.03  # Of the time of the training, at most, in which the report is written.


class Report:
    """The report of a run, and the facts about it that only this process knows.

    Args:
        out: folder of the run.
        every: epochs between pictures, after each of which the report is written.
        facts: what report.json holds from the beginning.
    """

    def __init__(self, out, every, facts):
        self.out, self.every, self.facts = out, every, facts
        self.seconds = self.cost = 0.0  # That the report has taken, and its last writing.
        self.start = self.written = None
        self.failed = False

    def callback(self):
        """Return the callback that writes the report; its place is after all that write files."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_train_begin=self._begin, on_epoch_begin=self._first, on_epoch_end=self._next
        )

    def write(self, state, **facts):
        """Write report.json and report.html; print the reason if that fails."""
        from keras_gen import distribution

        if not distribution.is_chief():
            return
        start = time.perf_counter()
        since = start - (self.written or start)
        self.facts |= facts
        if self.start is not None:
            self.facts["seconds"] = round(self.before + start - self.start, 1)
        try:
            from keras_gen import report

            results.write_json(self.out / report.FACTS, self.facts)
            report.write(self.out, state, seconds=since)
        except Exception as error:  # The run is worth more than a page about it.
            if not self.failed:
                print(f"report.html is not written: {error}")
            self.failed = True
        self.written = time.perf_counter()
        self.cost = self.written - start
        self.seconds += self.cost

    def finish(self, take):
        """Write the report of a finished run, with the facts that `take` returns."""
        start = time.perf_counter()
        try:
            facts = take()
        except Exception as error:  # The model is saved, and is worth more.
            print(f"The report goes without its last pictures: {error}")
            facts = {}
        self.seconds += time.perf_counter() - start
        self.write("finished", **facts)
        of = self.facts.get("seconds")
        share = f", {self.seconds / of:.1%} of the run" if of else ""
        print(f"The report took {self.seconds:.1f} s{share}.")

    def _begin(self, logs):
        self.before, self.start = 0.0, time.perf_counter()
        # A run that goes on has been trained for some time. The file may be damaged.
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            self.before = float(results.read_json(self.out / "report.json").get("seconds", 0.0))

    def _first(self, epoch, logs):
        if self.written is None:  # Not earlier: the pictures of before are there.
            self.write("training")
            if not self.failed and self.written:
                print(f"Watch the run in {self.out / 'report.html'}", flush=True)

    def _next(self, epoch, logs):
        if (epoch + 1) % self.every or self.written is None:  # None in all processes but the first.
            return
        # Where epochs are short, some pictures come with the next report.
        if self.cost <= SHARE * (time.perf_counter() - self.written):
            self.write("training")


def facts(args, name, model, train, test):
    """Return what a report says of the data, the model and the settings of train.`name`."""
    sets = {"training": train, "test": test}
    # Of a stream only the number of batches is known.
    data = {name: getattr(part, "num_examples", None) for name, part in sets.items()}
    data["shape"] = list(model.example_shape)
    if hasattr(train, "centres"):
        data["modes"] = len(train.centres)
    return {
        "data": data,
        "model": type(model).__name__,
        "parameters": model.count_params(),
        "defaults": defaults.of_run(config.content(name, args), data["training"]),
    }
