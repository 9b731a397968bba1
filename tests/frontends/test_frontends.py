"""Requests of existing frontends with `fetch`, in a browser, from another origin."""

import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, expect

from harness.browser import OpenWindow, Window
from harness.clients import new_user_id, token
from harness.service import SECRET, Service

# Frontends differ in the form of the path, trailing slashes, cookies, and whether a toggle
# has no body, as with fetch, or an empty object, as with axios.
VARIANTS = {
    "flat": {"tasks": "/api/tasks"},
    "user-scoped": {"tasks": "/api/{user_id}/tasks", "credentials": "include"},
    "slashes": {"tasks": "/api/tasks", "slash": "/", "toggle": "{}"},
    "user-scoped slashes": {"tasks": "/api/{user_id}/tasks", "slash": "/"},
}
PLANTS, BANK = "Water the plants (high)", "Call the bank (medium)"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *_: object) -> None:
        """Do not log."""


@pytest.fixture(scope="module")
def frontend() -> Iterator[str]:
    """Serve the page; return its origin."""
    files = partial(QuietHandler, directory=str(Path(__file__).parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def api(frontend: str, data_dir: Path) -> Iterator[Service]:
    """Run a service that allows the page's origin, on the shared database."""
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "CORS_ORIGINS": frontend,
        "ACCESS_LOG": "true",
    }
    running = Service(environment, data_dir / "frontends.log")
    yield running.wait_until_healthy()
    running.stop()


class TodoPage:
    """The page, as one user uses it."""

    def __init__(self, window: Window, address: str) -> None:
        """Open the page, which requests the user's tasks."""
        self.window = window
        self.page: Page = window.visit(address)

    def add(self, title: str, priority: str = "medium") -> None:
        """Fill in the form and submit it."""
        self.page.get_by_label("Title", exact=True).fill(title)
        self.page.get_by_label("Priority").select_option(priority)
        self.page.get_by_role("button", name="Add").click()

    def choose(self, label: str, value: str) -> None:
        """Select a filter or a sort order."""
        self.page.get_by_label(label).select_option(value)

    def toggle(self, title: str) -> None:
        """Click the checkbox of a task."""
        self.page.get_by_role("listitem").filter(has_text=title).get_by_role("checkbox").click()

    def press(self, button: str, title: str) -> None:
        """Click a button of a task."""
        item = self.page.get_by_role("listitem").filter(has_text=title)
        item.get_by_role("button", name=button).click()

    def expect_tasks(self, *titles: str) -> None:
        """Wait for exactly these tasks, in this order, and no error."""
        expect(self.page.locator("li span")).to_have_text(titles)
        expect(self.page.get_by_role("alert")).to_be_hidden()

    def expect_error(self, message: str) -> None:
        """Wait for an error."""
        expect(self.page.get_by_role("alert")).to_have_text(message)


def open_page(
    open_window: OpenWindow, frontend: str, api: Service, user: str, **options: str
) -> TodoPage:
    """Open the page as a user, with the options of a variant."""
    options = {"tasks": "/api/tasks", "token": token(user), **options, "api": api.url}
    options["tasks"] = options["tasks"].replace("{user_id}", quote(user, safe=""))
    return TodoPage(open_window(frontend, api.url), f"{frontend}/?{urlencode(options)}")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_frontend_works_unchanged(
    variant: dict[str, str], open_window: OpenWindow, frontend: str, api: Service
) -> None:
    todo = open_page(open_window, frontend, api, new_user_id(), **variant)
    todo.page.on("dialog", lambda dialog: dialog.accept("Water all the plants"))
    todo.expect_tasks()
    todo.add("Water the plants", "high")
    todo.expect_tasks(PLANTS)
    todo.add("Call the bank")
    todo.expect_tasks(BANK, PLANTS)
    todo.toggle(BANK)
    todo.choose("Show", "completed")
    todo.expect_tasks(BANK)
    todo.choose("Show", "pending")
    todo.expect_tasks(PLANTS)
    todo.press("Rename", PLANTS)
    todo.expect_tasks("Water all the plants (high)")
    todo.choose("Show", "all")
    todo.choose("Order", "title")
    todo.expect_tasks(BANK, "Water all the plants (high)")
    todo.press("Delete", BANK)
    todo.expect_tasks("Water all the plants (high)")
    todo.window.assert_clean()


def test_a_validation_error_is_shown_to_the_user(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    todo = open_page(open_window, frontend, api, new_user_id())
    todo.expect_tasks()
    todo.add("x" * 201)
    todo.expect_error("400: title: must be at most 200 characters long.")
    todo.add("Water the plants", "high")
    todo.expect_tasks(PLANTS)


def test_changing_a_task_deleted_on_another_device_shows_not_found(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    user = new_user_id()
    phone = open_page(open_window, frontend, api, user)
    phone.add("Water the plants", "high")
    phone.expect_tasks(PLANTS)
    laptop = open_page(open_window, frontend, api, user)
    laptop.press("Delete", PLANTS)
    laptop.expect_tasks()
    phone.toggle(PLANTS)
    phone.expect_error("404: No task has this id.")


def test_an_expired_token_is_reported_as_expired(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    user = new_user_id()
    stale = token(user, exp=int(time.time()) - 60)
    todo = open_page(open_window, frontend, api, user, token=stale)
    todo.expect_error("401: The token has expired.")


def test_the_path_of_another_user_is_forbidden(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    todo = open_page(open_window, frontend, api, new_user_id(), tasks="/api/alice/tasks")
    todo.expect_error("403: This belongs to another user.")


def test_the_browser_sends_a_preflight_request(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    todo = open_page(open_window, frontend, api, new_user_id())
    todo.expect_tasks()
    assert "OPTIONS /api/tasks 200" in api.log.read_text()


def test_a_page_of_an_unlisted_origin_is_blocked(
    open_window: OpenWindow, frontend: str, service: Service
) -> None:
    todo = open_page(open_window, frontend, service, new_user_id())
    todo.expect_error("Failed to fetch")
    assert "has been blocked by CORS policy" in "".join(todo.window.browser_errors)
