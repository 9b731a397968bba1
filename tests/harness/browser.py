"""Debian's Chromium, driven by Playwright, with a record of requests and errors.

The browser is started per module: Playwright's event loop stays in the thread as long as it
runs, and would break asynchronous tests.
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
    expect,
    sync_playwright,
)

from harness.node import in_ci

# The shell, without the windows that nobody sees, takes half of the processor time.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, _PROGRAMS)), None)
# No host but the local one can be resolved, so no request leaves the machine.
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
    """A new browser context with one page, which records external requests and errors.

    `external_requests` has the URLs of requests to other origins than the window's own;
    `browser_errors` has warnings, errors, violations of the Content-Security-Policy, error
    responses such as 404, and uncaught exceptions.
    """

    def __init__(self, context: BrowserContext, origins: tuple[str, ...]) -> None:
        """Record the events of a context; these origins are not external."""
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
        """Go to a path of the first origin, or to a URL; returns when it is loaded."""
        address = path if urlsplit(path).scheme else f"{self._origins[0]}{path}"
        self.page.goto(address)
        return self.page

    def assert_clean(self) -> None:
        """Wait until the network is idle; fail on external requests or browser errors."""
        self.page.wait_for_load_state("networkidle")
        assert (self.external_requests, self.browser_errors) == ([], [])

    def _note_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        of_network = url.scheme in {"http", "https", "ws", "wss"}
        if of_network and f"{url.scheme}://{url.netloc}" not in self._origins:
            self.external_requests.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"warning", "error"}:
            url = message.location.get("url", "")
            self.browser_errors.append(f"{message.type}: {message.text} ({url})")


OpenWindow = Callable[..., Window]
"""The type of the fixture `open_window`: takes origins, and options of a context."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium for one module; without it, fail in CI, else skip."""
    if CHROMIUM is None:
        missing = (
            "Chromium is not installed (apt-get install chromium-headless-shell): "
            "browser tests are skipped"
        )
        (pytest.fail if in_ci() else pytest.skip)(missing)
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)  # whose default is shorter
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=CHROMIUM_ARGS,
            chromium_sandbox=os.geteuid() != 0,  # which does not work for root
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Return a function that opens isolated windows, which are closed after the test.

    Requests to its origins are expected; options are those of Playwright's `new_context`,
    such as `color_scheme="dark"`.
    """
    with ExitStack() as windows:

        def open_one(*origins: str, **options: Any) -> Window:
            context = windows.enter_context(browser.new_context(**options))
            return Window(context, origins)

        yield open_one
