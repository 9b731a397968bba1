"""Swagger UI in a browser: authorized, trying the API out, with nothing from elsewhere."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from harness.browser import OpenWindow, Window
from harness.clients import someone, token
from harness.service import Service

# Swagger UI's own, about addresses such as /docs#/Tasks/create_task.
OF_UNDERSCORES = "escaping deep link whitespace with `_`"


def assert_quiet(window: Window) -> None:
    """Fail if anything went abroad, or if the browser complained of what is ours."""
    window.complaints[:] = [text for text in window.complaints if OF_UNDERSCORES not in text]
    window.assert_quiet()


def operation(page: Page, operation_id: str) -> Locator:
    return page.locator(f"#operations-Tasks-{operation_id}")


def tries_out(page: Page, operation_id: str, body: str | None = None) -> Locator:
    """Send a request as a person would; return what the service has answered."""
    block = operation(page, operation_id)
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if body is not None:
        block.locator("textarea.body-param__text").fill(body)
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response")


def authorizes(page: Page, value: str) -> None:
    """Type a token into the form of the contract's security scheme."""
    page.get_by_role("button", name="Authorize").click()
    form = page.locator(".auth-container")
    form.get_by_role("textbox").fill(value)
    form.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").last.click()


def test_somebody_authorizes_creates_a_task_and_sees_it_listed_even_after_a_reload(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    me, title = someone(), f"Water {someone()}"
    authorizes(page, token(me))
    created = tries_out(page, "create_task", f'{{"title": "{title}"}}')
    expect(created.locator(".response-col_status")).to_contain_text("201")
    expect(created).to_contain_text(title)
    expect(created).to_contain_text(me)

    page.reload()
    listed = tries_out(page, "list_tasks")
    expect(listed.locator(".response-col_status")).to_contain_text("200")
    expect(listed).to_contain_text(title)
    expect(page.locator(".request-url")).to_contain_text(f"{service.url}/api/tasks")
    assert_quiet(window)


def test_without_a_token_the_answer_says_so(service: Service, open_window: OpenWindow) -> None:
    window = open_window(service.url)
    answer = tries_out(window.visit("/docs"), "list_tasks")
    expect(answer).to_contain_text("The token is missing.")
    assert window.abroad == []
    assert len(window.complaints) == 1  # the browser reports each 401
    assert "401" in window.complaints[0]


def test_in_development_a_token_is_one_click_away_and_stays(
    development: Service, open_window: OpenWindow
) -> None:
    window = open_window(development.url)
    page = window.visit("/docs")
    page.get_by_role("button", name="Alice").click()
    expect(page.get_by_role("status")).to_have_text("Signed in as alice for one hour.")
    title = f"Water {someone()}"
    created = tries_out(page, "create_task", f'{{"title": "{title}"}}')
    expect(created).to_contain_text('"user_id": "alice"')

    page.reload()
    expect(tries_out(page, "list_tasks")).to_contain_text(title)

    page.get_by_role("button", name="Bob").click()
    expect(page.get_by_role("status")).to_have_text("Signed in as bob for one hour.")
    listed = operation(page, "list_tasks")
    listed.get_by_role("button", name="Execute").click()
    expect(listed.locator(".live-responses-table")).not_to_contain_text(title)
    assert_quiet(window)


def test_elsewhere_no_token_is_offered(service: Service, open_window: OpenWindow) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Alice|Bob"))).to_have_count(0)
    expect(page.get_by_role("status")).to_have_count(0)


def test_another_website_cannot_have_the_token_of_development(
    service: Service, development: Service, open_window: OpenWindow
) -> None:
    """The other service stands for the website; its pages may fetch from any port."""
    window = open_window(service.url, development.url, bypass_csp=True)
    attempt = """async (address) => {
        const answer = await fetch(address, {method: "POST", mode: "no-cors"});
        return [answer.type, await answer.text()];
    }"""
    page = window.visit("/")
    assert page.evaluate(attempt, f"{development.url}/docs/token/alice") == ["opaque", ""]
    with window.page.expect_response(f"{development.url}/**") as answer:
        page.evaluate(attempt, f"{development.url}/docs/token/alice")
    assert answer.value.status == 403


def test_every_operation_can_be_opened_and_the_guide_is_a_link_away(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/docs")
    expect(page.locator(".opblock")).to_have_count(9)
    expect(page.locator(".info .description")).not_to_contain_text("Five minutes")
    with window.context.expect_page() as opened:
        page.get_by_role("link", name="Read the guide").click()
    expect(opened.value).to_have_url(f"{service.url}/reference")
    expect(opened.value.get_by_role("heading", name="Five minutes")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_swagger_ui_is_light_or_dark_as_the_visitor_likes(
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
