"""Starting `todo-api`: settings, the token that is printed, and the end of all processes."""

import re
import signal
from pathlib import Path

import httpx
import psutil

import settings
from harness.postgres import find_postmasters, is_running, wait_until
from harness.service import NO_TLS, SECRET, Service

UNSET = dict.fromkeys(settings.NAMES)
STOPPED = {0, 128 + signal.SIGTERM}


def settings_for(data_dir: Path, **environment: str) -> dict[str, str]:
    """Return the settings for this DATA_DIR, with a secret."""
    return {"DATA_DIR": str(data_dir), "BETTER_AUTH_SECRET": SECRET, **environment}


def printed_token(service: Service) -> str:
    """Return the token that a service has printed at startup."""
    printed = service.welcome.read_text()
    found = re.search(r'Authorization: Bearer ([^"]+)"', printed)
    assert found, printed
    return found[1]


def tasks(service: Service, token: str) -> httpx.Response:
    """List the tasks of a token's user, on a new connection."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{service.url}/api/tasks", headers=headers, verify=NO_TLS)


def wait_until_ended(processes: list[psutil.Process], new_data_dir: Path) -> None:
    """Wait for the end of the last process of a service and its PostgreSQL."""
    wait_until(lambda: not any(map(is_running, processes)))
    wait_until(lambda: not find_postmasters(new_data_dir / "postgres"))
