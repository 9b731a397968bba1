"""Swagger UI in a browser: authorization, trying out operations, no external requests."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from harness.browser import OpenWindow, Window
from harness.clients import new_user_id, token
from harness.contract import OPERATIONS, ROOT_PATH
from harness.nginx import nginx
from harness.service import Service

# A warning of Swagger UI itself, about URLs such as /docs#/Tasks/create_task.
SWAGGER_UI_WARNING = "escaping deep link whitespace with `_`"


def assert_clean(window: Window) -> None:
    """Fail on external requests and browser errors, except for Swagger UI's own warning."""
    window.browser_errors[:] = [
        text for text in window.browser_errors if SWAGGER_UI_WARNING not in text
    ]
    window.assert_clean()


def operation(page: Page, operation_id: str) -> Locator:
    return page.locator(f"#operations-Tasks-{operation_id}")


def try_out(page: Page, operation_id: str, body: str | None = None) -> Locator:
    """Execute an operation by clicking; return the element with the response."""
    block = operation(page, operation_id)
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if body is not None:
        block.locator("textarea.body-param__text").fill(body)
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response")


def authorize(page: Page, value: str) -> None:
    """Enter a token in the form of the security scheme."""
    page.get_by_role("button", name="Authorize").click()
    form = page.locator(".auth-container")
    form.get_by_role("textbox").fill(value)
    form.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").last.click()


def test_authorize_create_a_task_and_list_it_after_a_reload(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    user_id, title = new_user_id(), f"Water {new_user_id()}"
    authorize(page, token(user_id))
    created = try_out(page, "create_task", f'{{"title": "{title}"}}')
    expect(created.locator(".response-col_status")).to_contain_text("201")
    expect(created).to_contain_text(title)
    expect(created).to_contain_text(user_id)

    page.reload()
    listed = try_out(page, "list_tasks")
    expect(listed.locator(".response-col_status")).to_contain_text("200")
    expect(listed).to_contain_text(title)
    expect(page.locator(".request-url")).to_contain_text(f"{service.url}/api/tasks")
    assert_clean(window)


def test_without_a_token_the_response_says_so(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    response = try_out(window.visit("/docs"), "list_tasks")
    expect(response).to_contain_text("The token is missing.")
    assert window.external_requests == []
    assert len(window.browser_errors) == 1  # the browser reports each 401
    assert "401" in window.browser_errors[0]


def test_in_development_a_token_takes_one_click_and_survives_a_reload(
    dev_service: Service, open_window: OpenWindow
) -> None:
    window = open_window(dev_service.url)
    page = window.visit("/docs")
    page.get_by_role("button", name="Alice").click()
    expect(page.get_by_role("status")).to_have_text("Signed in as alice for one hour.")
    title = f"Water {new_user_id()}"
    created = try_out(page, "create_task", f'{{"title": "{title}"}}')
    expect(created).to_contain_text('"user_id": "alice"')

    page.reload()
    expect(try_out(page, "list_tasks")).to_contain_text(title)

    page.get_by_role("button", name="Bob").click()
    expect(page.get_by_role("status")).to_have_text("Signed in as bob for one hour.")
    listed = operation(page, "list_tasks")
    listed.get_by_role("button", name="Execute").click()
    expect(listed.locator(".live-responses-table")).not_to_contain_text(title)
    assert_clean(window)


@pytest.fixture(scope="module")
def prefixed_dev_service(dev_service: Service, data_dir: Path) -> Iterator[Service]:
    """Run a service in development mode with a ROOT_PATH, on the same database."""
    assert dev_service.process.poll() is None
    environment = {"DATA_DIR": str(data_dir), "ROOT_PATH": ROOT_PATH}
    prefixed = Service(environment, data_dir / "prefixed development.log")
    yield prefixed.wait_until_healthy()
    prefixed.stop()


@pytest.mark.parametrize("removes_prefix", [True, False])
def test_swagger_ui_works_behind_a_proxy_with_a_path_prefix(
    prefixed_dev_service: Service,
    open_window: OpenWindow,
    tmp_path: Path,
    removes_prefix: bool,  # noqa: FBT001
) -> None:
    with nginx(prefixed_dev_service, tmp_path, removes_prefix=removes_prefix) as proxied:
        window = open_window(proxied.removesuffix(ROOT_PATH))
        page = window.visit(f"{proxied}/docs")
        page.get_by_role("button", name="Alice").click()
        expect(page.get_by_role("status")).to_have_text("Signed in as alice for one hour.")
        title = f"Water {new_user_id()}"
        created = try_out(page, "create_task", f'{{"title": "{title}"}}')
        expect(created.locator(".response-col_status")).to_contain_text("201")
        expect(created).to_contain_text(f"location: {ROOT_PATH}/api/tasks/")
        sent = operation(page, "create_task").locator(".request-url")
        expect(sent).to_contain_text(f"{proxied}/api/tasks")
        with window.context.expect_page() as opened:
            page.get_by_role("link", name="Read the guide").click()
        expect(opened.value).to_have_url(f"{proxied}/reference")
        assert_clean(window)


def test_outside_development_no_token_is_offered(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Alice|Bob"))).to_have_count(0)
    expect(page.get_by_role("status")).to_have_count(0)


def test_another_website_cannot_read_a_development_token(
    service: Service, dev_service: Service, open_window: OpenWindow
) -> None:
    """The other service stands for the website; its pages bypass the CSP, so they can fetch."""
    window = open_window(service.url, dev_service.url, bypass_csp=True)
    attempt = """async (address) => {
        const answer = await fetch(address, {method: "POST", mode: "no-cors"});
        return [answer.type, await answer.text()];
    }"""
    page = window.visit("/")
    assert page.evaluate(attempt, f"{dev_service.url}/docs/token/alice") == ["opaque", ""]
    with window.page.expect_response(f"{dev_service.url}/**") as response:
        page.evaluate(attempt, f"{dev_service.url}/docs/token/alice")
    assert response.value.status == 403


def test_every_operation_can_be_opened_and_the_guide_is_a_link_away(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    expect(page.locator(".opblock")).to_have_count(len(OPERATIONS))
    expect(page.locator(".info .description")).not_to_contain_text("Quick start")
    with window.context.expect_page() as opened:
        page.get_by_role("link", name="Read the guide").click()
    expect(opened.value).to_have_url(f"{service.url}/reference")
    expect(opened.value.get_by_role("heading", name="Quick start")).to_be_visible()


def test_parameters_that_are_not_required_are_not_filled_in(
    service: Service, open_window: OpenWindow
) -> None:
    page = open_window(service.url).visit("/docs")
    authorize(page, token(new_user_id()))
    for title in ("first", "second"):
        with page.expect_response("**/api/tasks*") as created:
            block = operation(page, "create_task")
            if title == "first":
                try_out(page, "create_task", f'{{"title": "{title}"}}')
            else:
                block.locator("textarea.body-param__text").fill(f'{{"title": "{title}"}}')
                block.get_by_role("button", name="Execute").click()
        assert created.value.status == 201
        assert "idempotency-key" not in created.value.request.headers
    with page.expect_response("**/api/tasks*") as listed:
        try_out(page, "list_tasks")
    assert [task["title"] for task in listed.value.json()] == ["second", "first"]
    with page.expect_response("**/api/tasks*") as cleared:
        try_out(page, "clear_completed_tasks")
    assert (cleared.value.status, urlsplit(cleared.value.url).query) == (
        204,
        "status=completed",
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_swagger_ui_follows_the_preferred_color_scheme(
    service: Service, open_window: OpenWindow, scheme: str
) -> None:
    page = open_window(service.url, color_scheme=scheme).visit("/docs")
    page.locator(".opblock").first.wait_for()
    brightness = """() => {
        const style = getComputedStyle(document.querySelector(".swagger-ui .info .title"));
        return Math.max(...style.color.match(/[0-9]+/g).slice(0, 3));
    }"""
    assert (page.evaluate(brightness) < 128) == (scheme == "light")
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    dark = re.compile("dark-mode") if scheme == "light" else re.compile("^$")
    expect(page.locator("html")).to_have_class(dark)
    assert (page.evaluate(brightness) < 128) == (scheme == "dark")
