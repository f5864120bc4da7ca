"""The pages in headless Chromium: `python -m tests --browser`."""

import pytest

from keras_gen import files, report
from tests.report import folders
from tests.report.browsing import asked, value, wait
from tests.report.test_page import HISTORY, METRICS
from train.report import write_comparison

pytestmark = [pytest.mark.browser, pytest.mark.once]

pytest.importorskip("selenium.webdriver")
pytest.importorskip("plotly")


@pytest.fixture
def visit(browser):
    """Open a page; at the end of the test nothing was said in the console or asked of the net."""

    def visit(path, state=""):
        browser.get("about:blank")
        browser.get(path.absolute().as_uri() + state)

    browser.get_log("browser"), browser.get_log("performance")
    yield visit
    assert browser.get_log("browser") == []
    urls = asked(browser)
    assert urls and not [url for url in urls if not url.startswith(("file:", "data:", "about:"))]


EPOCH = "document.getElementById('epoch').textContent"
FRAMES = "Number(document.getElementById('slider').max) + 1"
RANGE = "document.querySelector('.plot').layout.xaxis.range"


def press(browser, selector, keys):
    browser.find_element("css selector", selector).send_keys(keys)


def test_a_finished_run_is_seen_with_its_film_curves_and_pictures(browser, visit, tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, METRICS, {"seconds": 10.0}, frames=4)
    visit(report.write(path))
    assert browser.title.startswith("run · ")
    assert value(browser, EPOCH) == "3"
    before = value(browser, "document.getElementById('frame').src")
    press(browser, "#slider", "\ue012")  # Arrow left, by the keyboard alone.
    assert value(browser, EPOCH) == "2" and value(browser, "location.hash") == "#epoch=2"
    assert value(browser, "document.getElementById('frame').src") != before
    sizes = "[...document.images].map((image) => image.naturalWidth)"
    assert all(value(browser, sizes))
    assert value(browser, "document.querySelectorAll('.plot .scatterlayer .trace').length") == 4


def test_the_play_button_shows_all_frames(browser, visit, tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, METRICS, frames=3)
    visit(report.write(path))
    press(browser, "#play", "\ue007")
    seen = {value(browser, EPOCH)}
    wait(lambda: seen.add(value(browser, EPOCH)) or {"0", "1", "2"} <= seen)


def test_the_film_of_a_run_that_trains_grows_and_slider_and_zoom_stay(browser, visit, tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, frames=3)
    lock = files.Lock(path)
    try:
        visit(report.write(path, seconds=5))
        assert value(browser, FRAMES) == 3
        press(browser, "[data-share='2']", "\ue007")
        press(browser, "#slider", "\ue012")
        zoomed = value(browser, RANGE)
        assert zoomed[0] > 15 and value(browser, EPOCH) == "1"
        for epoch in (3, 4):
            folders.draw(path / "samples" / f"epoch_{epoch:04d}.png")
        report.write(path, seconds=5)
        wait(lambda: value(browser, FRAMES) == 5)
        assert value(browser, EPOCH) == "1"
        assert wait(lambda: value(browser, RANGE)) == pytest.approx(zoomed, rel=1e-4)
        # Who looks at the newest frame is shown the newest.
        press(browser, "#slider", "\ue010")  # End.
        folders.draw(path / "samples" / "epoch_0005.png")
        report.write(path, seconds=5)
        wait(lambda: value(browser, FRAMES) == 6)
        assert value(browser, EPOCH) == "5"
    finally:
        lock.release()


def test_a_run_that_diverged_says_so(browser, visit, tmp_path):
    history = {"elbo": [-300.0, float("nan")], "val_elbo": ["NA", "NA"]}
    path = folders.write(tmp_path / "run", history, facts={"message": "Epoch 2: not finite."})
    visit(report.write(path))
    assert "Training diverged in epoch 2" in value(browser, "document.body.innerText")


def test_a_silent_run_is_told_after_a_while(browser, visit, tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, frames=1)
    page = report.write(path, "training", seconds=5)
    visit(page)
    assert not value(browser, "document.getElementById('news').checkVisibility()")
    text = page.read_text()
    written = text.split('data-written="')[1].split('"')[0]
    page.write_text(text.replace(written, str(int(written) - 600)))
    visit(page)
    assert "Nothing was written here for 10 minutes" in value(browser, "document.body.innerText")


def test_the_table_of_three_runs_is_sorted_by_a_heading(browser, visit, tmp_path):
    for name, elbo, kl in (("a", -150.0, 9.0), ("b", -120.0, 10.0), ("c", -130.0, 8.0)):
        folders.write(tmp_path / name, HISTORY, {"elbo": elbo, "kl": kl}, frames=2)
    runs = [tmp_path / name for name in "abc"]
    visit(write_comparison(tmp_path / "comparison.html", runs))
    rows = "[...document.querySelectorAll('.sortable tbody a')].map((a) => a.textContent).join('')"
    assert value(browser, rows) == "bca"
    heading = "//th[@data-sort]/button[.='rate (kl)']"
    browser.find_element("xpath", heading).send_keys("\ue007")
    assert value(browser, rows) == "cab"
    browser.find_element("xpath", heading).send_keys("\ue007")
    assert value(browser, rows) == "bac"
    assert value(browser, "document.querySelectorAll('.plot').length") == 2


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1100, "dark")])
def test_nothing_is_wider_than_the_screen_and_text_is_seen(browser, visit, tmp_path, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        name = "a_long_name_of_a_folder_that_is_wider_than_the_screen_of_a_phone"
        path = folders.write(tmp_path / name, HISTORY, METRICS, frames=2)
        visit(report.write(path))
        assert value(browser, "document.documentElement.scrollWidth") <= width
        paper, ink = (
            value(browser, f"getComputedStyle(document.body).{of}.match(/\\d+/g).map(Number)")
            for of in ("backgroundColor", "color")
        )
        assert (sum(paper) < sum(ink)) == (scheme == "dark")
        assert abs(sum(paper) - sum(ink)) > 450  # Of 765.
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_prints(browser, visit, tmp_path):
    path = folders.write(tmp_path / "run", HISTORY, METRICS, frames=2)
    visit(report.write(path))
    assert len(browser.print_page()) > 20_000  # A PDF in base64, with pictures.
