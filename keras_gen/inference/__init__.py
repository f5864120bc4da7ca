"""Questions to a trained model: functions that take the model as an argument."""

from keras_gen.inference.anomaly import anomaly_score
from keras_gen.inference.codes import fit_code_prior, log_prob_of_codes
from keras_gen.inference.fitting import fit_prior
from keras_gen.inference.inpainting import inpaint
from keras_gen.inference.interpolation import interpolate_examples, interpolate_latents, walk
from keras_gen.inference.inversion import invert
from keras_gen.inference.likelihood import log_likelihood
from keras_gen.inference.predict import predict
