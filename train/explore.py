"""Explore a trained model in the browser: a page of sliders, samples and your own images."""

import threading

from train import command, environment, options


def main(argv=None):
    command.run(make_parser(), explore, argv, stopped="The page is closed.")


def make_parser():
    parser = options.Parser("explore", __doc__)
    add = parser.add_argument
    add("run", type=options.folder, help="folder of a run, such as runs/gan, or a .keras file")
    add(
        "--host",
        default="127.0.0.1",
        help="the address that is listened at; 0.0.0.0 lets the whole network use the page",
    )
    port = options.Number(int, "a port, from 0 to 65535", 0, 65536, includes_low=True)
    add("--port", type=port, default=7860, help="0 takes the first free one from 7860 on")
    return parser


def explore(args):
    environment.quiet_tensorflow()
    from keras_gen.report import explorer_page
    from keras_gen.report.explorer import Explorer

    explorer = Explorer(*load(args.run))
    page = explorer_page.build(explorer, title(args.run, explorer.model))
    print("An answer takes, in milliseconds:", flush=True)
    for name, seconds in explorer.warm_up().items():
        print(f"  {name:<15}{1000 * seconds:6.0f}")
    print(f"Open {explorer_page.launch(page, args.host, args.port)} (Ctrl-C ends it)", flush=True)
    threading.Event().wait()


def load(path):
    """Return the model, whether its averaged weights are used, and the names of its classes.

    The files need not be trusted: see `kg.saving.load_model`.
    """
    import keras_gen as kg

    if path.suffix == ".keras":
        return kg.saving.load_model(path), False, None
    run = kg.load_run(path)
    return run.model, bool(run.weights), run.class_names


def title(path, model):
    import keras

    shape = " x ".join(map(str, model.example_shape))
    return (
        f"{path.resolve().name}: {type(model).__name__} of {shape}, z of {model.latent_size}, on "
        f"{keras.backend.backend()}"
    )


if __name__ == "__main__":
    main()
