"""A run that a training script has left, loaded in one line."""

import json
import pathlib
import typing

from keras_gen.saving import load_model

CONFIG_BYTES = 2**20


class Run(typing.NamedTuple):
    """What `load_run` returns.

    Args:
        model: the trained model.
        settings: the arguments of the script by name, such as `settings["batch_size"]`.
        class_names: names of the classes in the order of their labels; None for a model without
            labels, or for data whose classes have no names.
    """

    model: object
    settings: dict
    class_names: list | None

    @property
    def weights(self):
        """Arguments of `sample`, `generate` and `export` for the weights of the run's pictures.

        `{"ema": True}` of a GAN that was trained with averages, else `{}`.
        """
        averaged = hasattr(self.model, "generator") and self.settings.get("ema") is not None
        return {"ema": True} if averaged else {}


def load_run(folder):
    """Return the model, the settings and the class names of a finished run.

    The files need not be trusted: the model is loaded as by `kg.saving.load_model`.

    Args:
        folder: the folder of the run, such as "runs/gan".

    Raises:
        ValueError: There is no finished run in the folder, or its files break a rule of
            `load_model`.

    Example:

    ```python
    run = kg.load_run("runs/gan")
    images = run.model.sample(64, **run.weights)  # Of a model with labels also y=.
    model, settings, class_names = run
    ```
    """
    folder = check_finished(folder)
    settings, class_names = _read_config(folder / "config.json")
    model = load_model(folder / "model.keras")
    num_classes = getattr(model, "num_classes", None)
    if class_names is not None and len(class_names) != num_classes:
        class_names = None  # The data have names, and the model was trained without labels.
    return Run(model, settings, class_names)


def check_finished(folder):
    """Return the path of a run's folder; ValueError if it holds no finished run."""
    folder = pathlib.Path(folder)
    missing = [name for name in ("config.json", "model.keras") if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} holds no finished run: it has no {' and no '.join(missing)}. Pass the "
            f"folder that a training script has left, such as runs/vae."
        )
    return folder


def _read_config(path):
    try:
        if path.stat().st_size > CONFIG_BYTES:
            raise ValueError(f"it has more than {CONFIG_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        settings, names = content["arguments"], content.get("class_names")
        if not isinstance(settings, dict) or not isinstance(names, list | None):
            raise ValueError("its `arguments` or `class_names` have the wrong type")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} was not written by a training script: {error}. Pass the folder of a run."
        ) from error
    return settings, None if names is None else [str(name) for name in names]
