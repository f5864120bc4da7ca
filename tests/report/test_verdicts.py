"""Each verdict, by a history that is made to deserve it and by one that barely does not."""

import math
import pathlib

import pytest

from keras_gen.report import RunFolder, advice, judge
from tests.report.folders import GAN, VAE, settling

pytestmark = pytest.mark.once

LIKE_REAL = {
    **{"precision": 0.8, "precision_floor": 0.9, "recall": 0.8, "recall_floor": 0.9},
    **{"coverage": 0.9, "coverage_floor": 0.95, "n": 500, "classes": 10, "classes_floor": 10},
}


def run(kind="vae", history=None, samples=LIKE_REAL, state="finished", metrics=None, **changes):
    facts = {"samples": samples, **changes.pop("facts", {})}
    history = {"epoch": list(range(len(next(iter(history.values()))))), **history}
    command = changes.pop("command", f"python -m train.{kind} --seed 0")
    defaults = VAE if kind == "vae" else GAN
    arguments = {**defaults, **changes}
    config = {"command": command, "arguments": arguments, "backend": "jax"}
    path = pathlib.Path("runs/x")
    return RunFolder(path, config, history, metrics or {}, facts, state, defaults)


def vae(epochs=40, rate=12.0, elbo=None, **changes):
    elbo = settling(epochs, -300, -130) if elbo is None else elbo
    history = {"elbo": elbo, "val_elbo": elbo, "val_kl": settling(epochs, 9, rate)}
    return run("vae", {**history, **changes.pop("history", {})}, **changes)


def gan(d_loss, g_loss, p_real, p_fake, **changes):
    history = {"d_loss": d_loss, "g_loss": g_loss, "p_real": p_real, "p_fake": p_fake}
    return run("gan", history, **changes)


def balanced(epochs=40):
    return ([1.2] * epochs, [0.9] * epochs, [0.6] * epochs, [0.4] * epochs)


def titles(run):
    return [verdict.title for verdict in judge(run)]


def test_a_vae_that_has_settled_is_good_and_the_numbers_are_named():
    (verdict,) = judge(vae())
    assert verdict.level == "good"
    settled, rate, *others = verdict.evidence
    assert "settled, at -130.01 nats" in settled and "rate of 12" in rate
    assert others[-1] == "Samples cover 10 of 10 classes." and not verdict.advice


def test_a_gan_whose_samples_are_like_real_images_is_good():
    (verdict,) = judge(gan(*balanced()))
    assert verdict.level == "good" and "Precision is 0.80, of real images 0.90." in verdict.evidence


def test_without_a_number_of_samples_a_gan_is_not_called_good():
    (verdict,) = judge(gan(*balanced(), samples={}))
    assert verdict.level == "note" and "No number here says" in verdict.title


@pytest.mark.parametrize(("rate", "collapsed"), [(0.3, True), (2.0, True), (3.5, False)])
def test_a_low_rate_is_a_collapsed_posterior(rate, collapsed):
    verdicts = judge(vae(rate=rate, beta=30.0))
    assert verdicts[0].title.startswith("The posterior has collapsed") is collapsed
    if collapsed:
        assert f"with a rate of {rate:.2g} nats" in verdicts[0].title
        assert verdicts[0].advice == "Suspect setting: beta 30 (default 1). Try the default:"
        assert verdicts[0].command == (
            "KERAS_BACKEND=jax python -m train.vae --seed 0 --beta 1 --out runs/x-try"
        )


def test_z_tells_apart_as_many_images_as_the_rate_says():
    assert f"at most e^2 = {math.exp(2):.1f}." in judge(vae(rate=2.0))[0].evidence[0]


def test_what_follows_from_a_cause_is_told_with_it_and_only_the_cause_has_advice():
    few = {**LIKE_REAL, "recall": 0.0, "classes": 1}
    (verdict,) = judge(vae(rate=0.1, samples=few))
    assert "collapsed" in verdict.title and verdict.advice == "Try --warm-up 8:"
    assert verdict.evidence[1:] == (
        "Samples vary too little: recall 0.00, of real images 0.90.",
        "Samples cover 1 of 10 classes.",
    )
    less = {**LIKE_REAL, "recall": 0.6}
    assert "--beta 0.5 " in judge(vae(samples=less))[0].command
    assert "--beta" not in judge(vae(samples=less, iwae=5))[0].command  # It has no beta.
    (effect,) = judge(vae(samples=few, prior="standard_normal"))
    assert effect.advice == "Try --prior flow:"
    (effect,) = judge(vae(samples=few, prior="flow"))  # The default of a folder.
    assert "Train with --prior standard_normal, then `train.evaluate RUN --fit-p" in effect.advice


def test_a_low_rate_that_still_rises_or_is_in_its_first_epochs_says_nothing():
    rising = {"val_kl": [0.5] * 28 + [1.0] * 10 + [2.5] * 2}
    assert "collapsed" not in " ".join(titles(vae(history=rising)))
    assert "collapsed" not in " ".join(titles(vae(epochs=6, rate=0.5)))
    assert "collapsed" not in " ".join(titles(vae(epochs=25, rate=0.5, warm_up=20)))


def test_a_run_that_still_gains_is_too_short():
    first, *_ = judge(vae(elbo=[-300 + 4 * i for i in range(40)]))
    assert first.level == "warning" and first.title.startswith("Too short")
    assert first.advice == "Try --epochs 80:" and "156 in all 40" in first.evidence[0]
    history = {"epochs": 3, "elbo": [-206, -184, -180], "rate": 0.9}
    first, *_ = judge(run_of_epochs(**history))
    assert first.level == "bad" and first.title.startswith("Too short")
    assert first.advice == "Suspect setting: 3 epochs (default 40). Try the default:"
    assert "in the last epoch" in first.evidence[0]


def run_of_epochs(epochs, elbo, rate):
    """A VAE with --epochs, where `vae` has the number of rows only."""
    history = {"elbo": elbo, "val_elbo": elbo, "val_kl": settling(epochs, 9, rate)}
    return run("vae", history, epochs=epochs)


def test_a_gan_of_few_epochs_is_too_short_and_its_network_is_not_blamed():
    noise = {**LIKE_REAL, "precision": 0.0, "recall": 0.0, "classes": 3}
    (verdict,) = judge(gan(*balanced(3), samples=noise, epochs=3))
    assert verdict.title == "Too short: trained for only 3 epochs; samples are still noise"
    assert verdict.level == "bad" and verdict.command.endswith(
        "--seed 0 --epochs 40 --out runs/x-try"
    )
    assert len(verdict.evidence) == 1 and "precision 0.00" in verdict.evidence[0]
    assert "Too short" not in titles(gan(*balanced(3), epochs=3))[0]  # They are like the data.
    assert "Too short" not in titles(gan(*balanced(), samples=noise))[0]


FEW = {**LIKE_REAL, "recall": 0.0, "classes": 8}


@pytest.mark.parametrize(
    ("settings", "tried"),
    [
        ({"generator_learning_rate": 2e-3, "network": "mlp"}, "--generator-learning-rate 0.0005"),
        ({"discriminator_learning_rate": 1e-4}, "--discriminator-learning-rate 0.0005"),
        # D is unsure: one that learns too fast is not what is wrong.
        ({"discriminator_learning_rate": 2e-3}, "--packing 2"),
        ({"conditional": True}, "--no-conditional"),
        ({"network": "mlp"}, "--network dcgan"),
        ({"packing": 2, "seed": 1}, "--recipe r3gan"),
    ],
)
def test_against_little_variety_the_setting_that_is_odd_is_put_back(settings, tried):
    unsure = ([1.38] * 40, [0.69] * 40, [0.51] * 40, [0.5] * 40)
    (verdict,) = judge(gan(*unsure, samples=FEW, **settings))
    assert f" {tried} --out runs/x-try" in verdict.command


def test_a_discriminator_that_is_sure_is_slowed_down():
    first, *_ = judge(gan(*WON, samples={}, discriminator_learning_rate=2e-3))
    assert first.command.endswith("--discriminator-learning-rate 0.0005 --out runs/x-try")
    first, *_ = judge(gan(*WON, samples={}, penalty=["r1"]))  # That holds it back: it stays.
    assert not first.command and "smaller --discriminator-learning-rate" in first.advice


def test_what_a_stranger_calls_a_default_is_one_word_of_the_command():
    stranger = run("vae", {"val_kl": [0.1] * 40, "kl": [0.1] * 40}, network="conv", samples={})
    stranger.defaults = {**VAE, "network": "mlp; rm -r x"}
    assert " --network 'mlp; rm -r x' --out" in judge(stranger)[0].command


def test_the_command_has_each_option_once_and_replaces_no_run():
    command = "python -m train.vae --out 'my runs/x' --beta=30 --hidden 8 8 --overwrite --resume"
    (verdict,) = judge(vae(rate=0.1, beta=30.0, command=command, samples={}))
    assert verdict.command == (
        "KERAS_BACKEND=jax python -m train.vae --hidden 8 8 --beta 1 --out runs/x-try"
    )


def test_while_it_trains_a_run_is_not_called_too_short():
    verdicts = judge(vae(elbo=[-300 + 4 * i for i in range(40)], state="training", epochs=40))
    assert [verdict.level for verdict in verdicts] == ["note"]
    assert verdicts[0].title == "Training: 40 of 40 epochs are done; no sign of trouble so far"


def test_held_out_images_that_get_worse_while_training_ones_get_better_are_overfitting():
    held_out = settling(20, -300, -130) + [-132 - i for i in range(1, 21)]
    (verdict,) = judge(vae(elbo=held_out, history={"elbo": settling(40, -300, -100)}))
    assert verdict.title == "It overfits since epoch 20" and verdict.level == "warning"
    both = judge(vae(elbo=held_out))  # The training images get worse, too.
    assert "overfits" not in both[0].title


def test_a_discriminator_that_is_never_wrong_has_won_since_the_epoch_from_which_it_was():
    d, g, real, fake = balanced()
    d[29:], g[29:] = [0.01] * 11, [5 + 0.1 * i for i in range(11)]
    real[29:], fake[29:] = [0.99] * 11, [0.01] * 11
    first, *_ = judge(gan(d, g, real, fake, samples={}))
    assert first.title == "The discriminator has won since epoch 30" and first.level == "bad"
    assert "the loss of D is 0.01 and that of G 6" in first.evidence[0]
    assert first.advice == "Try --penalty r1:"


WON = ([0.01] * 40, [5.0] * 40, [0.99] * 40, [0.01] * 40)


def test_a_discriminator_that_is_wrong_at_times_or_on_which_g_gains_has_not_won():
    d, g, real, fake = WON
    assert "won" in titles(gan(*WON, samples={}))[0]
    assert "won" not in titles(gan(d[:-1] + [0.7], g, real, fake, samples={}))[0]
    assert "won" not in titles(gan(d, g, real, [0.1] * 40, samples={}))[0]
    falling = [9 - 0.1 * i for i in range(40)]
    assert "won" not in titles(gan(d, falling, real, fake, samples={}))[0]
    # The loss of a critic has no balance to be compared with.
    assert "won" not in titles(gan(*WON, samples={}, loss="wasserstein"))[0]


def test_a_discriminator_has_not_won_if_samples_are_like_real_images():
    assert judge(gan(*WON))[0].level == "good"
    assert "won" in titles(gan(*WON, samples={**LIKE_REAL, "recall": 0.1}))[0]


@pytest.mark.parametrize(("epochs", "won"), [(5, False), (24, False), (25, True)])
def test_while_it_trains_a_discriminator_wins_by_a_quarter_of_all_epochs(epochs, won):
    history = [column[:epochs] for column in WON]
    found = judge(gan(*history, samples={}, state="training", epochs=100))
    assert any("won since epoch 1" in verdict.title for verdict in found) is won
    assert {verdict.level for verdict in found} == ({"warning", "note"} if won else {"note"})


@pytest.mark.parametrize(("classes", "level"), [(9, "warning"), (6, "bad")])
def test_classes_that_samples_leave_out_are_counted(classes, level):
    first, *_ = judge(gan(*balanced(), samples={**LIKE_REAL, "classes": classes}))
    assert first.title == f"Samples cover {classes} of 10 classes" and first.level == level
    assert "Of 500 samples" in first.evidence[0]


def test_modes_of_toy_data_are_counted():
    d, g, *_ = balanced()
    history = {"d_loss": d, "g_loss": g, "modes": [5] * 40}
    toy = {"samples": {}, "loss": "relativistic", "dataset": "ring"}
    of_8 = {"facts": {"data": {"modes": 8}}}
    first, *_ = judge(run("gan", history, **toy, **of_8))
    assert first.title == "Samples cover 5 of 8 modes" and first.level == "bad"
    (verdict,) = judge(run("gan", {**history, "modes": [8] * 40}, **toy, **of_8))
    assert verdict.level == "good" and "8 of 8 modes" in verdict.evidence[0]


def test_low_recall_is_little_variety_and_low_precision_is_unlike_the_data():
    (first,) = judge(gan(*balanced(), samples={**LIKE_REAL, "recall": 0.1}))
    assert first.level == "bad" and "recall 0.10, of real images 0.90" in first.title
    odd = {"loss": "minimax", "generator_learning_rate": 5e-3, "command": TYPED}
    (first,) = judge(gan(*balanced(), samples={**LIKE_REAL, "precision": 0.4}, **odd))
    assert first.level == "warning" and "precision 0.40, of real images 0.90" in first.title
    for line in ("Coverage is 0.90, of real images 0.95.", "Samples cover 10 of 10 classes."):
        assert line in first.evidence
    assert first.changed == "--generator-learning-rate 0.0005" and first.changed in first.command
    assert "G that is faster" in first.why
    assert "loss minimax (default non_saturating)" in first.why


TYPED = "python -m train.gan --loss minimax --generator-learning-rate 5e-3"


def test_a_command_has_numbers_as_they_are_written_elsewhere():
    odd = gan(*balanced(), generator_learning_rate=5e-3, command=TYPED)
    assert "--generator-learning-rate 0.005 --out runs/x-again" in advice.repeat(odd)


def test_a_run_that_is_good_says_what_is_lower_than_in_real_images_and_what_to_try():
    (verdict,) = judge(vae(samples={**LIKE_REAL, "recall": 0.6}))
    assert verdict.level == "good" and verdict.advice == "To improve it, try --beta 0.5:"
    assert verdict.changed in verdict.command and "Precision may fall" in verdict.why
    (verdict,) = judge(vae(samples={**LIKE_REAL, "recall": 0.6}, beta=0.5))  # Not back and forth.
    assert verdict.changed == "--beta 0.25"
    assert any("0.60, lower than that of real images, 0.90: " in line for line in verdict.evidence)


def test_the_variety_of_noise_is_not_judged():
    noise = {**LIKE_REAL, "precision": 0.0, "recall": 0.0, "classes": 1}
    (verdict,) = judge(gan(*balanced(), samples=noise))
    assert verdict.level == "bad" and "unlike the data" in verdict.title


def test_figures_of_an_evaluation_go_before_those_of_pixels():
    better = {"recall": 0.1, "recall_floor": 0.7}
    assert "recall 0.10, of real images 0.70" in titles(gan(*balanced(), metrics=better))[0]


def test_copies_are_told():
    (verdict,) = judge(gan(*balanced(), metrics={"copies": 0.4, "copies_floor": 0.01}))
    assert verdict.title == "40% of the samples are nearly copies of training images"


def test_of_a_run_that_diverged_nothing_else_is_said():
    message = "Epoch 3: a loss or gradient of the model was not finite.\nMore."
    facts = {"message": message}
    (verdict,) = judge(vae(epochs=3, state="diverged", facts=facts, learning_rate=8.0))
    assert verdict.level == "bad" and verdict.title == "Training diverged in epoch 3"
    assert verdict.evidence[0] == "Epoch 3: a loss or gradient of the model was not finite."
    assert verdict.advice == "Suspect setting: learning rate 8 (default 0.001). Try the default:"
    assert verdict.command.endswith("--seed 0 --learning-rate 0.001 --out runs/x-try")
    (verdict,) = judge(vae(epochs=3, state="diverged", facts=facts))
    assert "first batch" in verdict.advice and not verdict.command


def test_a_run_that_was_stopped_says_how_to_continue():
    first, *_ = judge(vae(epochs=30, state="stopped", samples={}))
    title = "Stopped after 30 of 40 epochs; no sign of trouble so far, not measured"
    assert first.title == title
    assert first.command == "KERAS_BACKEND=jax python -m train.vae --resume --out runs/x"
    first, state = judge(vae(epochs=30, state="stopped", samples={}, rate=0.1, beta=9.0))
    assert "collapsed" in first.title and first.command.endswith("--beta 1 --out runs/x-try")
    assert state.title == "Stopped after 30 of 40 epochs" and "--resume" in state.command


def test_a_preview_is_not_judged():
    (verdict,) = judge(gan([0.0] * 9, [9.0] * 9, [1.0] * 9, [0.0] * 9, preview=True))
    assert verdict.level == "note" and "too early to judge" in verdict.title and not verdict.command
