"""The explorer in headless Chromium, on each backend: `python -m tests --browser`."""

import importlib.util
import io
import os
import re
import subprocess
import sys
import urllib.request

import keras
import numpy as np
import pytest
from PIL import Image

import keras_gen as kg
from tests.report.browsing import asked, value, wait

pytestmark = [pytest.mark.browser, pytest.mark.once]

pytest.importorskip("gradio")
BACKENDS = [n for n in ("torch", "tensorflow", "jax") if importlib.util.find_spec(n)]
SCALE = 11  # Of one image of 28 pixels.


@pytest.fixture(scope="module")
def digits():
    return kg.data.load("digits", labels=True)


@pytest.fixture(scope="module", params=["vae", "gan"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family, digits, tmp_path_factory):
    """A small model with classes, trained for a few seconds, and its file."""
    train, _ = digits
    sizes = {"image_shape": (28, 28, 1), "latent_dim": 8, "num_classes": 10}
    if family == "vae":
        networks = kg.networks.mlp_vae(**sizes, hidden=(64,))
        model = kg.VAE(*networks, num_classes=10)
        model.compile(keras.optimizers.Adam(2e-3))
    else:
        networks = kg.networks.mlp_gan(**sizes, generator_hidden=(64,), discriminator_hidden=(64,))
        model = kg.GAN(*networks, latent_dim=8, num_classes=10)
        model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    model.fit(train, epochs=10, verbose=0)
    path = tmp_path_factory.mktemp("model") / f"{family}.keras"
    model.save(path)
    return model, path


@pytest.fixture(scope="module", params=BACKENDS)
def address(request, model):
    """The page of `python -m train.explore`, on one backend."""
    command = [sys.executable, "-u", "-m", "train.explore", str(model[1]), "--port", "0"]
    environment = {**os.environ, "KERAS_BACKEND": request.param}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        said, found = [], None
        while found is None and (line := process.stdout.readline()):
            said.append(line)
            found = re.match(r"Open (http://127\.0\.0\.1:\d+/)", line)
        print(request.param, "".join(said))  # The latencies.
        assert found, said
        yield found[1]
        process.terminate()


def shown(browser, name):
    """The image that stands in a part of the page, float (28, 28), or None."""
    source = f"(document.querySelector('#{name} img') || {{}}).src || null"
    source = value(browser, source)
    if source is None:
        return None
    with urllib.request.urlopen(source) as file:
        pixels = np.asarray(Image.open(io.BytesIO(file.read())).convert("L"))
    return pixels[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE] / 255


def changed(browser, name, before):
    """Wait until another image stands in a part of the page, and return it."""

    def look():
        now = shown(browser, name)
        is_new = now is not None and (before is None or np.any(now != before))
        return [now] if is_new else None

    return wait(look)[0]


def press(browser, selector):
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()
    return element


def paint(browser, selector):
    """Paint over the middle of the lower half of an image, line by line."""
    from selenium.webdriver import ActionChains

    canvas = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    for down in (8, 16, 24, 32):
        line = ActionChains(browser).move_to_element_with_offset(canvas, -25, down)
        line.click_and_hold().move_by_offset(25, 0).move_by_offset(25, 0).release().perform()


def test_the_page_answers_and_asks_nothing_of_the_net(browser, model, digits, address, tmp_path):
    model, _ = model
    browser.get_log("performance")
    browser.get(address)
    # A slider changes the picture, and so does a class.
    first = changed(browser, "picture", None)
    slider = browser.find_element("css selector", "#slider0 input[type=range]")
    slider.send_keys("\ue010")  # End.
    moved = changed(browser, "picture", first)
    press(browser, "#label input")
    wait(lambda: browser.find_elements("css selector", "[role=option][aria-label='7']"))
    press(browser, "[role=option][aria-label='7']")
    changed(browser, "picture", moved)

    press(browser, "button[role=tab]:nth-of-type(4)")
    is_gan = hasattr(model, "generator")
    x = model.sample(1, y=7, seed=3)[0] if is_gan else digits[1].x[digits[1].y == 7][0]
    kg.callbacks.save_png(tmp_path / "digit.png", kg.callbacks.image_grid(x[None], 1, 0, 1))
    wait(lambda: browser.find_elements("css selector", "#upload input[type=file]"))
    upload = browser.find_element("css selector", "#upload input[type=file]")
    upload.send_keys(str(tmp_path / "digit.png"))
    wait(lambda: browser.find_elements("css selector", "#upload img"))
    press(browser, "#reconstruct")
    image = changed(browser, "answer", None)
    average = digits[0].x.mean(axis=0)
    assert np.mean((image - x[..., 0]) ** 2) < 0.7 * np.mean((average - x) ** 2)

    wait(lambda: browser.find_elements("css selector", "#mask canvas"))
    paint(browser, "#mask canvas")
    press(browser, "#inpaint")
    filled = changed(browser, "answer", image)
    is_kept = np.abs(filled - x[..., 0]) < 0.003
    assert 0.5 < is_kept.mean() < 1 and is_kept[:7].all()
    press(browser, "#score")
    wait(lambda: "Score" in value(browser, "document.querySelector('#answer-note').innerText"))
    here = (address, "data:", "blob:", "about:")
    urls = asked(browser)
    assert urls and not [url for url in urls if not url.startswith(here)]
