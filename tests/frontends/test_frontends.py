"""What existing frontends do with `fetch`, in a browser, on a page of another origin."""

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

# How frontends differ: forms of the path, slashes at its end, cookies, and whether a
# toggle has no body, as with fetch, or an empty object, as with axios.
HABITS = {
    "flat": {"tasks": "/api/tasks"},
    "user-scoped": {"tasks": "/api/{user_id}/tasks", "credentials": "include"},
    "slashes": {"tasks": "/api/tasks", "slash": "/", "toggle": "{}"},
    "user-scoped slashes": {"tasks": "/api/{user_id}/tasks", "slash": "/"},
}
PLANTS, BANK = "Water the plants (high)", "Call the bank (medium)"


class Silent(SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def frontend() -> Iterator[str]:
    """Serve the page; return its origin."""
    files = partial(Silent, directory=str(Path(__file__).parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def api(frontend: str, data_dir: Path) -> Iterator[Service]:
    """Run a service that is set up for the page; it shares the database of the others."""
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "CORS_ORIGINS": frontend,
        "ACCESS_LOG": "true",
    }
    running = Service(environment, data_dir / "frontends.log")
    yield running.wait_until_healthy()
    running.stop()


class Visit:
    """Somebody at the page."""

    def __init__(self, window: Window, address: str) -> None:
        """Open the page, which asks for their tasks."""
        self.window = window
        self.page: Page = window.visit(address)

    def adds(self, title: str, priority: str = "medium") -> None:
        """Fill in the form and send it."""
        self.page.get_by_label("Title", exact=True).fill(title)
        self.page.get_by_label("Priority").select_option(priority)
        self.page.get_by_role("button", name="Add").click()

    def chooses(self, label: str, value: str) -> None:
        """Choose a filter or an order."""
        self.page.get_by_label(label).select_option(value)

    def toggles(self, title: str) -> None:
        """Tick or untick a task."""
        self.page.get_by_role("listitem").filter(has_text=title).get_by_role("checkbox").click()

    def presses(self, button: str, title: str) -> None:
        """Press a button of a task."""
        item = self.page.get_by_role("listitem").filter(has_text=title)
        item.get_by_role("button", name=button).click()

    def sees(self, *titles: str) -> None:
        """Wait for exactly these tasks, in this order, and no error."""
        expect(self.page.locator("li span")).to_have_text(titles)
        expect(self.page.get_by_role("alert")).to_be_hidden()

    def is_told(self, message: str) -> None:
        """Wait for an error."""
        expect(self.page.get_by_role("alert")).to_have_text(message)


def visit(
    open_window: OpenWindow, frontend: str, api: Service, user: str, **given: str
) -> Visit:
    """Visit the page as a user, with the habits of a frontend."""
    given = {"tasks": "/api/tasks", "token": token(user), **given, "api": api.url}
    given["tasks"] = given["tasks"].replace("{user_id}", quote(user, safe=""))
    return Visit(open_window(frontend, api.url), f"{frontend}/?{urlencode(given)}")


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_a_frontend_works_as_it_is(
    habits: dict[str, str], open_window: OpenWindow, frontend: str, api: Service
) -> None:
    somebody = visit(open_window, frontend, api, new_user_id(), **habits)
    somebody.page.on("dialog", lambda dialog: dialog.accept("Water all the plants"))
    somebody.sees()
    somebody.adds("Water the plants", "high")
    somebody.sees(PLANTS)
    somebody.adds("Call the bank")
    somebody.sees(BANK, PLANTS)
    somebody.toggles(BANK)
    somebody.chooses("Show", "completed")
    somebody.sees(BANK)
    somebody.chooses("Show", "pending")
    somebody.sees(PLANTS)
    somebody.presses("Rename", PLANTS)
    somebody.sees("Water all the plants (high)")
    somebody.chooses("Show", "all")
    somebody.chooses("Order", "title")
    somebody.sees(BANK, "Water all the plants (high)")
    somebody.presses("Delete", BANK)
    somebody.sees("Water all the plants (high)")
    somebody.window.assert_clean()


def test_what_is_wrong_is_shown_to_the_person(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    somebody = visit(open_window, frontend, api, new_user_id())
    somebody.sees()
    somebody.adds("x" * 201)
    somebody.is_told("400: title: must be at most 200 characters long.")
    somebody.adds("Water the plants", "high")
    somebody.sees(PLANTS)


def test_a_task_that_another_device_has_deleted_is_missed_politely(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    user = new_user_id()
    phone = visit(open_window, frontend, api, user)
    phone.adds("Water the plants", "high")
    phone.sees(PLANTS)
    laptop = visit(open_window, frontend, api, user)
    laptop.presses("Delete", PLANTS)
    laptop.sees()
    phone.toggles(PLANTS)
    phone.is_told("404: No task has this id.")


def test_an_expired_token_is_called_expired(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    user = new_user_id()
    stale = token(user, exp=int(time.time()) - 60)
    somebody = visit(open_window, frontend, api, user, token=stale)
    somebody.is_told("401: The token has expired.")


def test_anothers_path_is_forbidden(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    somebody = visit(open_window, frontend, api, new_user_id(), tasks="/api/alice/tasks")
    somebody.is_told("403: This belongs to another user.")


def test_the_browser_has_asked_before(
    open_window: OpenWindow, frontend: str, api: Service
) -> None:
    somebody = visit(open_window, frontend, api, new_user_id())
    somebody.sees()
    assert "OPTIONS /api/tasks 200" in api.log.read_text()


def test_a_page_of_an_origin_that_is_not_listed_learns_nothing(
    open_window: OpenWindow, frontend: str, service: Service
) -> None:
    somebody = visit(open_window, frontend, service, new_user_id())
    somebody.is_told("Failed to fetch")
    assert "has been blocked by CORS policy" in "".join(somebody.window.browser_errors)
