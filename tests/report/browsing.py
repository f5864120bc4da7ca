"""What the tests in the browser ask of it."""

import json
import time


def wait(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "It did not come."
        time.sleep(0.1)
    return value


def value(browser, script):
    return browser.execute_script(f"return {script}")


def asked(browser):
    """Return the addresses that were requested since the last time."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
