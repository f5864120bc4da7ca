"""Figures of the samples of a run, next to those of real images."""

from keras_gen.report.reading import is_number

# Figures of samples as shares of their floors.
NOTHING, FAR, NEAR, LIKE = 0.2, 0.5, 0.7, 0.85
SHARES = {  # What it means if a share is lower than that of real images.
    "precision": "some samples are unlike the data",
    "recall": "samples vary less than the data",
    "coverage": "some of the data have no sample near them",
}


def shares(run):
    """Return figures of samples that are shares, {name: (ratio to real images, sentence)}."""
    found = {}
    for name, meaning in SHARES.items():
        value, floor = run.figure(name)
        if value is not None and floor:
            words = f"{name.capitalize()} is {value:.2f}, of real images {floor:.2f}."
            if value < LIKE * floor:
                words = f"{name.capitalize()} is {value:.2f}, lower than that of real images, "
                words += f"{floor:.2f}: {meaning}."
            found[name] = value / floor, words
    return found


def all_groups(run):
    """Return a sentence that samples cover all classes or modes, in a list, [] if they do not."""
    found, number, what = groups(run)
    return [f"Samples cover {found:g} of {number:g} {what}."] if 0 < number <= found else []


def groups(run):
    """Return how many modes of toy data or classes samples cover, of how many, and the word."""
    modes, samples = run.facts.get("data", {}).get("modes"), run.facts.get("samples", {})
    if is_number(modes):
        found, number, what = run.last("modes"), modes, "modes"
    else:
        found, number, what = samples.get("classes"), samples.get("classes_floor"), "classes"
    return (found, number, what) if is_number(found) and is_number(number) else (0, 0, what)


def is_noise(run):
    """Return whether samples are so far from the data that their variety says nothing."""
    precision, floor = run.figure("precision")
    return precision is not None and bool(floor) and precision < NOTHING * floor


def is_of_pixels(run):
    """Return whether the shares of samples are of pixels: those of report.json, or measured so."""
    evaluation = run.metrics.get("evaluation")
    features = evaluation.get("features") if isinstance(evaluation, dict) else None
    quick = "precision" not in run.metrics
    return run.figure("precision")[0] is not None and (quick or features == "Pixels")


def is_like_data(run):
    """Return whether figures of samples are known, and none is far from its floor."""
    ratios = [ratio for ratio, _ in shares(run).values()]
    return bool(ratios) and min(ratios) >= FAR
