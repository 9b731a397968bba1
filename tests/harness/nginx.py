"""nginx in front of a service, configured as docs/operating.md advises."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.contract import ROOT_PATH
from harness.node import in_ci
from harness.service import ROOT, Service, free_port, wait_for_port

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CONFIGURATION = """
    daemon off;
    pid nginx.pid;
    {user}
    events {{}}
    http {{
        access_log off;
        {temporary}
        {documented}
    }}
"""


def documented() -> str:
    """Return the configuration in docs/operating.md."""
    (block,) = re.findall(
        r"^```nginx\n(.*?)^```",
        (ROOT / "docs/operating.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return str(block)


@contextmanager
def nginx(service: Service, directory: Path, *, removes_prefix: bool = False) -> Iterator[str]:
    """Run nginx with its files in `directory`; yield the address of the service behind it.

    Without nginx, fail in CI, else skip.
    """
    if NGINX is None:
        missing = "nginx is not installed (apt-get install nginx-light): no proxy to test with"
        (pytest.fail if in_ci() else pytest.skip)(missing)
    port = free_port()
    changes = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{service.port};",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "location /todo/": f"location {ROOT_PATH}/",
        "proxy_pass http://todo;": f"proxy_pass http://todo{'/' if removes_prefix else ''};",
    }
    text = documented()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    configuration = CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "",
        temporary="".join(f"{name}_temp_path {name};\n" for name in TEMPORARY),
        documented=text,
    )
    (directory / "nginx.conf").write_text(configuration)
    command = [NGINX, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}{ROOT_PATH}"
    finally:
        process.terminate()
        process.wait()
