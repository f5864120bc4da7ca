"""Augmentations: which transforms, how often, and a probability that moves with overfitting."""

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_gen import backend, configs
from keras_gen.arguments import as_sequence
from keras_gen.augment import transforms as transforms_of_images
from keras_gen.identifiers import resolve

# Of ADA's sets "pixel blitting", "geometry" and "colour". Each is safe below p = 0.8: how often an
# image is not changed can be told from the changed ones.
INVERTIBLE = ("flip", "rotation", "translation", "scaling", "color")


class Augmentation(configs.TakesVariables, keras.layers.Layer):
    """Base class: a subclass writes `probability`, with which each transform is applied.

    `GAN(..., augment=...)` shows its discriminator augmented images only, real and fake alike, in
    both players' steps, and penalties take the gradient with respect to the image before it. What
    is random is drawn by `draw`; a call `augment(x, draw)` is a pure function. With p = 0 it
    returns `x` itself, to the bit.

    Args:
        transforms: Names or `Transform` objects, applied in this order.
        value_range: Values of black and white in the images.
    """

    logged = ()  # Names of the scalars in `terms`.

    def __init__(self, transforms, value_range=(0, 1), **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.transforms = [transforms_of_images.get(t) for t in as_sequence(transforms)]
        low, high = self.value_range = tuple(value_range)
        if not low < high:
            raise ValueError(f"`value_range` is {value_range}. Pass (black, white), as (0, 1).")
        self.built = True

    def draw(self, random, num_images, step=0):
        """Return which transforms are applied to each image, and their numbers.

        Args:
            random: A stream with `uniform(shape)` over [0, 1), such as `kg.layers.Noise(seed)`.
            num_images: Images, a number or a scalar tensor.
            step: Training steps so far, for a scheduled probability.

        Returns:
            `(applied, numbers)`: (num_images, transforms), boolean, and (num_images, numbers).
        """
        gates = len(self.transforms)
        u = random.uniform((num_images, gates + sum(t.size for t in self.transforms)))
        return u[:, :gates] < ops.cast(self.probability(step), u.dtype), u[:, gates:]

    def call(self, x, draw):
        applied, numbers = draw
        low, high = self.value_range
        middle, half = (low + high) / 2, (high - low) / 2
        numbers = ops.cast(numbers, x.dtype)
        y, start = (x - middle) / half, 0
        for i, transform in enumerate(self.transforms):
            end = start + transform.size
            y = ops.where(_of_image(applied[:, i]), transform(y, numbers[:, start:end]), y)
            start = end
        return ops.where(_of_image(ops.any(applied, axis=1)), middle + half * y, x)

    def probability(self, step):
        """Return p, a number or a scalar tensor."""
        raise NotImplementedError

    def terms(self, real_logits, fake_logits, has_zero, step):
        """Return the scalars to log of a step of the discriminator: by name, as in `logged`.

        `has_zero` says that an output above 0 means "real", as with a loss that has a
        `probability`.
        """
        return {}

    def adapt(self, terms, num_images):
        """Move what adapts, after a step of the discriminator with these `terms`."""

    def check(self, image_shape):
        """Raise ValueError if examples of this shape cannot be augmented."""
        if len(image_shape) != 3:
            raise ValueError(
                f"`augment` changes images, (height, width, channels), and the examples have shape "
                f"{tuple(image_shape)}. Leave it out."
            )
        for transform in self.transforms:
            transform.check(image_shape)

    def check_bounds(self, bounds):
        """Raise ValueError if a generator's bounds, where they are known, are not `value_range`."""
        if bounds is not None and tuple(bounds) != self.value_range:
            raise ValueError(
                f"The generator's images are in [{bounds[0]:g}, {bounds[1]:g}], and `augment` "
                f"expects {list(self.value_range)}. Pass it value_range={tuple(bounds)}."
            )

    def get_config(self):
        serialized = [keras.saving.serialize_keras_object(t) for t in self.transforms]
        return {**super().get_config(), "transforms": serialized, "value_range": self.value_range}

    @classmethod
    def from_config(cls, config):
        return cls(**configs.deserialize(config))


@keras.saving.register_keras_serializable("keras_gen")
class DiffAugment(Augmentation):
    """Applies every transform to every image: colour, translation and cutout by default.

    For some hundred to some thousand images. As all images are changed, samples may show the
    changes: "flip" and "rotation" belong to `Scheduled` or `Adaptive`.

    Row i of the real and of the fake images, and a penalised point between them, have the same
    draw; in the paper those of real and fake images are independent.

    Args:
        transforms: Names or `Transform` objects, applied in this order: "color", "translation",
            "cutout", "flip", "rotation", "scaling".
        value_range: Values of black and white in the images.

    Example:

    ```python
    augment = DiffAugment(("color", "translation"))
    gan = kg.GAN(*kg.networks.dcgan((28, 28, 1), 64), latent_dim=64, augment=augment)

    draw = augment.draw(kg.layers.Noise(seed=0), num_images=len(x))
    images = augment(x, draw)  # What the discriminator sees.
    ```

    Reference:
        Zhao et al. (2020), "Differentiable Augmentation for Data-Efficient GAN Training",
        equations 2 to 4: https://arxiv.org/abs/2006.10738
    """

    def __init__(self, transforms=("color", "translation", "cutout"), value_range=(0, 1), **kwargs):
        super().__init__(transforms, value_range, **kwargs)

    def probability(self, step):
        return 1.0


def _check_probability(name, value):
    if not isinstance(value, LearningRateSchedule) and not 0 <= configs.value_of(value) <= 1:
        raise ValueError(f"`{name}` is {value}. It is a probability: pass a number in [0, 1].")
    return value


@keras.saving.register_keras_serializable("keras_gen")
class Scheduled(Augmentation):
    """Applies each transform to each image with the probability p, a number or a schedule.

    Each image and each transform is decided for by itself. Samples do not show the changes while
    p is below 0.8. `fit` logs `augment_p`.

    Args:
        p: In [0, 1]: a number, a scalar `keras.Variable`, or a Keras schedule, read at
            `optimizer.iterations`, such as `kg.schedules.LinearWarmUp(10_000, end=0.3)`.
        transforms: As in `DiffAugment`.
        value_range: Values of black and white in the images.

    Example:

    ```python
    ramp = kg.schedules.CosineRamp(10 * len(train), start=0.0, end=0.3)
    gan = kg.GAN(*kg.networks.dcgan((28, 28, 1), 64), latent_dim=64, augment=Scheduled(ramp))
    ```

    Reference:
        Karras et al. (2020), "Training Generative Adversarial Networks with Limited Data",
        section 2.2: https://arxiv.org/abs/2006.06676
    """

    logged = ("augment_p",)
    numbers = {"p": _check_probability}

    def __init__(self, p, transforms=INVERTIBLE, value_range=(0, 1), **kwargs):
        super().__init__(transforms, value_range, **kwargs)
        self.p = p

    def probability(self, step):
        return self.p(step) if isinstance(self.p, LearningRateSchedule) else configs.in_step(self.p)

    def terms(self, real_logits, fake_logits, has_zero, step):
        return {"augment_p": ops.convert_to_tensor(self.probability(step), dtype="float32")}

    def get_config(self):
        return {**super().get_config(), "p": configs.serialize(self.p)}


@keras.saving.register_keras_serializable("keras_gen")
class Adaptive(Augmentation):
    """Applies each transform with a probability p that grows while the discriminator overfits.

    After each of its steps, p is moved by sign(r - target) * images / ramp_images, where
    r = E[sign D(x_real)], which is near 1 for a discriminator that knows the training images by
    heart. That is the paper's r_t, for losses whose output has a zero, those with a `probability`.
    The others compare outputs: there r = E[sign(D(x_real) - E[D(x_fake)])], which is ours.
    The paper moves p after every fourth step. `fit` logs `augment_p` and `augment_r`.

    Args:
        target: The r at which p stays, in (-1, 1).
        transforms: As in `DiffAugment`.
        ramp_images: Images in which p goes from 0 to 1 at the most. The paper's number is for
            runs of 25 million images: pass less for a short run.
        limit: Largest p. The paper's samples show the changes from about 0.8 on.
        value_range: Values of black and white in the images.

    Attributes:
        p: The probability, a variable that starts at 0 and is saved with the model.

    Example:

    ```python
    augment = Adaptive(ramp_images=20 * len(x))
    gan = kg.GAN(*kg.networks.dcgan((28, 28, 1), 64), latent_dim=64, augment=augment)
    ```

    Reference:
        Karras et al. (2020), "Training Generative Adversarial Networks with Limited Data",
        section 3, equation 1: https://arxiv.org/abs/2006.06676
    """

    logged = ("augment_p", "augment_r")

    def __init__(
        self,
        target=0.6,
        transforms=INVERTIBLE,
        ramp_images=500_000,
        limit=0.8,
        value_range=(0, 1),
        **kwargs,
    ):
        super().__init__(transforms, value_range, **kwargs)
        if not -1 < target < 1:
            raise ValueError(f"`target` is {target}. It is a mean of signs: pass one in (-1, 1).")
        if not ramp_images > 0:
            raise ValueError(f"`ramp_images` is {ramp_images}. Pass a positive number of images.")
        if not 0 <= limit <= 1:
            raise ValueError(f"`limit` is {limit}. It is a probability: pass a number in [0, 1].")
        self.target = target
        self.ramp_images = ramp_images
        self.limit = limit
        self.p = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # It is the same on all.
            name="p",
        )

    def probability(self, step):
        return ops.convert_to_tensor(self.p)

    def terms(self, real_logits, fake_logits, has_zero, step):
        # Of one device's part of the batch; `adapt` takes the mean of them all.
        zero = 0.0 if has_zero else backend.mean_over_replicas(ops.mean(fake_logits))
        r = ops.mean(ops.sign(real_logits - zero))
        return {"augment_p": self.probability(step), "augment_r": r}

    def adapt(self, terms, num_images):
        rs = backend.gather_from_replicas(ops.reshape(terms["augment_r"], (1,)))
        images = ops.cast(num_images * ops.shape(rs)[0], self.p.dtype)
        r = ops.mean(rs)
        direction = ops.cast(ops.sign(r - self.target), self.p.dtype)
        p = self.probability(None)
        moved = ops.clip(p + direction * images / self.ramp_images, 0.0, self.limit)
        self.p.assign(ops.where(ops.isfinite(r), moved, p))  # A NaN among the images leaves it.

    def get_config(self):
        return {
            **super().get_config(),
            "target": self.target,
            "ramp_images": self.ramp_images,
            "limit": self.limit,
        }


KINDS = (DiffAugment, Adaptive)


def get(identifier):
    """Return an augmentation as it is, or make one from a name such as "diff_augment"."""
    return resolve(
        identifier, Augmentation, KINDS, "`augment`", "`kg.augment` object such as Scheduled(0.3)"
    )


def _of_image(flags):
    return ops.reshape(flags, (-1, 1, 1, 1))
