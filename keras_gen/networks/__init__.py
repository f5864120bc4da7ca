"""Ready-made networks, as Keras functional models, for the models of this library."""

from keras_gen.networks.burda import burda_two_layer_vae, burda_vae
from keras_gen.networks.code_transformer import code_transformer
from keras_gen.networks.conv import conv_autoencoder, conv_vae
from keras_gen.networks.dcgan import dcgan
from keras_gen.networks.linear import linear_vae
from keras_gen.networks.mlp import mlp_autoencoder, mlp_vae
from keras_gen.networks.mlp_gan import mlp_gan
from keras_gen.networks.patch_discriminator import patch_discriminator
from keras_gen.networks.points import pacgan_points, point_gan
from keras_gen.networks.posterior import posterior_outputs
from keras_gen.networks.resnet_gan import resnet_gan
from keras_gen.networks.resnet_vae import resnet_vae
from keras_gen.networks.unet import unet_autoencoder
from keras_gen.networks.vqvae import vqvae
