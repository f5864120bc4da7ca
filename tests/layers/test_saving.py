import keras
import numpy as np

from keras_gen import layers


def test_a_discriminator_of_all_layers_survives_a_keras_file(tmp_path):
    x = keras.Input((8, 8, 3))
    h = layers.SpectralNormalization(keras.layers.Conv2D(4, 3, strides=2, activation="relu"))(x)
    h = layers.BatchNormalization()(h)
    h = layers.SpectralNormalization(keras.layers.Conv2DTranspose(4, 3), power_iterations=2)(h)
    h = layers.GroupNormalization(groups=2)(h)
    h = layers.LayerNormalization(axis=[1, 2, 3])(h)
    h = layers.MinibatchStdDev(group_size=2)(h)
    h = layers.MinibatchDiscrimination(3, 2)(keras.layers.Flatten()(h))
    model = keras.Model(x, layers.SpectralNormalization(keras.layers.Dense(1))(h))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    model.compile(optimizer="sgd", loss="mse")
    model.fit(images, np.ones((4, 1)), epochs=2, verbose=0)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for weight, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    np.testing.assert_allclose(again.predict(images), model.predict(images), rtol=1e-6)
