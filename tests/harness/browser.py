"""Debian's Chromium, driven by Playwright, and what it does behind a page's back.

A module that uses a browser has it for itself: Playwright's event loop stays
with the thread as long as it runs, and asynchronous tests would find it there.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)

from harness.node import in_ci

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Nothing but this machine has a name, so that nothing gets out, whatever is tried.
CHROMIUM_ARGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--no-first-run",
)
TIMEOUT_MILLISECONDS = 15_000


class Window:
    """A fresh browser, with one page, that remembers what a visitor does not see.

    `abroad` has the addresses outside of the window's origins that anything was
    asked of; `complaints` what the browser said: warnings, errors, violations of
    a Content-Security-Policy, answers such as 404, and exceptions nobody caught.
    """

    def __init__(self, context: BrowserContext, origins: tuple[str, ...]) -> None:
        """Watch everything that this context will ever do."""
        self.context = context
        self.external_requests: list[str] = []
        self.browser_errors: list[str] = []
        self._origins = origins
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        context.on("request", self._note_request)
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self.browser_errors.append(str(error.error)))
        self.page: Page = context.new_page()

    def visit(self, path: str) -> Page:
        """Go to a path of the first origin, or to an address; all that it names is loaded."""
        address = path if urlsplit(path).scheme else f"{self._origins[0]}{path}"
        self.page.goto(address)
        return self.page

    def assert_clean(self) -> None:
        """Fail if anything went abroad, or if the browser complained, until all was done."""
        self.page.wait_for_load_state("networkidle")
        assert (self.external_requests, self.browser_errors) == ([], [])

    def _note_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        of_network = url.scheme in {"http", "https", "ws", "wss"}
        if of_network and f"{url.scheme}://{url.netloc}" not in self._origins:
            self.external_requests.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"warning", "error"}:
            place = message.location.get("url", "")
            self.browser_errors.append(f"{message.type}: {message.text} ({place})")


OpenWindow = Callable[..., Window]
"""What the fixture `open_window` is: it takes origins, and a context's options by name."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium for one module; without it, skip loudly, but fail in CI."""
    if CHROMIUM is None:
        missing = "NO CHROMIUM HERE (apt has it): nothing is tried in a browser"
        (pytest.fail if in_ci() else pytest.skip)(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=CHROMIUM_ARGS,
            chromium_sandbox=os.geteuid() != 0,  # which refuses to work for root
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Open windows that share nothing; they close when the test ends.

    The origins are those that a window is expected to ask; options are Playwright's,
    such as `color_scheme="dark"`.
    """
    with ExitStack() as windows:

        def open_one(*origins: str, **options: Any) -> Window:
            context = windows.enter_context(browser.new_context(**options))
            return Window(context, origins)

        yield open_one
