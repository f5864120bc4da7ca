"""--recipe r3gan: what changes while it trains, all along half a cosine in the first half.

The paper's numbers are those of its code for FFHQ at 64x64: learning rates from 2e-4 to 5e-5,
gamma from 2 to 0.2, each transform of the augmentation with a probability from 0 to 0.3.

Reference: Huang et al. (2024), "The GAN is dead; long live the GAN! A Modern Baseline GAN":
https://arxiv.org/abs/2501.05441
"""

SHARE = 0.5  # Of the run: after it nothing changes.
P = 0.3


def gamma_of(image_shape):
    """Return the gamma of R1 and R2 at the beginning, in proportion to the number of pixels.

    The paper's 2 is for 64x64 pixels in [-1, 1]. In [0, 1] a gradient has four times the square.
    """
    height, width, *_ = image_shape
    return 2 / 4 * height * width / 64**2


def learning_rate(start, steps):
    return _ramp(steps, start, start / 4)


def gamma(start, steps):
    return _ramp(steps, start, start / 10)


def probability(steps):
    """Return the probability with which the discriminator's images are changed."""
    return _ramp(steps, 0.0, P)


def _ramp(steps, start, end):
    import keras_gen as kg

    return kg.schedules.CosineRamp(max(1, SHARE * steps), start, end)
