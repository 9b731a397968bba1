"""Every page in a browser: no external requests, accessible, responsive."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from handlers.api.problem_types import PROBLEM_TYPES
from harness.browser import OpenWindow
from harness.service import Service

KINDS_OF_PAGES = ("/", "/docs", "/reference", "/problems", PROBLEM_TYPES["bad-request"].type)
PAGES = sorted({*KINDS_OF_PAGES, *(kind.type for kind in PROBLEM_TYPES.values())})
FOCUSED = "() => document.activeElement.textContent.trim()"


def visible(page: Page) -> Page:
    """Wait until Swagger UI has rendered."""
    if page.url.endswith("/docs"):
        page.locator(".opblock").first.wait_for()
    return page


@pytest.mark.parametrize("path", PAGES)
def test_a_page_makes_no_external_request_and_causes_no_browser_error(
    service: Service, open_window: OpenWindow, path: str
) -> None:
    window = open_window(service.url)
    visible(window.visit(path))
    window.assert_clean()


@pytest.mark.parametrize("path", KINDS_OF_PAGES)
def test_axe_finds_no_accessibility_violation(
    dev_service: Service, open_window: OpenWindow, path: str
) -> None:
    """All rules in the light scheme, contrast in the dark one; excludes Swagger UI itself."""
    window = open_window(dev_service.url, reduced_motion="reduce")
    page = visible(window.visit(path))
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true })")
    ours = {"exclude": [["#swagger-ui"]]}
    found = Axe().run(page, ours)
    assert found.violations_count == 0, found.generate_report()
    page.emulate_media(color_scheme="dark")
    contrast = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
    found = Axe().run(page, ours, contrast)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("path", KINDS_OF_PAGES)
def test_a_page_has_a_language_a_title_and_landmarks(
    service: Service, open_window: OpenWindow, path: str
) -> None:
    page = visible(open_window(service.url).visit(path))
    assert page.locator("html").get_attribute("lang") == "en"
    assert "Todo API" in page.title()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_role("banner")).to_have_count(1)
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("navigation", name="Site")).to_have_count(1)


@pytest.mark.parametrize("path", KINDS_OF_PAGES)
def test_the_skip_link_comes_first_and_everything_is_reachable_by_keyboard(
    service: Service, open_window: OpenWindow, path: str
) -> None:
    page = visible(open_window(service.url, reduced_motion="reduce").visit(path))
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the content"
    expect(page.locator(".skip")).to_be_in_viewport()
    ours = page.locator("header.site a, main.page a, main.page summary, .contents a")
    reached = set()
    for _ in range(ours.count()):
        page.keyboard.press("Tab")
        assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != (
            "none"
        )
        reached.add(page.evaluate("() => document.activeElement.outerHTML"))
    expected = {element.evaluate("element => element.outerHTML") for element in ours.all()}
    assert reached == expected

    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "content"


@pytest.mark.parametrize("path", KINDS_OF_PAGES)
def test_a_page_fits_on_the_narrowest_screen(
    service: Service, open_window: OpenWindow, path: str
) -> None:
    """WCAG 1.4.10: no horizontal scrolling at a width of 320 pixels."""
    window = open_window(service.url, viewport={"width": 320, "height": 640})
    page = visible(window.visit(path))
    assert page.evaluate("() => document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("path", KINDS_OF_PAGES)
def test_a_page_follows_the_preferred_color_scheme(
    service: Service, open_window: OpenWindow, path: str
) -> None:
    page = open_window(service.url, color_scheme="light").visit(path)
    ground = page.locator("body")
    expect(ground).to_have_css("background-color", "rgb(255, 255, 255)")
    page.emulate_media(color_scheme="dark")
    expect(ground).to_have_css("background-color", "rgb(28, 32, 34)")


def test_the_reference_can_be_read_without_javascript(
    service: Service, open_window: OpenWindow
) -> None:
    page = open_window(service.url, java_script_enabled=False).visit("/reference")
    page.get_by_role("link", name="Create a task").click()
    expect(page.get_by_role("heading", name="Create a task")).to_be_in_viewport()
    page.get_by_role("article", name="Create a task").get_by_text("The required fields").click()
    expect(page.get_by_text('"title": "Water the plants"').first).to_be_visible()
