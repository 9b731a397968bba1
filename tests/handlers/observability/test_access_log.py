"""The access log: how each form of a path is logged."""

import signal

import pytest

from handlers.observability.access_log import MAX_PATH, AccessLog
from openapi import contract

FORMS = {
    "/api/tasks": "/api/tasks",
    "/api/tasks/": "/api/tasks/",
    "/api/tasks/7d3f9a52": "/api/tasks/7d3f9a52",
    "/api/alice/tasks": "/api/{user_id}/tasks",
    "/api/alice/tasks/7d3f9a52/complete": "/api/{user_id}/tasks/7d3f9a52/complete",
    "/api/a%2Fb%20c/tasks": "/api/{user_id}/tasks",
    "/api/tasks2/tasks": "/api/{user_id}/tasks",
    # Of what is no path of the service, either.
    "/api/alice": "/api/{user_id}",
    "/api/alice/task": "/api/{user_id}/task",
    "/api//alice/tasks": "/api/{user_id}/tasks",
    "//API/alice/tasks": "/api/{user_id}/tasks",
    "/api/TASKS/tasks": "/api/{user_id}/tasks",
    "/todo/api/alice/tasks": "/todo/api/{user_id}/tasks",
    "/%61pi/alice/tasks": "/api/{user_id}/tasks",
    "/%2Fapi/alice/tasks": "/api/{user_id}/tasks",
    "%2f%2Fapi%2falice%2Ftasks": "/api/{user_id}",
    # What follows the slash is the id, whatever it looks like.
    "/api/%2Ftasks/tasks": "/api/{user_id}/tasks",
    "/api/tasks%2Fx/tasks": "/api/{user_id}/tasks",
    "/api/%74asks/%2D": "/api/tasks/-",
    "/docs": "/docs",
    "/a\nb\xe9": r"/a\nb\xe9",
}


def logged(caplog: pytest.LogCaptureFixture, raw_path: str, status: int = 200) -> str:
    caplog.set_level("INFO", "todo.access")
    caplog.clear()
    log = AccessLog(contract.load().user_scope)
    log({"method": "GET", "raw_path": raw_path.encode("latin-1")}, status, 0.00123)
    return caplog.messages[0]


@pytest.mark.parametrize("path", FORMS)
def test_a_path_is_logged_as_it_was_asked_for_without_the_users_id(
    caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert logged(caplog, path, 404) == f"GET {FORMS[path]} 404 1.2 ms"


def test_a_long_path_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    path = logged(caplog, "/" + "x" * 60_000).split()[1]
    assert len(path) == MAX_PATH


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_a_path_of_slashes_is_logged_in_time(
    caplog: pytest.LogCaptureFixture, slash: str
) -> None:
    """It takes milliseconds, or minutes if each slash is the start of another attempt."""

    def fail(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    try:
        path = logged(caplog, slash * 100_000).split()[1]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert path == (slash * MAX_PATH)[:MAX_PATH]
