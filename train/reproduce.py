"""Runs a published experiment and prints what it obtains beside what was published."""

import argparse
import dataclasses
import json
import os
import sys
import time

from train import bounds, faults, run, uses
from train.rows import AtLeast, Row


def pytorch_vae(seed, **data):
    """The VAE of PyTorch's examples on grey MNIST: 784-400-20, batch 128, 10 epochs."""
    import keras

    import keras_gen as kg

    train, test = kg.data.load("mnist", batch_size=128, seed=seed, **data)
    # A set that is prepared now, by TFDS, draws random numbers.
    keras.utils.set_random_seed(seed)
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=20, hidden=(400,))
    vae = kg.VAE(*networks, seed=seed)
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vae.fit(train, epochs=10, shuffle=False, verbose=2)
    logs = vae.evaluate(test, return_dict=True, verbose=0)
    # Three public logs end at 105.56 to 105.61, with z sampled in evaluation too.
    return [Row("pytorch-vae", "test -ELBO, nats", -logs["elbo"], 105.6, 0.4)]


def linear_vae(seed, **data):
    """The linear VAE on grey MNIST, z 10, beside the log-likelihood of probabilistic PCA."""
    import keras

    import keras_gen as kg
    from keras_gen.ppca import PPCA

    train, test = kg.data.load("mnist", batch_size=500, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    epochs = 40
    decay = keras.optimizers.schedules.CosineDecay(1e-2, epochs * len(train))
    likelihood = kg.likelihoods.Gaussian(learn_sigma=True)
    networks = kg.networks.linear_vae((28, 28, 1), latent_dim=10)
    vae = kg.VAE(*networks, likelihood, seed=seed)
    vae.compile(optimizer=keras.optimizers.Adam(decay))
    vae.fit(train, epochs=epochs, shuffle=False, verbose=2)
    # Lucas et al. (2019): the greatest ELBO is the greatest log-likelihood, a closed form.
    ppca = PPCA.fit(train.x, latent_dim=10)
    rows = []
    for split, images in (("train", train), ("test", test)):
        elbo = vae.evaluate(images, return_dict=True, verbose=0)["elbo"]
        closed_form = float(ppca.log_likelihood(images.x).mean())
        rows.append(Row("linear-vae", f"{split} ELBO, nats", elbo, closed_form, 0.25))
    return rows


def conditional(seed, **data):
    """Conditional GAN and VAE of the digits: is a sample of the class that was asked for?"""
    import tempfile

    import keras
    import numpy as np
    from sklearn.svm import SVC

    import keras_gen as kg
    from train import gan, vae

    train, test = kg.data.load("digits", labels=True, **data)
    classifier = SVC(C=10).fit(train.x.reshape(len(train.x), -1), train.y)
    score = classifier.score(test.x.reshape(len(test.x), -1), test.y)
    rows = [Row("classifier", "share of test digits it knows", score, 1.0, 0.02)]
    for name, script in (("conditional GAN", gan), ("conditional VAE", vae)):
        with tempfile.TemporaryDirectory() as out:
            folder = ["--data-dir", data["data_dir"]] if data.get("data_dir") else []
            script.main(["--conditional", "--seed", str(seed), "--out", out, *folder])
            model = keras.saving.load_model(f"{out}/model.keras")
        asked = np.arange(2000) % 10
        images = model.sample(2000, asked)
        seen = classifier.predict(images.reshape(2000, -1))
        rows.append(AtLeast(name, "share of the class asked for", (seen == asked).mean(), 0.95))
    return rows


ENTRIES = {
    "pytorch-vae": pytorch_vae,
    "conditional": conditional,
    "linear-vae": linear_vae,
    "iwae-gap": bounds.iwae_gap,
    "nll-20": bounds.nll_20,
    "nll-50": bounds.nll_50,
    "one-class-mnist": uses.one_class_mnist,
    "denoise": uses.denoise,
    "inpaint": uses.inpaint,
    "faults": faults.table,
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m train.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name}: {entry.__doc__}" for name, entry in ENTRIES.items()),
    )
    parser.add_argument("name", nargs="?", choices=ENTRIES, help="without one: list them")
    parser.add_argument("--seed", type=run.seed, default=0, help="default: 0")
    parser.add_argument("--data-dir", help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    parser.add_argument("--manual-dir", help="folder with the original files, not downloaded")
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    args = parser.parse_args(argv)
    if args.name is None:
        parser.print_help()
        return
    if args.json and not os.path.isdir(os.path.dirname(os.path.abspath(args.json))):
        parser.exit(2, f"{parser.prog}: error: there is no folder for --json {args.json}\n")

    run.quiet_tensorflow()
    import keras

    start = time.perf_counter()
    try:
        rows = ENTRIES[args.name](args.seed, data_dir=args.data_dir, manual_dir=args.manual_dir)
    except (ValueError, OSError, ImportError) as error:
        run.fail(parser, error)
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: stopped, with nothing obtained.\n")
    run.check_converged({f"{row.name} {row.quantity}": row.obtained for row in rows})
    seconds = time.perf_counter() - start
    print(f"{'name':<17}{'quantity':<32}{'obtained':>10}{'published':>11}{'allowed':>10}  passed")
    for row in rows:
        print(
            f"{row.name:<17}{row.quantity:<32}{row.obtained:>10.5g}{row.published:>11.5g}"
            f"{row.allowed:>10}  {'yes' if row.passed else 'no'}"
        )
    print(f"{args.name}: backend {keras.config.backend()}, seed {args.seed}, {seconds:.0f} s")
    if args.json:
        content = [{**dataclasses.asdict(row), "passed": row.passed} for row in rows]
        with open(args.json, "w") as file:
            json.dump(content, file, indent=2)
    sys.exit(not all(row.passed for row in rows))


if __name__ == "__main__":
    main()
