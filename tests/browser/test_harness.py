"""The browser harness records external requests and browser errors."""

import pytest

from harness.browser import OpenWindow
from harness.service import Service

EXTERNAL_URL = "http://abroad.example/pixel.png"


def test_a_request_to_another_origin_is_recorded_and_blocked(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    window.visit("/")
    window.page.set_content(f"<img src='{EXTERNAL_URL}'>", wait_until="networkidle")
    assert window.external_requests == [EXTERNAL_URL]
    with pytest.raises(AssertionError):
        window.assert_clean()


@pytest.mark.parametrize(
    "script",
    [
        "console.error('complaint')",
        "console.warn('complaint')",
        "setTimeout(() => { throw new Error('complaint') })",
        "new Image().src = '/complaint'",
    ],
)
def test_a_browser_error_is_recorded(
    service: Service, open_window: OpenWindow, script: str
) -> None:
    window = open_window(service.url)
    page = window.visit("/openapi.json")
    page.evaluate(f"() => {{ {script} }}")
    for _ in range(100):
        if not window.browser_errors:
            page.wait_for_timeout(50)
    assert len(window.browser_errors) == 1
    assert "complaint" in window.browser_errors[0]


def test_a_violation_of_the_content_security_policy_is_recorded(
    service: Service, open_window: OpenWindow
) -> None:
    window = open_window(service.url)
    page = window.visit("/")
    page.evaluate("() => document.body.append(document.createElement('iframe'))")
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        }"""
    )
    assert page.evaluate("() => window.ran") is None
    assert "Content Security Policy" in "".join(window.browser_errors)


def test_windows_share_no_storage(service: Service, open_window: OpenWindow) -> None:
    first, second = open_window(service.url), open_window(service.url)
    first.visit("/openapi.json").evaluate("() => localStorage.setItem('secret', 'x')")
    remembered = "() => localStorage.getItem('secret')"
    assert first.page.evaluate(remembered) == "x"
    assert second.visit("/openapi.json").evaluate(remembered) is None
