"""Measure a finished run: print a table, and add the numbers to its metrics.json."""

import time

from train import command, config, environment, options, quality, results, run_folder
from train import gan as gan_script
from train import vae as vae_script

FITTED = {"mixture": "gaussian_mixture", "flow": "flow"}
NEW_MODEL = "fitted_prior.keras"  # In the run's folder, next to the model that it was made of.
SCRIPTS = {"vae": vae_script, "gan": gan_script}


def main(argv=None):
    command.run(make_parser(), evaluate, argv, "{args.run} is as it was.")


def make_parser():
    parser = options.Parser("evaluate", __doc__)
    add = parser.add_argument
    add("run", type=options.folder, help="folder of the run, such as runs/vae")
    add(
        "--num-samples",
        type=options.positive,
        default=5000,
        help="draws of z for the likelihood of an image",
    )
    add(
        "--num-examples",
        type=options.positive,
        default=1000,
        help="test images, the first, whose likelihood is estimated",
    )
    add(
        "--samples",
        type=options.positive,
        default=10_000,
        help="whose quality is measured, at most: five draws of as many as half of the real images",
    )
    add(
        "--features",
        choices=quality.FEATURES,
        help="that quality is measured on; by default those of a classifier where there are labels "
        f"and {quality.LEAST_FOR_A_CLASSIFIER:,} training images in memory, else pixels",
    )
    add(
        "--fit-prior",
        choices=FITTED,
        help="first fit a new prior of a VAE to the codes of the training data; all is measured "
        f"with it, and the model is written to {NEW_MODEL}",
    )
    add("--seed", type=options.seed, default=0, help="of all draws")
    add(
        "--dataset",
        type=options.data_set,
        metavar="NAME|PATH",
        help="the run's data set, to confirm its version; or where its images are now",
    )
    folder = options.folder_name
    add("--data-dir", type=folder, help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    return parser


def evaluate(args):
    environment.quiet_tensorflow()
    import keras

    import keras_gen as kg
    from keras_gen import runs

    runs.check_finished(args.run)
    script, settings = read_run(args)
    start = time.perf_counter()
    keras.utils.set_random_seed(args.seed)
    model, _, class_names = kg.load_run(args.run)
    if not isinstance(model, kg.GAN if script == "gan" else kg.VAE):
        raise ValueError(
            f"{args.run} is a run of train.{script}, and its model is a {type(model).__name__}. "
            f"Pass a folder that a training script has left."
        )
    if script == "gan" and not getattr(model.optimizer.generator, "use_ema", False):
        settings.ema = None  # Today's default may be another than the run's.
    train, test = load(SCRIPTS[script], settings, model, class_names)
    measure = measure_gan if script == "gan" else measure_vae
    metrics, provenance = measure(model, train, test, settings, args)
    table, figures, how = quality.measure(model, settings, train, test, args)
    provenance = {
        **provenance,
        **how,
        "data_set": settings.dataset,
        "seed": args.seed,
        "training_seed": settings.seed,
        "backend": keras.config.backend(),
        "keras": keras.__version__,
        "keras_gen": kg.__version__,
        "seconds": round(time.perf_counter() - start, 1),
    }
    results.check_converged(
        {name: value for name, value in metrics.items() if name.endswith(("loss", "nll"))}
    )
    path = args.run / "metrics.json"
    before = results.read_json(path) if path.exists() else {}
    before = {name: value for name, value in before.items() if not quality.is_figure(name)}
    before.pop("nll_standard_error", None)  # It may be unknown now.
    measured = results.finite({**metrics, **figures})
    results.write_json(path, {**before, **measured, "evaluation": provenance})
    show(metrics, table, provenance)
    print(f"Written to {path}")


def show(metrics, table, provenance):
    """Print the numbers and what they are, the table of samples, and how all were made."""
    print(f"\n{'metric':<28}{'value':>12}  what it is")
    for name, value in metrics.items():
        print(f"{name:<28}{value:>12.4f}  {DESCRIPTIONS.get(name, '')}")
    print(f"\n{table}")
    print("\n" + ", ".join(f"{name} {value}" for name, value in provenance.items()))


def read_run(args):
    """Return the script that has left a run, "vae" or "gan", and its arguments."""
    path = args.run / "config.json"
    run_folder.check_links(args.run)
    parsers = {name: script.make_parser() for name, script in SCRIPTS.items()}
    images = args.dataset if args.dataset and options.is_path(args.dataset) else None
    name, settings, _ = config.read(path, parsers, images)
    if not images and options.is_path(settings.dataset):
        print(f"{path} names the images in {settings.dataset}, which are read now.")
    config.trust(path, settings, args.dataset, args.data_dir)
    SCRIPTS[name].fill_in(settings)  # An older run was written before they were filled in.
    return name, settings


def load(script, settings, model, class_names):
    """Return training and test data; ValueError if they are not what the model was made for."""
    settings.conditional, settings.devices = model.num_classes is not None, 1
    try:
        train, test = script.load(settings)
    except ValueError as error:
        if not str(error).startswith("There is no data set"):
            raise
        raise ValueError(
            f"There is no {settings.dataset!r} here. If it was a folder of images, pass where it "
            f"is now by --dataset PATH. If it was none: {error}"
        ) from error
    found = getattr(test, "class_names", None)
    if class_names is not None and found not in (None, class_names):
        raise ValueError(
            f"{settings.dataset} has the classes {', '.join(found)}, and the model was trained on "
            f"{', '.join(class_names)}. Pass the images of the run by --dataset PATH."
        )
    model.check_input_data(test)
    return train, test


def fit_prior(vae, train, test, args):
    """Give a VAE the prior that was asked for, and return how it was made."""
    import keras_gen as kg

    if not args.fit_prior:
        return {}
    x, y = examples(test, vae.num_classes is not None)
    codes = vae.encode(x, y=y if vae.num_classes is not None else None)
    priors = [vae.prior_of_z()]
    vae.fit_prior(train, FITTED[args.fit_prior], seed=args.seed)
    priors.append(vae.prior_of_z())
    before, after = (kg.metrics.elbo_surgery(*codes, seed=args.seed, prior=p) for p in priors)
    vae.compile("adam")  # A prior that was trained is not there any more.
    vae.save(args.run / NEW_MODEL)
    print(
        f"KL(q(z) || p(z)) on the test set: {before['aggregate_kl']:.2f} nats with the prior of "
        f"the run, {after['aggregate_kl']:.2f} with the fitted one, in {args.run / NEW_MODEL}."
    )
    return {"fitted_prior": args.fit_prior, "aggregate_kl_before": round(before["aggregate_kl"], 3)}


def measure_vae(vae, train, test, settings, args):
    """Return bounds and likelihood on the test set and facts about the latents, and how made."""
    import numpy as np

    import keras_gen as kg

    fitted = fit_prior(vae, train, test, args)
    labels = vae.num_classes is not None
    x, y = examples(test, labels)
    y = y if labels else None
    metrics = vae.evaluate(test, return_dict=True, verbose=0)
    mean, log_var = vae.encode(x, y=y)
    metrics["active_units"] = kg.metrics.active_units(mean)
    surgery = kg.metrics.elbo_surgery(mean, log_var, seed=args.seed, prior=vae.prior_of_z())
    metrics["mutual_information"] = surgery["mutual_information"]
    metrics["aggregate_kl"] = surgery["aggregate_kl"]

    n = min(args.num_examples, len(x))
    log_likelihood, error = vae.log_likelihood(
        x[:n],
        num_samples=args.num_samples,
        return_standard_error=True,
        y=y[:n] if labels else None,
    )
    metrics["nll"] = -float(log_likelihood.mean())
    # The error of the mean over these images, whose estimates are independent.
    known = np.isfinite(error)
    if known.any():
        metrics["nll_standard_error"] = float(np.sqrt(np.sum(error[known] ** 2)) / n)
    metrics["nll_unknown_error"] = 1 - float(known.mean())
    if isinstance(vae.likelihood, kg.likelihoods.Bernoulli):
        metrics["reconstruction_floor"] = entropy(x)
    return metrics, {
        "test_examples": len(x),
        "likelihood_examples": n,
        "importance_samples": args.num_samples,
        "likelihood": type(vae.likelihood).__name__,
        "pixels": kind_of_pixels(vae, x),
        **fitted,
        "elbo_surgery_bound": f"log {len(x)} = {np.log(len(x)):.3f}",
    }


def examples(test, labels):
    """Return the test set as arrays, `(x, y)`; a streamed one is read."""
    import numpy as np

    if hasattr(test, "x"):
        return test.x, test.y
    stream = test.as_numpy_iterator() if hasattr(test, "as_numpy_iterator") else test
    batches = [batch if labels else (batch, ()) for batch in stream]
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def entropy(x):
    """Return the mean entropy of an image whose grey pixels are coins, nats: 0 if all are 0 or 1.

    No decoder with a Bernoulli likelihood brings the cross-entropy of its pixels below it.
    """
    import numpy as np

    p = np.stack([x, 1 - x]).astype("float64")
    nats = -p * np.log(np.where(p > 0, p, 1))  # 0 log 0 = 0.
    return float(nats.sum() / len(x))


def kind_of_pixels(vae, x):
    import numpy as np

    if getattr(vae, "dynamic_binarization", False):
        return "binary, drawn from grey each time"
    return "binary" if np.isin(x, (0, 1)).all() else "between 0 and 1"


def measure_gan(gan, train, test, settings, args):
    """Return the players' losses on test data and, where modes are known, their coverage."""
    import numpy as np

    import keras_gen as kg

    if args.fit_prior:
        raise ValueError(f"--fit-prior is for a VAE, and {args.run} holds a GAN. Leave it out.")
    metrics = gan.evaluate(test, return_dict=True, verbose=0)
    provenance = {"generator_weights": "raw"}  # Of the losses.
    if settings.dataset in gan_script.POINTS:
        random = np.random.default_rng(args.seed)
        z = random.standard_normal((2500, *gan.latent_shape)).astype("float32")
        y = None
        if gan.num_classes is not None:
            y = random.choice(len(train.weights), size=len(z), p=train.weights)
        metrics |= kg.metrics.mode_coverage(
            gan.generate(z, settings.ema is not None, y=y),
            train.centres,
            train.sigma,
            train.weights,
        )
        metrics["perfect_high_quality"] = 1 - np.exp(-4.5)
        metrics["perfect_mode_kl"] = (len(train.centres) - 1) / (2 * len(z))
        provenance["samples"] = len(z)
    elif settings.dataset == "stacked_mnist":
        from train import digit_modes

        metrics |= digit_modes.of_model(gan, settings, args.seed)
        provenance["samples"] = digit_modes.SAMPLES
    if "samples" in provenance:
        provenance["samples_weights"] = "raw" if settings.ema is None else "averaged"
    return metrics, provenance


DESCRIPTIONS = {
    "loss": "what training minimises",
    "elbo": "nats, test set, one draw of z an image",
    "reconstruction": "distortion -E_q[log p(x|z)], nats",
    "reconstruction_floor": "entropy of the test pixels, below which no distortion goes",
    "kl": "rate KL(q(z|x) || p(z)), nats",
    "active_units": "latents whose posterior mean has a variance above .01",
    "mutual_information": "I(x; z), nats: the part of the rate that tells images apart",
    "aggregate_kl": "KL(q(z) || p(z)), nats: the rest of the rate",
    "nll": "-log p(x), nats, by importance sampling: an upper bound in expectation",
    "nll_standard_error": "of the mean, from the draws of z, where it is known",
    "nll_unknown_error": "share of the images of which few draws decide: it is not known",
    "d_loss": "of the discriminator, test set, raw weights",
    "g_loss": "of the generator, test set, raw weights",
    "d_real": "mean raw output on real examples",
    "d_fake": "mean raw output on fake ones",
    "p_real": "the same as a probability",
    "p_fake": "the same as a probability",
    "penalty": "on the discriminator's gradient",
    "modes": "with at least one sample (points: within 3 sigma)",
    "modes_near": "the same within a quarter of the modes' spacing",
    "high_quality": "share of the samples within 3 sigma of a mode",
    "mode_sd": "their root mean square distance from the centres, an axis, over sigma",
    "perfect_high_quality": "of samples from the mixture itself",
    "mode_kl": "KL(modes of the samples || true weights; Stacked MNIST: equal ones), nats",
    "perfect_mode_kl": "expected of as many samples from the mixture itself",
    "classifier_accuracy": "of the classifier that counts the modes, on held-out digits",
}


if __name__ == "__main__":
    main()
