import keras
import numpy as np
from keras import ops

from keras_gen import backend, seeds
from keras_gen.arguments import check_seed


@keras.saving.register_keras_serializable("keras_gen")
class Noise(seeds.SavesSeeds, keras.layers.Layer):
    """Stream of random numbers with a state of its own, which is saved with the model.

    Args:
        seed: Integer or None.

    Example:

    ```python
    z = Noise(seed=0).normal((64, 100))
    ```
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        (stream,) = seeds.split(seed, 1)
        self.seed_generator = keras.random.SeedGenerator(stream)
        self.built = True

    def normal(self, shape):
        """Draw from N(0, 1)."""
        return backend.normal(shape, self.compute_dtype, self.seed_generator)

    def uniform(self, shape):
        """Draw from U[0, 1)."""
        return backend.uniform(shape, self.compute_dtype, self.seed_generator)

    def array(self, shape, seed=None):
        """Return draws from N(0, 1), NumPy: of the stream, or the same ones for the same `seed`.

        Those of a seed are NumPy's, and so the same on every backend.
        """
        if check_seed(seed) is None:
            return ops.convert_to_numpy(self.normal(shape))
        return np.random.default_rng(seed).standard_normal(shape).astype(self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
