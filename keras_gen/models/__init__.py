"""Generative models: one file per paper, the algorithm from top to bottom."""

from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.denoising import DenoisingAutoencoder, DenoisingVAE
from keras_gen.models.gan import GAN
from keras_gen.models.iwae import IWAE, DReGIWAE
from keras_gen.models.two_layer_iwae import TwoLayerIWAE
from keras_gen.models.two_optimizers import TwoOptimizers
from keras_gen.models.vae import VAE
from keras_gen.models.vaegan import VAEGAN
from keras_gen.models.vqgan import VQGAN
from keras_gen.models.vqvae import VQVAE
from keras_gen.models.wgan import WGAN
