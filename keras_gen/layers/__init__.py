"""Layers for generative models: those that Keras lacks, and those that it computes wrongly."""

from keras_gen.layers.batch_normalization import BatchNormalization
from keras_gen.layers.fsq import FSQ
from keras_gen.layers.group_normalization import GroupNormalization
from keras_gen.layers.layer_normalization import LayerNormalization
from keras_gen.layers.maxout import Maxout
from keras_gen.layers.minibatch_discrimination import MinibatchDiscrimination
from keras_gen.layers.minibatch_std_dev import MinibatchStdDev
from keras_gen.layers.noise import Noise
from keras_gen.layers.quantizer import Quantizer
from keras_gen.layers.sampling import Sampling
from keras_gen.layers.spectral_normalization import SpectralNormalization
from keras_gen.layers.vector_quantizer import VectorQuantizer
