"""Chromium for tests: Debian's own, driven by Playwright; where either is missing, tests skip."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

GET = "apt-get install chromium && pip install -e '.[browser]'"
"""Command that gets what the tests need."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGS = ["--no-sandbox", "--disable-quic", "--disable-gpu", "--disable-dev-shm-usage"]
SIZES = {"phone": (390, 844), "laptop": (1280, 800), "wide": (1920, 1080)}


def missing() -> str | None:
    """Return what is missing and how to get it; None where all is there."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return f"no Playwright here; get it with: {GET}"
    if executable() is None:
        return f"no Chromium here; get it with: {GET}"
    return None


def executable() -> str | None:
    """Return the browser's program."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser."""
    if (said := missing()) is not None:
        pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable(), args=ARGS)
        yield browser
        browser.close()


def axe() -> str:
    """Return the program that looks for faults of accessibility."""
    import axe_playwright_python

    place = Path(axe_playwright_python.__file__).parent
    return next(place.rglob("axe.min.js")).read_text(encoding="utf-8")
