import numpy as np
import tensorflow_datasets as tfds

NUM_TEST = 297


class Digits(tfds.core.GeneratorBasedBuilder):
    """The 1,797 handwritten digits of scikit-learn as MNIST-like images, with no network."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Bicubic to 20x20 with a border of 4; 1,500 train, 297 test."}

    def _info(self):
        return self.dataset_info_from_configs(
            description=(
                "The test set of UCI's Optical Recognition of Handwritten Digits, as bundled "
                "with scikit-learn: 8x8 in 17 shades, enlarged to 20x20 and set in 28x28."
            ),
            features=tfds.features.FeaturesDict(
                {
                    # A tensor, not an image: read and written without TensorFlow or OpenCV.
                    "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        train, test = train_test_split(
            np.arange(len(digits.target)),
            test_size=NUM_TEST,
            random_state=0,
            stratify=digits.target,
        )
        return {
            "train": self._generate_examples(digits, np.sort(train)),
            "test": self._generate_examples(digits, np.sort(test)),
        }

    def _generate_examples(self, digits, indices):
        for index in indices:
            image, label = _enlarge(digits.images[index]), int(digits.target[index])
            yield int(index), {"image": image, "label": label}


def _enlarge(image):
    from PIL import Image

    # In floats: Pillow's bicubic overshoots [0, 16] and is clipped once, at the end.
    image = Image.fromarray(image.astype("float32")).resize((20, 20), Image.Resampling.BICUBIC)
    pixels = np.rint(np.clip(np.asarray(image) * (255 / 16), 0, 255)).astype("uint8")
    return np.pad(pixels, 4)[:, :, None]
