import tensorflow as tf
from keras.src.trainers.data_adapters import get_data_adapter


def feed(arguments):
    """Has `fit` or `evaluate`, which get these, read all but a tf.data.Dataset without tuning.

    Where tf.data tunes a pipeline, its end, which comes with every epoch, waits for the tuner: a
    tenth of a second every other time.
    """
    data = arguments["x"]
    if hasattr(data, "element_spec") or arguments.get("validation_split"):  # Keras splits arrays.
        return
    adapter = get_data_adapter(
        **{name: arguments.pop(name, None) for name in ("x", "y", "sample_weight")},
        batch_size=arguments.get("batch_size"),
        steps_per_epoch=arguments.get("steps_per_epoch") or arguments.get("steps"),
        shuffle=arguments.get("shuffle", False),
    )
    tuned = adapter.get_tf_dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    adapter.get_tf_dataset = lambda: tuned().with_options(options)
    arguments["x"] = adapter
