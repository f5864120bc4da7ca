"""The same numbers in less time: parts that are handed over to `keras_gen.backend`.

Nothing depends on this package but the import in `keras_gen/models/base.py`. Without both
everything works, only slower.
"""

import keras

from keras_gen import backend

if keras.config.backend() == "tensorflow":
    from keras_gen.accelerate.tensorflow_adam import apply
    from keras_gen.accelerate.tensorflow_data import callbacks

    backend.use(apply=apply)
elif keras.config.backend() == "torch":
    from keras_gen.accelerate.callbacks import callbacks
    from keras_gen.accelerate.torch_adam import apply
    from keras_gen.accelerate.torch_program import program

    backend.use(apply=apply, program=program)
else:
    from keras_gen.accelerate.callbacks import callbacks
    from keras_gen.accelerate.conv2d_transpose import without_dilation

    backend.use(compiled=without_dilation)

backend.use(callbacks=callbacks)
