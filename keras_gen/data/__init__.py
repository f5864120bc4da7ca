from keras_gen.data.arrays import ArrayDataset
from keras_gen.data.folders import folder
from keras_gen.data.images import ImageDataset
from keras_gen.data.loading import load
from keras_gen.data.mixtures import MixtureDataset, grid, ring
from keras_gen.data.previews import preview
from keras_gen.data.sources import SourceDataset
from keras_gen.data.stacked import StackedDataset, stacked_mnist
