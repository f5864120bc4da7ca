"""Verdicts on a run in words: each rests on numbers that it names, and says what to try.

A rule takes a `RunFolder` and returns a `Verdict`, or None where its numbers are missing or say
nothing. docs/report.md has the table of them.
"""

import math
import typing

import numpy as np

from keras_gen.report.reading import is_number

LOW_RATE = 3.0  # Nats: e^3 is 20 images that z could tell apart.
SETTLED = 10  # Epochs before which a low rate may still rise.
STILL_GAINS = 0.03  # Of the gain of the whole run, in its last quarter.
OVERFITTED = 0.05  # Of the gain of the whole run, lost since the best epoch.
SURE = 0.95  # D(x), and 1 - D(G(z)), of a discriminator that has won.
SMALL_LOSS = 0.1  # Of D, as a share of its loss at balance.
# Figures of samples as shares of their floors.
NOTHING, FAR, NEAR = 0.2, 0.5, 0.7
COPIES = 0.1  # Share of the samples; 0.01 of real images are as near.
LOG_2 = math.log(2)
# Losses of D and G where D cannot tell samples from data.
BALANCE = {
    "non_saturating": (2 * LOG_2, LOG_2),
    "minimax": (2 * LOG_2, -LOG_2),
    "relativistic": (LOG_2, LOG_2),
    "least_squares": (0.25, 0.125),
    "hinge": (2.0, 0.0),
}


class Verdict(typing.NamedTuple):
    """One thing to know about a run."""

    level: str  # "bad", "warning", "good", or "note" for what is none of them.
    title: str
    evidence: str  # The numbers that it rests on.
    advice: str = ""  # What to try.


def judge(run):
    """Return the verdicts on a run, the gravest first, at least one."""
    if run.state == "diverged":
        return [diverged(run)]
    causes, effects = ([v for rule in rules if (v := rule(run))] for rules in (CAUSES, EFFECTS))
    if any(verdict.level in ("bad", "warning") for verdict in causes):
        effects = [verdict._replace(advice="") for verdict in effects]  # First mend the cause.
    found = [*causes, *effects]
    if not any(verdict.level in ("bad", "warning") for verdict in found):
        found.append(good(run))
    order = ("bad", "warning", "good", "note")
    return sorted(found, key=lambda verdict: order.index(verdict.level))


def diverged(run):
    said = str(run.facts.get("message") or "A loss was not finite.").strip()
    rates = [name for name in run.arguments if name.endswith("learning_rate")]
    smaller = [
        f"--{r.replace('_', '-')} {run.argument(r) / 4:.3g}" for r in rates if run.argument(r)
    ]
    return Verdict(
        "bad",
        f"Training diverged in epoch {run.epochs or 1}",
        f"{said.splitlines()[0]} The file model.keras holds the weights from before.",
        f"{' '.join(smaller)}. And look at the first batch, below: are its values as you expect?",
    )


def unfinished(run):
    epochs = run.argument("epochs", 0)
    if run.state == "training":
        words = "What stands here is of the run so far. The page loads itself again."
        return Verdict("note", f"Training: epoch {run.epochs} of {epochs:g} is done", words)
    if run.state == "stopped":
        return Verdict(
            "warning",
            f"The run was stopped after {run.epochs} of {epochs:g} epochs",
            "There is no metrics.json, which a run writes last.",
            f"To continue: python -m train.{run.kind} --resume --out {run.path}",
        )


def still_improves(run):
    values = _held_out(run)
    if len(values) < 2 or run.state == "training":
        return None
    quarter = max(1, len(values) // 4)
    # Means over a quarter: the last epoch alone may be lucky.
    gain = np.mean(values[-quarter:]) - np.mean(values[-2 * quarter : -quarter] or values[:1])
    whole = max(values) - values[0]
    if gain < STILL_GAINS * whole or whole <= 0:
        return None
    return Verdict(
        "bad" if len(values) < SETTLED else "warning",
        "Too short: it was still improving when it ended",
        f"The ELBO of held-out images rose by {gain:.3g} nats in the last quarter of the epochs, "
        f"and by {whole:.3g} in all {len(values)}.",
        f"--epochs {4 * len(values)}",
    )


def posterior_collapsed(run):
    rate, values = run.last("kl"), run.column("val_kl") or run.column("kl")
    if rate is None or rate >= LOW_RATE or run.epochs < SETTLED + run.argument("warm_up", 0):
        return None
    if values[-1] - values[-1 - len(values) // 3] > 1:  # It still rises.
        return None
    beta = run.argument("beta", 1)
    return Verdict(
        "bad",
        f"Rate {rate:.2g} nats: the posterior has collapsed",
        f"The rate is the KL from q(z|x) to p(z). With {rate:.2g} nats z tells apart at "
        f"most e^{rate:.2g} = {math.exp(rate):.2g} images, so reconstructions look alike.",
        _one_of(
            beta > 1 and f"a smaller --beta than {beta:g}",
            not run.argument("warm_up") and f"--warm-up {max(1, run.epochs // 5)}",
            not run.argument("free_bits") and "--free-bits 0.25",
            "a smaller network",
        ),
    )


def overfitted(run):
    values, trained = _held_out(run), run.column("elbo")
    if len(values) < SETTLED or not trained:
        return None
    best = int(np.argmax(values))
    lost, whole = values[best] - np.mean(values[-3:]), values[best] - values[0]
    if lost < OVERFITTED * whole or trained[-1] <= trained[best]:
        return None
    return Verdict(
        "warning",
        f"It overfits since epoch {best + 1}",
        f"The ELBO of held-out images was {values[best]:.5g} nats then and is {values[-1]:.5g} "
        f"now, while that of the training images went on rising, to {trained[-1]:.5g}.",
        f"--epochs {best + 1}, a smaller network, or more images.",
    )


def discriminator_won(run):
    since, is_training = _won_since(run), run.state == "training"
    # A D that is sure at first may be caught up with, and samples of one that stays so be good.
    least = max(SETTLED, run.argument("epochs", 0) / 4 if is_training else run.epochs / 10)
    if since is None or run.epochs - since + 1 < least or _is_like_data(run):
        return None
    numbers = f"the loss of D is {run.column('d_loss')[-1]:.2g} and that of G "
    numbers += f"{run.column('g_loss')[-1]:.3g}"
    if run.column("p_real"):
        real, fake = run.column("p_real")[-1], run.column("p_fake")[-1]
        numbers += f"; D takes real images for real with {real:.1%}, samples with {fake:.1%}"
    return Verdict(
        "warning" if is_training else "bad",
        f"The discriminator has won since epoch {since}",
        f"In epoch {run.epochs} {numbers}. From a D that is never wrong G learns little.",
        _one_of(
            not run.arguments.get("penalty") and "--penalty r1, which holds D back",
            "a quarter of --discriminator-learning-rate",
            run.arguments.get("augment") in (None, "none") and "--augment diff_augment",
        ),
    )


def _won_since(run):
    """Return since which epoch D was never wrong and G did not gain, or None."""
    d, g = run.column("d_loss"), run.column("g_loss")
    real, fake = run.column("p_real"), run.column("p_fake")
    balance = BALANCE.get(str(run.arguments.get("loss")))
    if not (d and g and balance) or run.arguments.get("recipe") == "wgan":
        return None
    won = [loss < SMALL_LOSS * balance[0] for loss in d]
    if real and fake:
        won = [w and r > SURE and f < 1 - SURE for w, r, f in zip(won, real, fake, strict=True)]
    if not won[-1]:
        return None
    since = len(won) - next((i for i, w in enumerate(reversed(won)) if not w), len(won))
    return since + 1 if np.mean(g[-3:]) >= g[since] else None


def unlike_data(run):
    precision, floor = run.figure("precision")
    if precision is None or not floor or precision >= FAR * floor:
        return None
    return Verdict(
        "bad" if precision < NOTHING * floor else "warning",
        f"Many samples are unlike the data: precision {precision:.2f}, of real images {floor:.2f}",
        "Precision is the share of the samples that lie among real images.",
        "A --prior that fits the codes better, such as vamp or flow."
        if run.kind == "vae"
        else _one_of(run.epochs < 50 and f"--epochs {4 * run.epochs}", "a larger network", RECIPE),
    )


def little_variety(run):
    recall, floor = run.figure("recall")
    if recall is None or not floor or recall >= FAR * floor or _is_noise(run):
        return None
    return Verdict(
        "bad" if recall < NOTHING * floor else "warning",
        f"Samples vary too little: recall {recall:.2f}, of real images {floor:.2f}",
        "Recall is the share of real images that lie among samples.",
        _against_collapse(run),
    )


def few_groups(run):
    """Judge the modes of toy data, or the classes of images, that samples cover."""
    samples, modes = run.facts.get("samples", {}), run.facts.get("data", {}).get("modes")
    how = "A mode counts with one sample within three sigma of its centre."
    found, number, what = run.last("modes"), modes, "modes"
    if not is_number(modes):
        found, number, what = samples.get("classes"), samples.get("classes_floor"), "classes"
        how = (
            f"Of {samples.get('n')} samples, by the label of the training image that is nearest. A "
            f"class counts with a tenth of its share of the data."
        )
    if not is_number(found) or not is_number(number) or found >= number or _is_noise(run):
        return None
    level = "bad" if found < NEAR * number else "warning"
    return Verdict(
        level, f"Samples cover {found:g} of {number:g} {what}", how, _against_collapse(run)
    )


def copied(run):
    copies, _ = run.figure("copies")
    if copies is None or copies < COPIES:
        return None
    return Verdict(
        "warning",
        f"{copies:.0%} of the samples are nearly copies of training images",
        "They are nearer to a training image than 99% of held-out images are.",
        "More images, --augment diff_augment, or a smaller network.",
    )


def good(run):
    """Return the verdict on a run of which no other rule complains: good, if numbers say so."""
    reasons = []
    if run.last("kl") is not None and run.epochs >= SETTLED and _held_out(run):
        reasons.append(f"the ELBO of held-out images has settled, at {run.last('elbo'):.5g} nats")
        reasons.append(f"z tells images apart, with a rate of {run.last('kl'):.3g} nats")
    for name in ("precision", "recall", "coverage"):
        value, floor = run.figure(name)
        if value is not None and floor and value >= NEAR * floor:
            reasons.append(f"{name} is {value:.2f}, of real images {floor:.2f}")
    samples, modes = run.facts.get("samples", {}), run.facts.get("data", {}).get("modes")
    for name, value, number in (
        ("classes", samples.get("classes"), samples.get("classes_floor")),
        ("modes", run.last("modes"), modes),
    ):
        if is_number(value) and is_number(number) and value >= number:
            reasons.append(f"samples cover {value:g} of {number:g} {name}")
    if run.state == "finished" and reasons:
        text = "; ".join(reasons)
        return Verdict("good", "Good, by the numbers there are", f"{text[0].upper()}{text[1:]}.")
    if run.state == "training":
        words = (
            "The losses so far show no fault. Samples are measured at the end: look at the film."
        )
        return Verdict("note", "No verdict yet", words)
    return Verdict(
        "note",
        "No number here says how good it is",
        "The losses of a GAN's players do not tell." if run.kind == "gan" else "It is too short.",
        f"python -m train.evaluate {run.path}",
    )


RECIPE = "--recipe r3gan"
CAUSES = (unfinished, still_improves, posterior_collapsed, overfitted, discriminator_won)
EFFECTS = (unlike_data, few_groups, little_variety, copied)


def _held_out(run):
    """Return the ELBO of held-out images after each epoch, [] where it means nothing yet."""
    values = run.column("val_elbo")
    is_whole = run.epochs > run.argument("warm_up", 0) and all(map(math.isfinite, values))
    return values if is_whole else []


def _is_noise(run):
    """Return whether samples are so far from the data that their variety says nothing."""
    precision, floor = run.figure("precision")
    return precision is not None and bool(floor) and precision < NOTHING * floor


def _is_like_data(run):
    """Return whether figures of samples are known, and none is far from its floor."""
    pairs = [run.figure(name) for name in ("precision", "recall", "coverage")]
    pairs = [(value, floor) for value, floor in pairs if value is not None and floor]
    return bool(pairs) and all(value >= FAR * floor for value, floor in pairs)


def _against_collapse(run):
    if run.kind == "vae":
        return "A --prior that fits the codes better, such as vamp or flow."
    return _one_of(
        run.argument("packing", 1) == 1 and "--packing 2",
        run.arguments.get("loss") != "relativistic" and RECIPE,
        not run.arguments.get("conditional") and "--conditional, if the data have labels",
        "a smaller --discriminator-learning-rate",
    )


def _one_of(*tries):
    return f"One of: {', '.join(filter(None, tries))}."
