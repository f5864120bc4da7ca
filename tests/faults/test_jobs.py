"""Sixty jobs of newcomers, thirty with tables and signals and thirty with images.

Each works, with a number that comes from elsewhere, or ends before training in one sentence that
says what to do. `reports.md` tells which of them were faults when they were first tried.
"""

import io

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from PIL import Image
from scipy import sparse, stats

import keras_gen as kg

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(32, 4)).astype("float32")
COLUMNS = ["a", "b", "c", "d"]
TABLE = pd.DataFrame(ROWS, columns=COLUMNS)
CLASSES = np.arange(32) % 3
IMAGES = RANDOM.random((32, 4, 4, 1), dtype="float32")


def build_vae(shape, likelihood="gaussian", **kwargs):
    networks = kg.networks.mlp_vae(shape, 2, hidden=(4,), num_classes=kwargs.get("num_classes"))
    vae = kg.VAE(*networks, likelihood=likelihood, seed=0, **kwargs)
    vae.compile(keras.optimizers.SGD(1e-3))
    return vae


@pytest.fixture(scope="module")
def vae():
    """Of rows with four columns."""
    return build_vae((4,))


@pytest.fixture(scope="module")
def class_vae():
    return build_vae((4,), num_classes=3)


@pytest.fixture(scope="module")
def autoencoder():
    """Whose loss has no noise."""
    model = kg.Autoencoder(*kg.networks.mlp_autoencoder((4,), 2, hidden=(4,)), "gaussian")
    model.compile(keras.optimizers.SGD(1e-3))
    return model


@pytest.fixture(scope="module")
def painter():
    """A VAE of images."""
    return build_vae((4, 4, 1), "bernoulli")


@pytest.fixture(scope="module")
def gan():
    networks = kg.networks.mlp_gan((4, 4, 1), 2, (4,), (4,), num_classes=3)
    gan = kg.GAN(*networks, latent_dim=2, num_classes=3, seed=0)
    gan.compile("sgd", "sgd")
    return gan


def refused(words, call, *args, **kwargs):
    """Check that a call ends in one sentence, with these words."""
    with pytest.raises((ValueError, OSError), match=words) as caught:
        call(*args, **kwargs)
    assert len(str(caught.value)) < 600
    return str(caught.value)


def refused_by_fit(words, model, *args, **kwargs):
    """The same, before any step."""
    optimizer = getattr(model.optimizer, "generator", model.optimizer)
    steps = int(optimizer.iterations)
    message = refused(words, model.fit, *args, verbose=0, **kwargs)
    assert int(optimizer.iterations) == steps
    return message


# With tables and signals.


def test_1_a_spike_in_a_signal_is_the_strangest():
    signals = np.sin(np.linspace(0, 6, 8) + RANDOM.random((10, 1)))[..., None]
    signals[7, 3] += 20
    scores = build_vae((8, 1)).anomaly_score(signals, kind="distortion")
    assert scores.argmax() == 7


def test_2_signals_without_the_axis_of_channels(vae):
    signals = build_vae((8, 1))
    message = refused_by_fit(
        r"np.asarray\(x\).reshape\(-1, 8, 1\)", signals, np.zeros((32, 8), "float32")
    )
    assert "(32, 8)" in message


def test_3_sparse_counts_of_words(vae):
    counts = sparse.random(32, 4, 0.3, "csr", "float32", random_state=0)
    refused_by_fit(r"sparse or ragged.*x.toarray\(\)", vae, counts)
    np.testing.assert_allclose(vae.encode(counts.toarray())[0], vae.encode(counts.todense())[0])


def test_4_missing_values_are_refused_and_then_filled_in(vae):
    holes = TABLE.copy()
    holes.iloc[3, 1] = np.nan
    refused_by_fit("NaN or infinite values", vae, holes)
    filled = vae.inpaint(holes, holes.isna(), steps=2)
    seen = ~holes.isna().to_numpy()
    np.testing.assert_array_equal(filled[seen], ROWS[seen])
    assert np.isfinite(filled).all()


def test_5_a_column_of_dates(vae):
    dated = TABLE.assign(d=pd.date_range("2026-01-01", periods=32))
    refused_by_fit("holds no real numbers.*select_dtypes", vae, dated)
    refused_by_fit("holds no real numbers", vae, dated["d"].to_numpy())


def test_6_the_spectrum_of_a_signal_is_complex(vae):
    spectrum = np.fft.rfft(RANDOM.normal(size=(32, 6)))
    refused_by_fit(r"np.abs\(x\)", vae, spectrum)
    assert vae.encode(np.abs(spectrum))[0].shape == (32, 2)


def test_7_codes_of_categories_as_one_hot_columns():
    codes = RANDOM.integers(4, size=32)
    one_hot = build_vae((4,), "bernoulli")
    refused_by_fit("built for .n, 4.", one_hot, codes[:, None].astype("float32"))
    p = one_hot.reconstruct(np.eye(4)[codes])
    assert p.shape == (32, 4) and 0 < p.min() < p.max() < 1


def test_8_labels_as_words_are_numbered_as_in_training(class_vae):
    words = np.array(["low", "mid", "top"])[CLASSES]
    refused_by_fit(r"classes.index\(label\)", class_vae, ROWS, words)
    classes = np.unique(words).tolist()
    y = [classes.index(label) for label in words]
    np.testing.assert_array_equal(
        class_vae.encode(ROWS, y=y)[0], class_vae.encode(ROWS, y=CLASSES)[0]
    )


def test_9_yes_and_no_as_labels(class_vae):
    yes = ROWS[:, 0] > 0
    expected = class_vae.encode(ROWS, y=yes.astype("int64"))[0]
    np.testing.assert_array_equal(class_vae.encode(ROWS, y=pd.Series(yes))[0], expected)


def test_10_columns_in_a_dictionary(vae):
    columns = {name: TABLE[name] for name in COLUMNS}
    refused_by_fit(r"np.stack\(list\(data.values\(\)\), axis=1\)", vae, columns)
    found = vae.encode(np.stack(list(columns.values()), axis=1))[0]
    np.testing.assert_array_equal(found, vae.encode(ROWS)[0])


def test_11_a_class_that_is_missing(class_vae):
    y = pd.Series(CLASSES, dtype="float64")
    y[5] = np.nan
    refused_by_fit("hold nan.*one integer", class_vae, ROWS, y)
    refused_by_fit("`y`|labels", class_vae, ROWS, y.astype("Int64"))


def test_12_a_categorical_column_as_labels(class_vae):
    y = pd.Series(CLASSES).astype("category")
    np.testing.assert_array_equal(
        class_vae.encode(TABLE, y=y)[0], class_vae.encode(ROWS, y=CLASSES)[0]
    )


def test_13_nullable_numbers_of_pandas(vae, class_vae):
    nullable = TABLE.astype("Float64")
    np.testing.assert_allclose(vae.encode(nullable)[0], vae.encode(ROWS)[0], rtol=1e-6)
    nullable.iloc[0, 0] = pd.NA
    refused_by_fit("NaN or infinite", vae, nullable)
    filled = vae.inpaint(nullable, nullable.isna(), steps=2)
    assert np.isfinite(filled).all() and filled[0, 1] == ROWS[0, 1]
    y = pd.Series(CLASSES, dtype="Int64")
    np.testing.assert_array_equal(
        class_vae.encode(ROWS, y=y)[0], class_vae.encode(ROWS, y=CLASSES)[0]
    )


def test_14_logarithms_of_zero(vae):
    with np.errstate(divide="ignore"):
        x = np.log(np.maximum(ROWS, 0))
    refused_by_fit("NaN or infinite values", vae, x)


def test_15_lengths_of_a_warm_up_as_they_are_typed():
    refused("`steps` is '10'. Pass at least 1", kg.schedules.LinearWarmUp, "10")
    refused("`period` is None. Pass at least 1", kg.schedules.Cyclical, None)
    schedule = kg.schedules.LinearWarmUp(np.int64(10))
    assert float(schedule(5)) == pytest.approx(0.5)


def test_16_a_table_of_flags(vae):
    for flags in (ROWS > 0, TABLE > 0, (TABLE > 0).astype("boolean")):
        refused_by_fit(r'x.astype\("float32"\)', vae, flags)
        assert vae.encode(flags.astype("float32"))[0].shape == (32, 2)


def test_17_a_table_that_lies_on_its_side(vae):
    message = refused_by_fit(r"\(4, 32\).*\(n, 4\)", vae, ROWS.T)
    assert "reshape" not in message  # It would mix the columns.


def test_18_numbers_of_an_instrument_with_the_bytes_the_other_way_round(vae):
    expected = vae.encode(ROWS)[0]
    for dtype, atol in ((">f4", 1e-6), (">f8", 1e-6), ("float16", 2e-3)):
        np.testing.assert_allclose(vae.encode(ROWS.astype(dtype))[0], expected, atol=atol)
    steps = int(vae.optimizer.iterations)
    vae.fit(ROWS.astype(">f4"), verbose=0)
    assert int(vae.optimizer.iterations) == steps + 1


def test_19_rows_in_reverse_and_every_other_column(vae):
    np.testing.assert_array_equal(vae.encode(ROWS[::-1])[0], vae.encode(ROWS)[0][::-1])
    wide = np.repeat(ROWS, 2, axis=1)
    np.testing.assert_array_equal(vae.encode(wide[:, ::2])[0], vae.encode(ROWS)[0])
    vae.fit(ROWS[::-1], verbose=0)


def test_20_windows_that_overlap(vae):
    signal = RANDOM.normal(size=40).astype("float32")
    windows = np.lib.stride_tricks.sliding_window_view(signal, 4)  # A view, read-only.
    vae.fit(windows, verbose=0)
    mean, _ = vae.encode(windows)
    assert mean.shape == (37, 2)
    np.testing.assert_allclose(mean[5], vae.encode(signal[None, 5:9])[0][0], rtol=1e-5)


def test_21_one_column_without_an_axis():
    column = build_vae((1,))
    refused_by_fit(r"np.asarray\(x\).reshape\(-1, 1\)", column, ROWS[:, 0])


def test_22_validation_rows_with_a_column_more(vae):
    more = np.concatenate([ROWS, ROWS[:, :1]], axis=1)
    refused_by_fit(r"\(32, 5\).*\(n, 4\)", vae, ROWS, validation_data=(more,))
    refused_by_fit(r"\(32, 5\).*\(n, 4\)", vae, ROWS, validation_data=(more, None))


def test_23_the_mean_of_a_loss_has_no_batch_size(autoencoder):
    losses = [autoencoder.evaluate(ROWS, batch_size=n, verbose=0)[0] for n in (32, 8, 5)]
    decoded = autoencoder.reconstruct(ROWS)
    by_hand = -stats.norm.logpdf(ROWS, decoded, 1).sum(axis=1).mean()
    np.testing.assert_allclose(losses, by_hand, rtol=1e-5)


def test_24_weights_of_rows(autoencoder):
    weights = np.linspace(0, 2, 32)
    decoded = autoencoder.reconstruct(ROWS)
    by_hand = -stats.norm.logpdf(ROWS, decoded, 1).sum(axis=1)
    loss = autoencoder.evaluate(ROWS, sample_weight=pd.Series(weights), verbose=0)[0]
    assert loss == pytest.approx(np.mean(weights * by_hand), rel=1e-5)
    refused_by_fit(
        "32 examples and `sample_weight` 31", autoencoder, ROWS, sample_weight=weights[1:]
    )


def test_25_numbers_that_are_no_numbers_of_epochs_or_rows(vae):
    refused_by_fit("`epochs` is '10'. Pass an integer", vae, ROWS, epochs="10")
    refused_by_fit("`batch_size` is 0. Pass an integer", vae, ROWS, batch_size=0)
    refused_by_fit("`batch_size` is -1. Pass an integer", vae, ROWS, batch_size=-1)


def test_26_going_on_with_another_batch_size(tmp_path):
    def fit(batch_size, epochs):
        data = kg.data.ArrayDataset(ROWS, batch_size=batch_size)
        checkpoint = kg.callbacks.Checkpoint(tmp_path, every=1)
        return build_vae((4,)).fit(data, epochs=epochs, verbose=0, callbacks=[checkpoint])

    fit(32, 1)
    refused("batch_size was 32, and is 8.*\n.*remove this one", fit, 8, 2)


def test_27_the_density_of_ppca_is_that_of_its_gaussian():
    x = np.concatenate([ROWS * [1, 2, 3, 4], np.full((32, 1), 7.0)], axis=1)  # A constant, too.
    ppca = kg.PPCA.fit(x, 2)
    # Tipping and Bishop: W W' + sigma^2 I, by the eigenvalues of the covariance.
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[:3].mean()
    covariance = (vectors * [noise, noise, noise, *values[3:]]) @ vectors.T
    expected = stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x)
    np.testing.assert_allclose(ppca.log_likelihood(x), expected, rtol=1e-5)


def test_28_tables_of_pandas_in_the_metrics_and_the_sets():
    others = TABLE + 1
    expected = kg.metrics.frechet_distance(ROWS, others.to_numpy())
    assert kg.metrics.frechet_distance(TABLE, others) == pytest.approx(expected)
    # Halves of 16 rows: the means of the four columns differ by 1, and by chance.
    assert 1 < kg.metrics.quality(TABLE, others, metrics="frechet")["frechet"] < 12
    np.testing.assert_array_equal(kg.data.ArrayDataset(TABLE, shuffle=False)[0], ROWS)
    counts = (10 * TABLE).astype(int)
    refused(r'floats, `x.astype\("float32"\)`', kg.data.ArrayDataset, counts)
    data = kg.data.ArrayDataset(counts.astype("float32"), shuffle=False)
    np.testing.assert_array_equal(data[0], counts)


def test_29_tensors_of_the_backend(vae):
    found = vae.encode(ops.convert_to_tensor(ROWS))[0]
    np.testing.assert_array_equal(found, vae.encode(ROWS)[0])
    assert isinstance(found, np.ndarray)


def test_30_samples_in_the_units_of_the_table(vae):
    mean, sd = 100.0, 15.0
    samples = mean + sd * vae.sample(2000, seed=0, draw_pixels=True)
    assert samples.shape == (2000, 4)
    # x = decoder(z) + noise of sigma 1: its standard deviation is at least sd.
    assert np.all(samples.std(axis=0) > 0.95 * sd)


# With images.


def png(path, array, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, "uint8"), mode).save(path)


def noise(i=0, shape=(4, 4, 3)):
    return np.random.default_rng(i).integers(256, size=shape)


@pytest.fixture
def photos(tmp_path):
    for i in range(12):
        png(tmp_path / "photos" / f"{i}.png", noise(i))
    return tmp_path / "photos"


def test_31_grey_images_with_transparency_lie_on_the_background(tmp_path):
    for i in range(3):
        grey = np.full((4, 4), 80 + i)
        opaque = np.where(np.arange(16).reshape(4, 4) < 8, 255, 0)
        layers = [Image.fromarray(np.asarray(a, "uint8")) for a in (grey, opaque)]
        (tmp_path / "la").mkdir(exist_ok=True)
        Image.merge("LA", layers).save(tmp_path / "la" / f"{i}.png")
    train, test = kg.data.folder(tmp_path / "la", background="black", test=0)
    assert test is None and train.x.shape == (3, 4, 4, 1)
    np.testing.assert_allclose(train.x[0, :2], 80 / 255, rtol=1e-6)
    assert not train.x[0, 2:].any()


def test_32_a_folder_with_one_image(tmp_path):
    png(tmp_path / "one" / "1.png", noise())
    refused("1 different images", kg.data.folder, tmp_path / "one")
    train, _ = kg.data.folder(tmp_path / "one", test=0)
    np.testing.assert_allclose(train[0][0], noise() / 255, rtol=1e-6)


def test_33_sides_that_are_odd():
    gan = kg.GAN(*kg.networks.mlp_gan((5, 7, 3), 2, (4,), (4,)), latent_dim=2)
    assert gan.generator.output_shape == (None, 5, 7, 3)
    refused(r"\(5, 7, 3\).*divisible by 4; resize or pad", kg.networks.conv_vae, (5, 7, 3), 2)


def test_34_pictures_in_upper_case_and_files_of_the_desktop(photos):
    (photos / "0.png").rename(photos / "0.PNG")
    (photos / ".DS_Store").write_bytes(b"\0")
    (photos / "Thumbs.db").write_bytes(b"\0")
    train, test = kg.data.folder(photos)
    assert train.num_examples + test.num_examples == 12


def test_35_images_of_another_range_or_size_to_measure_samples_by(painter):
    for images, words in (
        (255 * IMAGES, r"data lie in \[0.*, 25.*Divide 8-bit images by 255"),
        (np.repeat(IMAGES, 2, axis=1), r"\(20, 8, 4, 1\).*\(n, 4, 4, 1\)"),
    ):
        quality = kg.callbacks.SampleQuality(images, samples=10)
        refused_by_fit(words, painter, IMAGES, callbacks=[quality])


def test_36_images_of_two_sizes_next_to_each_other():
    larger = np.repeat(np.repeat(IMAGES, 2, axis=1), 2, axis=2)
    pixels = kg.features.Pixels(limit=16)  # Of both it makes 16 numbers.
    refused(r"\(4, 4, 1\) and `fake` \(8, 8, 1\)", kg.metrics.quality, IMAGES, larger, pixels)


def test_37_a_class_that_there_is_not(gan):
    refused("from 7 to 7.*pass 0 to 2", gan.sample, 2, y=7)
    refused("from -1 to -1.*pass 0 to 2", gan.sample, 2, y=-1)
    refused(r"\(2,\) for 3 examples", gan.sample, 3, y=[0, 1])
    refused("y=", gan.sample, 3)


def test_38_a_class_is_drawn(gan):
    z = gan.draw_latents(3, seed=1)
    np.testing.assert_array_equal(gan.sample(3, y=2, seed=1), gan.generate(z, y=[2, 2, 2]))
    assert np.abs(gan.generate(z, y=2) - gan.generate(z, y=1)).max() > 1e-4


def test_39_numbers_of_samples_that_are_none(painter):
    for n in (0, -1, 2.5, "4", None, [4]):
        refused("`num_samples` is .*Pass an integer, at least 1", painter.sample, n)
    refused("seed", painter.sample, 4, seed=3.5)


def test_40_the_lower_half_is_painted_in(painter):
    mask = np.zeros(IMAGES[:3].shape, bool)
    mask[:, 2:] = True
    filled = painter.inpaint(np.where(mask, np.nan, IMAGES[:3]), mask, steps=2, seed=0)
    np.testing.assert_array_equal(filled[:, :2], IMAGES[:3, :2])
    assert np.all((filled[:, 2:] > 0) & (filled[:, 2:] < 1))
    refused(r"mask", painter.inpaint, IMAGES[:3], (255 * mask).astype("uint8"))
    refused(r"mask", painter.inpaint, IMAGES[:3], mask[..., 0])


def test_41_optimizers_that_are_none():
    players = kg.networks.mlp_gan((4, 4, 1), 2, (4,), (4,))
    compile_gan = kg.GAN(*players, latent_dim=2).compile
    adam = keras.optimizers.Adam
    refused("`generator_optimizer` is <class.*Pass an object", compile_gan, adam, adam)
    refused("`generator_optimizer` is 0.0001. Pass an object", compile_gan, 1e-4, 1e-4)
    refused("`discriminator_optimizer` is 0.0002. Pass an object", compile_gan, "adam", 2e-4)


def test_42_widths_that_are_none_are_called_by_their_names():
    networks = kg.networks
    refused(r"`hidden` is \(\). Pass", networks.mlp_vae, (4, 4, 1), 2, hidden=())
    refused("`filters` is 0. Pass", networks.conv_vae, (4, 4, 1), 2, filters=(4, 0))
    refused("`generator_hidden` is 2.5. Pass", networks.mlp_gan, (4, 4, 1), 2, (2.5,))
    refused("`discriminator_hidden` is 'a'", networks.mlp_gan, (4, 4, 1), 2, (4,), ("a",))
    refused(
        "`kernel_size` is an array|`kernel_size` is",
        networks.dcgan,
        (8, 8, 1),
        2,
        kernel_size=(3, 3),
    )
    refused("`width` is", networks.resnet_gan, (8, 8, 1), 2, width=(8, 16))


def test_43_a_walk_in_a_circle_comes_back(gan):
    angles = np.linspace(0, 2 * np.pi, 9)
    walk = gan.generate(np.stack([np.cos(angles), np.sin(angles)], axis=1), y=1)
    np.testing.assert_allclose(walk[0], walk[-1], atol=1e-6)
    assert np.abs(walk[0] - walk[4]).max() > 1e-3


def test_44_pictures_where_a_folder_belongs(tmp_path):
    (tmp_path / "samples.png").write_text("kept")
    refused("is a file. Pass a directory", kg.callbacks.SampleGrid, tmp_path / "samples.png")
    refused("`every` is 0. Pass an integer", kg.callbacks.SampleGrid, tmp_path, every=0)
    refused("`num_samples` is 0", kg.callbacks.SampleGrid, tmp_path, num_samples=0)


def test_45_sizes_and_channels_that_are_none(photos):
    refused("`size`", kg.data.folder, photos, size=(8, 0))
    refused("`size`", kg.data.folder, photos, size=8.5)
    refused("`size`", kg.data.folder, photos, size=(8, 8, 3))
    refused("`channels` is 4. Pass 1", kg.data.folder, photos, channels=4)
    refused("`test` is 1", kg.data.folder, photos, test=1)


def test_46_a_path_as_it_is_typed(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos.parent))
    for path in (f"{photos}/", "~/photos", photos / ".." / "photos"):
        train, test = kg.data.folder(path)
        assert train.num_examples + test.num_examples == 12
    with pytest.raises(FileNotFoundError, match="fotos"):
        kg.data.folder(photos.parent / "fotos")


def test_47_classes_named_by_numbers_are_told_in_their_order(tmp_path):
    for name in ("2", "10", "1"):
        for i in range(2):
            png(tmp_path / "years" / name / f"{i}.png", noise(10 * int(name) + i))
    train, _ = kg.data.folder(tmp_path / "years", test=0)
    _, y = train.examples(slice(None))
    named = [train.class_names[label] for label in y]
    assert named == [str(file).split("/")[-2] for file in train.files]


def test_48_the_same_picture_under_many_names(tmp_path):
    for i in range(24):
        png(tmp_path / "copies" / f"{i:02d}.png", noise(i % 12))
    train, test = kg.data.folder(tmp_path / "copies")
    sides = [{image.tobytes() for image in data.x} for data in (train, test)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 12


def test_49_fewer_images_than_a_batch(painter):
    before = int(painter.optimizer.iterations)
    painter.fit(IMAGES[:5], batch_size=128, epochs=2, verbose=0)
    assert int(painter.optimizer.iterations) == before + 2


def test_50_a_picture_that_was_renamed_to_a_model(tmp_path):
    png(tmp_path / "a.png", noise())
    (tmp_path / "a.png").rename(tmp_path / "a.keras")
    refused("a.keras", kg.saving.load_model, tmp_path / "a.keras")
    refused("b.keras", kg.saving.load_model, tmp_path / "b.keras")


def test_51_black_and_white_draws(painter):
    drawn = painter.sample(200, seed=0, draw_pixels=True)
    assert np.unique(drawn).tolist() == [0, 1]
    shades = painter.sample(200, seed=0)
    assert drawn.mean() == pytest.approx(shades.mean(), abs=4 * 0.5 / drawn.size**0.5)


def test_52_one_picture_forty_times_has_a_distance_and_no_neighbours():
    same, others = np.repeat(IMAGES[:1], 40, axis=0), IMAGES[1:21]
    quality = kg.metrics.quality(same, others, metrics=("frechet", "recall", "precision"))
    mean, spread = others.mean(axis=0) - IMAGES[0], others.var(axis=0, ddof=1).sum()
    assert quality["frechet"] == pytest.approx((mean**2).sum() + spread, rel=1e-4)
    assert quality["precision"] == 0 and quality["frechet_ratio"] > 1e6


def test_53_a_grid_of_pictures_as_it_is_asked_for(tmp_path):
    grid = kg.callbacks.image_grid(IMAGES[:6], columns=3, padding=1, scale=1)
    assert grid.shape == (2 * 4 + 3, 3 * 4 + 4, 3)
    refused("`columns`", kg.callbacks.image_grid, IMAGES, columns=0)
    refused("shape", kg.callbacks.image_grid, IMAGES[0, ..., 0])
    kg.callbacks.save_png(tmp_path / "grid.png", grid)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grid.png")), grid)


def test_54_a_film_with_a_frame_of_another_size(tmp_path):
    frames = [kg.callbacks.image_grid(IMAGES[:n]) for n in (4, 16)]
    refused("frames|size|shape", kg.callbacks.save_gif, tmp_path / "film.gif", frames)
    refused("frames|pictures|empty|one", kg.callbacks.save_gif, tmp_path / "film.gif", [])
    assert not (tmp_path / "film.gif").exists()


def test_55_bytes_of_files_in_place_of_images(painter):
    file = io.BytesIO()
    Image.fromarray(noise().astype("uint8")).save(file, "PNG")
    refused_by_fit("`x`", painter, [file.getvalue()] * 4)
    refused_by_fit("`x`", painter, file)


def test_56_a_folder_set_of_another_size_than_the_model(painter, photos):
    train, _ = kg.data.folder(photos, size=8)
    refused_by_fit(r"\(12, 8, 8, 3\)|\(\d+, 8, 8, 3\).*\(n, 4, 4, 1\)", painter, train)
    train, _ = kg.data.folder(photos, channels=1, test=0)
    assert painter.encode(train)[0].shape == (12, 2)


def test_57_labels_that_the_model_does_not_have(painter, gan):
    refused("num_classes|labels|classes", painter.sample, 3, y=1)
    refused_by_fit("label|`y`", gan, IMAGES)
    assert gan.num_classes == 3


def test_58_a_mean_of_two_pictures(painter):
    mean, _ = painter.encode(IMAGES[:2])
    steps = painter.interpolate(IMAGES[:1], IMAGES[1:2], steps=3)
    np.testing.assert_allclose(steps[0, 1], painter.decode(mean.mean(axis=0)[None])[0], atol=1e-5)


def test_59_pictures_of_a_model_that_diverged():
    broken = IMAGES[:4].copy()
    broken[1:] = np.nan
    with pytest.warns(UserWarning, match="NaN or infinite. If a model made them, it diverged"):
        kg.callbacks.image_grid(broken)


def test_60_the_same_class_every_time_and_other_z(gan):
    a, b = gan.sample(4, y=1, seed=0), gan.sample(4, y=1, seed=1)
    np.testing.assert_array_equal(a[:2], gan.sample(2, y=1, seed=0))
    assert np.abs(a - b).max() > 1e-4
