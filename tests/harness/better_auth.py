"""The real Better Auth in a separate process, and users who sign up with it."""

import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.node import Node, find_node, in_ci
from harness.service import NO_TLS, free_port

FOLDER = Path(__file__).parents[1] / "better_auth"
SECRET = secrets.token_urlsafe(32)
NODE_MISSING = "NO NODE.JS WITH NPM HERE: nothing is tested against the real Better Auth"


def install_better_auth() -> Node:
    """Install Better Auth, return its Node.js; without Node.js, fail in CI, else skip."""
    node = find_node(FOLDER)
    if node is None:
        if in_ci():
            pytest.fail(NODE_MISSING)
        pytest.skip(NODE_MISSING)
    node.install()
    return node


def conninfo_to_url(conninfo: str) -> str:
    """Convert a libpq connection string to a URL, as node-postgres needs it."""
    parts = {name: quote(str(value), "") for name, value in conninfo_to_dict(conninfo).items()}
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)


class Instance:
    """One Better Auth instance: its URL and options; all share one database and secret."""

    def __init__(self, name: str, **options: Any) -> None:
        """Choose the name of its table of keys, and other options of Better Auth."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.options = {"name": name, "port": self.port, **options}

    def published_kids(self) -> set[str]:
        """Return the key ids in its JWKS."""
        response = httpx.get(f"{self.url}/api/auth/jwks", verify=NO_TLS)
        return {key["kid"] for key in response.json()["keys"]}


@contextmanager
def running_better_auth(node: Node, database: str, *instances: Instance) -> Iterator[None]:
    """Run these instances in one process, which is killed on exit."""
    options = {
        "database": database,
        "secret": SECRET,
        "instances": [instance.options for instance in instances],
    }
    command = [*node.node, "server.mjs", json.dumps(options)]
    with subprocess.Popen(
        command, cwd=node.folder, env=node.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.send_signal(signal.SIGKILL)


class SignedInClient(httpx.Client):
    """An HTTP client with the session cookies of a user."""

    id: str

    def token(self) -> str:
        """Fetch a JWT, as a frontend does before it calls the service."""
        response = self.get("/api/auth/token")
        assert response.status_code == 200, response.text
        token: str = response.json()["token"]
        return token


@contextmanager
def signed_up_user(instance: Instance) -> Iterator[SignedInClient]:
    """Sign up a new user by e-mail."""
    name, password = secrets.token_hex(8), secrets.token_hex(16)
    form = {"name": name, "email": f"{name}@example.org", "password": password}
    with SignedInClient(base_url=instance.url, verify=NO_TLS, timeout=30) as member:
        response = member.post("/api/auth/sign-up/email", json=form)
        assert response.status_code == 200, response.text
        member.id = response.json()["user"]["id"]
        yield member
