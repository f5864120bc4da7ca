"""Verdicts on a run in words: each rests on numbers that it names, and says what to try.

A rule takes a `RunFolder` and returns a `Verdict`, or None where its numbers are missing or say
nothing. docs/report.md has the table of them.
"""

import math
import typing

import numpy as np

from keras_gen.report import advice, figures
from keras_gen.report.reading import is_number

LOW_RATE = 3.0  # Nats: e^3 is 20 images that z could tell apart.
SETTLED = 10  # Epochs before which a low rate may still rise.
FEW = 0.25  # Of the default number of epochs.
STILL_GAINS = 0.03  # Of the gain of the whole run, in its last quarter.
OVERFITTED = 0.05  # Of the gain of the whole run, lost since the best epoch.
SURE = 0.95  # D(x), and 1 - D(G(z)), of a discriminator that has won.
UNSURE = 0.1  # Distance of D(x) and D(G(z)) from 1/2, of a discriminator that cannot tell them.
SMALL_LOSS = 0.1  # Of D, as a share of its loss at balance.
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
    evidence: tuple  # Short sentences with the numbers that it rests on.
    advice: str = ""  # What to try.
    command: str = ""  # That tries it.
    changed: str = ""  # The part of the command that is not as in the run.
    why: str = ""  # It is the first thing to try.


def judge(run):
    """Return the verdicts on a run, first the one that matters, with what follows from it."""
    if run.state == "diverged":
        return [diverged(run)]
    if run.arguments.get("preview"):
        return [preview(run)]
    causes, effects = ([v for rule in rules if (v := rule(run))] for rules in (CAUSES, EFFECTS))
    state = [unfinished(run, causes or effects)] if run.state in ("stopped", "training") else []
    if not causes and not effects:
        return state or [good(run)]
    first, *others = causes or effects
    effects, others = (effects, others) if causes else (others, [])
    evidence = (*first.evidence, *(f"{effect.title}." for effect in effects))
    levels = {verdict.level for verdict in (first, *effects)}
    first = first._replace(level="bad" if "bad" in levels else first.level, evidence=evidence)
    # One thing at a time: only the first says what to try.
    silent = {"advice": "", "command": "", "changed": "", "why": ""}
    return [first, *(other._replace(**silent) for other in others), *state]


def preview(run):
    title = "A preview of two minutes: too early to judge"
    evidence = [f"It trained for {run.epochs} of {run.argument('epochs', 0):g} epochs."]
    evidence.append("At first samples are noise, whatever the settings are.")
    return Verdict("note", title, tuple(evidence), "Leave --preview out for the whole run.")


def unfinished(run, faults=()):
    """Return the verdict on a run that trains or was stopped, next to those on its faults."""
    of, none = f"{run.epochs} of {run.argument('epochs', 0):g} epochs", "no sign of trouble so far"
    evidence = ["Samples are measured at the end of a run: look at the film."]
    if run.column("p_real") and run.column("p_fake") and not faults:
        evidence.insert(0, _opinion(run))
    if run.state == "training":
        title = f"Training: {of} are done" + f"; {none}" * (not faults)
        return Verdict("note", title, (*evidence, "The page loads itself again."))
    title = f"Stopped after {of}" + f"; {none}, not measured" * (not faults)
    return Verdict("warning", title, tuple(evidence), "To continue it:", advice.resume(run))


def _opinion(run):
    real, fake = run.column("p_real")[-1], run.column("p_fake")[-1]
    return f"D takes real images for real with {real:.1%}, samples with {fake:.1%}."


def _fault(run, level, title, evidence, suspects, otherwise):
    """Return a verdict that puts back the first suspect that is no default, else `otherwise`.

    `otherwise` are words, or changes of settings as a dictionary.
    """
    if odd := advice.find_odd(run, suspects):
        tried = (*advice.put_back(run, next(iter(odd))), advice.explain(run, odd))
    else:
        tried = (otherwise,) if isinstance(otherwise, str) else advice.change(run, **otherwise)
    return Verdict(level, title, tuple(evidence), *tried)


def diverged(run):
    said = str(run.facts.get("message", "")).strip() or "A loss was not finite"
    said = said.splitlines()[0]
    evidence = [f"{said.split('. ')[0].rstrip('.')}."]
    evidence.append("The file model.keras holds good weights, from before the epoch that failed.")
    if any(epoch >= run.epochs for epoch, _ in run.pictures("epoch")):
        evidence.append("The newest samples below were drawn with the weights that failed.")
    rates = [name for name in run.arguments if name.endswith("learning_rate")]
    odd = [name for name in rates if advice.find_odd(run, [f"+{name}"])]
    odd = odd or [name for name in ("dtype", "beta_1") if run.differs(name)]
    words = "Look at the first batch, below: are its values as you expect? If so, try a smaller "
    words += f"{' and '.join(rates).replace('_', ' ') or 'learning rate'}."
    tried = advice.put_back(run, *odd) if odd else (words,)
    return Verdict("bad", f"Training diverged in epoch {run.epochs or 1}", tuple(evidence), *tried)


def too_short(run):
    """Judge the number of epochs: of a VAE by what it still gains, of a GAN by the default."""
    values, epochs = _held_out(run), run.argument("epochs", 0)
    default = run.defaults.get("epochs")
    if run.state != "finished":
        return None
    is_few = is_number(default) and epochs < FEW * default
    if is_few and not values and not figures.is_like_data(run):
        title = f"Too short: trained for only {epochs:g} epochs"
        title += "; samples are still noise" * figures.is_noise(run)
        level = "bad" if figures.is_noise(run) else "warning"
        return Verdict(level, title, (), *advice.put_back(run, "epochs"))
    if len(values) < 2:
        return None
    quarter = max(1, len(values) // 4)
    # Means over a quarter: the last epoch alone may be lucky.
    gain = np.mean(values[-quarter:]) - np.mean(values[-2 * quarter : -quarter] or values[:1])
    whole = max(values) - values[0]
    if gain < STILL_GAINS * whole or whole <= 0:
        return None
    when = "epoch" if quarter == 1 else f"{quarter} epochs, compared with the {quarter} before"
    evidence = f"The ELBO of held-out images rose by {gain:.3g} nats in the last {when}, and by "
    evidence += f"{whole:.3g} in all {len(values)}."
    level = "bad" if len(values) < SETTLED else "warning"
    title, more = "Too short: it still improved when it ended", {"epochs": 2 * len(values)}
    return _fault(run, level, title, [evidence], ["-epochs", "-learning_rate"], more)


def posterior_collapsed(run):
    rate, values = run.last("kl"), run.column("val_kl") or run.column("kl")
    if rate is None or rate >= LOW_RATE or run.epochs < SETTLED + run.argument("warm_up", 0):
        return None
    if values[-1] - values[-1 - len(values) // 3] > 1:  # It still rises.
        return None
    otherwise = "Try a smaller network."
    if run.argument("beta", 1) > 1:
        otherwise = {"beta": 1.0}
    elif not run.argument("warm_up") and not run.argument("iwae"):
        otherwise = {"warm_up": max(1, run.epochs // 5)}
    evidence = [
        f"Reconstructions look alike: with a rate of {rate:.2g} nats per image, the number of "
        f"images that z can tell apart is at most e^{rate:.2g} = {math.exp(rate):.2g}."
    ]
    suspects = ("+beta", "+learning_rate", "likelihood", "network")
    title = f"The posterior has collapsed, with a rate of {rate:.2g} nats"
    return _fault(run, "bad", title, evidence, suspects, otherwise)


def overfitted(run):
    values, trained = _held_out(run), run.column("elbo")
    if len(values) < SETTLED or not trained:
        return None
    best = int(np.argmax(values))
    lost, whole = values[best] - np.mean(values[-3:]), values[best] - values[0]
    if lost < OVERFITTED * whole or trained[-1] <= trained[best]:
        return None
    evidence = (
        f"The ELBO of held-out images was {values[best]:.5g} nats then and is {values[-1]:.5g} "
        f"now, while that of the training images went on rising, to {trained[-1]:.5g}.",
        "More images, or a smaller network, would help too.",
    )
    title, less = f"It overfits since epoch {best + 1}", advice.change(run, epochs=best + 1)
    return Verdict("warning", title, evidence, *less)


def discriminator_won(run):
    since, is_training = _won_since(run), run.state == "training"
    # A D that is sure at first may be caught up with, and samples of one that stays so be good.
    least = max(SETTLED, run.argument("epochs", 0) / 4 if is_training else run.epochs / 10)
    if since is None or run.epochs - since + 1 < least or figures.is_like_data(run):
        return None
    losses = f"In epoch {run.epochs} the loss of D is {run.column('d_loss')[-1]:.2g} and that of G "
    losses += f"{run.column('g_loss')[-1]:.3g}. From a D that is never wrong G learns little."
    suspects = ("+discriminator_learning_rate", "-generator_learning_rate", "+d_steps")
    has_penalty = run.arguments.get("penalty")
    return _fault(
        run,
        "warning" if is_training else "bad",
        f"The discriminator has won since epoch {since}",
        [losses, *([_opinion(run)] if run.column("p_real") else [])],
        suspects,
        "Try a smaller --discriminator-learning-rate." if has_penalty else {"penalty": ["r1"]},
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


def copied(run):
    copies, _ = run.figure("copies")
    if copies is None or copies < COPIES:
        return None
    return Verdict(
        "warning",
        f"{copies:.0%} of the samples are nearly copies of training images",
        ("They are nearer to a training image than 99% of held-out images are.",),
        "Try more images, --augment diff_augment, or a smaller network.",
    )


def unlike_data(run):
    precision, floor = run.figure("precision")
    if precision is None or not floor or precision >= figures.FAR * floor:
        return None
    level = "bad" if precision < figures.NOTHING * floor else "warning"
    title = f"Many samples are unlike the data: precision {precision:.2f}, of real images "
    evidence = ["Precision is the share of the samples that lie among real images."]
    if not figures.is_noise(run):
        others = figures.shares(run) | {"precision": (0, "")}
        evidence += [words for _, words in others.values() if words]
        evidence += figures.all_groups(run)
    return _fault(run, level, f"{title}{floor:.2f}", evidence, _suspects(run), _other(run))


def few_groups(run):
    found, number, what = figures.groups(run)
    if found >= number or figures.is_noise(run):
        return None
    how = "A mode counts with one sample within three sigma of its centre."
    if what == "classes":
        how = f"Of {run.facts['samples'].get('n')} samples, by the nearest training image. A class "
        how += "counts with a tenth of its share of the data."
    level = "bad" if found < figures.NEAR * number else "warning"
    title = f"Samples cover {found:g} of {number:g} {what}"
    return _fault(run, level, title, [how], _suspects(run), _other(run))


def little_variety(run):
    recall, floor = run.figure("recall")
    if recall is None or not floor or recall >= figures.FAR * floor or figures.is_noise(run):
        return None
    level = "bad" if recall < figures.NOTHING * floor else "warning"
    title = f"Samples vary too little: recall {recall:.2f}, of real images {floor:.2f}"
    evidence = ["Recall is the share of real images that lie among samples."]
    return _fault(run, level, title, evidence, _suspects(run), _other(run))


def good(run):
    """Return the verdict on a run of which no other rule complains: good, if numbers say so."""
    reasons, groups, shares = [], figures.all_groups(run), figures.shares(run)
    ratios = [ratio for ratio, _ in shares.values()]
    if run.last("kl") is not None and run.epochs >= SETTLED and _held_out(run):
        reasons.append(f"The ELBO of held-out images has settled, at {run.last('elbo'):.5g} nats.")
        reasons.append(f"z tells images apart, with a rate of {run.last('kl'):.3g} nats per image.")
    if run.state == "finished" and (reasons or groups or max(ratios, default=0) >= figures.NEAR):
        reasons += [words for _, words in shares.values()]
        if shares and figures.is_of_pixels(run):
            reasons.append("These shares are of pixels, which favour blur: look at the samples.")
        verdict = Verdict("good", "No fault found", (*reasons, *groups))
        if min(ratios, default=1) >= figures.LIKE:
            return verdict
        suspects, otherwise, why = _suspects(run), _other(run), ""
        has_beta = run.argument("beta") and not run.argument("iwae")
        if min(shares, key=shares.get) == "recall" and has_beta:
            suspects = ["+beta" if name == "beta" else name for name in suspects]
            otherwise = {"beta": run.argument("beta") / 2}
            why = "Why: z tells more then, so samples vary more. Precision may fall."
        tried = _fault(run, "good", verdict.title, verdict.evidence, suspects, otherwise)
        words = tried.advice.replace("Try", "To improve it, try", 1)
        return tried._replace(advice=words, why=tried.why or why)
    words = "A GAN's losses do not tell." if run.kind == "gan" else "It is too short."
    title = "No number here says how good it is"
    return Verdict("note", title, (words,), "To measure it:", advice.evaluate(run))


CAUSES = (too_short, posterior_collapsed, overfitted, discriminator_won, copied)
EFFECTS = (unlike_data, little_variety, few_groups)


def _held_out(run):
    """Return the ELBO of held-out images after each epoch, [] where it means nothing yet."""
    values = run.column("val_elbo")
    is_whole = run.epochs > run.argument("warm_up", 0) and all(map(math.isfinite, values))
    return values if is_whole else []


def _suspects(run):
    """Return the settings that may explain bad samples, the likeliest first."""
    if run.kind == "vae":
        return ("beta", "learning_rate", "-epochs", "latent_dim", "network")
    real, fake = (run.column(name) or [math.nan] for name in ("p_real", "p_fake"))
    # At 1/2 D cannot tell samples from data, so it is not too strong.
    is_unsure = max(abs(real[-1] - 0.5), abs(fake[-1] - 0.5)) < UNSURE
    of_d = "-discriminator_learning_rate" if is_unsure else "+discriminator_learning_rate"
    rates = ("+generator_learning_rate", of_d, "generator_learning_rate")
    return (*rates, "conditional", "-epochs", "network", "loss", "penalty")


def _other(run):
    """Return what to try against bad samples where no setting is odd."""
    if run.kind == "vae":
        is_plain = run.arguments.get("prior") == "standard_normal" and not run.argument("free_bits")
        fitted = (
            "Train with --prior standard_normal, then `train.evaluate RUN --fit-prior mixture`."
        )
        return {"prior": "flow"} if is_plain else fitted
    if run.arguments.get("loss") == "relativistic":
        return "Try a larger network."
    is_plain = run.argument("packing", 1) == 1 and run.arguments.get("augment") == "none"
    return {"packing": 2} if is_plain else {"recipe": "r3gan"}
