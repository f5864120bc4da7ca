from keras_gen.data.arrays import ArrayDataset
from keras_gen.data.loading import load

__all__ = ["ArrayDataset", "load"]
