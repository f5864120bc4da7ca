import keras

from keras_gen.priors.base import Prior
from keras_gen.priors.distributions import UnitNormal


@keras.saving.register_keras_serializable("keras_gen")
class StandardNormal(Prior):
    """p(z) = N(0, I), the prior of Kingma and Welling (2014): the default.

    It has no weights, and the KL of a diagonal q(z|x) to it is a closed form.

    Example:

    ```python
    vae = kg.VAE(*networks, prior=StandardNormal())
    ```

    Reference:
        Kingma and Welling (2014), "Auto-Encoding Variational Bayes", appendix B:
        https://arxiv.org/abs/1312.6114
    """

    factorises = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def distribution(self, model):
        return UnitNormal(model.prior_size)

    def get_config(self):
        # Keras writes none for a layer that was given a policy, as one that comes from a file.
        return super().get_config()
