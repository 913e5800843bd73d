"""Headless Chromium driven by Playwright. It is the browser installed on the machine; nothing is downloaded."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync"]


@dataclass
class OpenPage:
    """A loaded page, the addresses that it requested, and its messages: console, log, exceptions and dialogs."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@contextmanager
def headless_chromium() -> Iterator["Browser"]:
    """The system's Chromium or Chrome; the test is skipped where it or Playwright is missing."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra `dev`, is missing")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium or Chrome is installed")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: "Browser", path: Path, width: int, height: int = 844) -> Iterator[OpenPage]:
    """Load a file in a window of a size, as a phone does below 700 pixels, and wait until all of it is there."""
    with browser.new_context(viewport={"width": width, "height": height}, is_mobile=width < 700) as context:
        opened = OpenPage(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.messages.append(dialog.message), dialog.dismiss()))
        opened.page.goto(path.resolve().as_uri(), wait_until="load")
        yield opened
