"""Chromium for tests: Debian's own, driven by Playwright; where either is missing, tests skip."""

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30_000  # ms; a limit for what never comes, no measure of speed

GET = "apt-get install chromium && make browser"
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


class Window:
    """A window of the browser on a page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))

    def open(self, url: str) -> "Window":
        """Go to an address and wait until items are shown."""
        self.page.goto(url)
        self.page.wait_for_selector(".cell:not(.blank):visible, .single:visible, .empty h2:visible")
        return self

    def keys(self, *keys: str) -> "Window":
        """Press keys, one after the other, as a person does: not before the last has acted."""
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(30)
        return self

    def type(self, text: str) -> "Window":
        """Type text, as one does once what asks for it is there."""
        self.page.wait_for_selector("dialog[open] input")
        self.page.keyboard.type(text)
        self.page.wait_for_timeout(80)
        return self

    def saved(self, count: int = 1) -> "Window":
        """Wait until so many verdicts of this window are on the disk."""
        self.page.wait_for_function("n => window.__saved >= n", arg=count)
        return self

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.page.locator(selector).first.inner_text())


COUNT = """
window.__saved = 0;
const real = window.fetch;
window.fetch = async (...given) => {
  const answer = await real(...given);
  if (String(given[0]).endsWith("/api/reviews") && answer.ok)
    window.__saved += JSON.parse(given[1].body).reviews.length;
  return answer;
};
"""
"""Counts what the server has confirmed."""

Opener = Callable[..., Window]


@pytest.fixture
def window(chromium: Any) -> Iterator[Opener]:
    """Open windows, each with a memory of its own; none may have met an error."""
    opened: list[tuple[Any, Window]] = []

    def make(*, script: str = COUNT, size: str = "laptop", **more: Any) -> Window:
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        if script:
            context.add_init_script(script)
        opened.append((context, Window(context.new_page())))
        return opened[-1][1]

    yield make
    for context, each in opened:
        hacked = each.page.evaluate("window.hacked")
        context.close()
        assert hacked is None
        assert [error for error in each.errors if "net::ERR_" not in error] == []
