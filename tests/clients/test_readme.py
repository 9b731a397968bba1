"""The README's section for Next.js developers, followed exactly.

It is tested with the real Better Auth and the real packages: the TypeScript of the section
compiles, and lists the tasks of a user who has signed up.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from harness.better_auth import (
    Instance,
    conninfo_to_url,
    install_better_auth,
    running_better_auth,
    signed_up_user,
)
from harness.client_project import OPENAPI_TYPESCRIPT, ClientProject
from harness.cluster import Cluster
from harness.service import NO_TLS, ROOT, Service

SECTION = re.search(
    r"^## In your Next.js project\n(.*?)^## ",
    (ROOT / "README.md").read_text(),
    re.DOTALL | re.MULTILINE,
)
FILES = re.compile(r"^```ts\n// (lib/\S+\.ts)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The options of Next.js, with every strict one.
STRICT = (
    *("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"),
    *("--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext"),
    *("--moduleResolution", "bundler", "--lib", "dom,dom.iterable,esnext"),
    *("--isolatedModules", "--types", "node"),
)
DEFAULT_URL = "http://127.0.0.1:8000"
BETTER_AUTH = Instance("readme")


@pytest.fixture(scope="module")
def section() -> str:
    assert SECTION
    return SECTION[1]


@pytest.fixture(scope="module")
def api(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run Better Auth, and the service as the section describes."""
    with (
        cluster.new_database() as database,
        running_better_auth(
            install_better_auth(), conninfo_to_url(database.owner), BETTER_AUTH
        ),
    ):
        environment = {
            "DATABASE_URL": conninfo_to_url(database.app),
            "MIGRATION_DATABASE_URL": conninfo_to_url(database.owner),
            "BETTER_AUTH_URL": BETTER_AUTH.url,
        }
        service = Service(environment, tmp_path_factory.mktemp("logs") / "service.log")
        yield service.wait_until_healthy()
        service.stop()


@pytest.fixture(scope="module")
def project(section: str, client_project: ClientProject, api: Service) -> Path:
    """Write the files of the section, and generate the types as it describes."""
    library = client_project.folder / "lib"
    library.mkdir()
    for name, text in FILES.findall(section):
        (client_project.folder / name).write_text(text)
    (command,) = re.findall(r"^npx openapi-typescript (.+)$", section, re.MULTILINE)
    arguments = shlex.split(command.replace(DEFAULT_URL, api.url))
    client_project.run(OPENAPI_TYPESCRIPT, *arguments)
    return library


def test_the_typescript_of_the_readme_compiles(
    project: Path, client_project: ClientProject
) -> None:
    assert sorted(file.name for file in project.iterdir()) == [
        "api.ts",
        "auth-client.ts",
        "pending.ts",
        "todo-api.d.ts",
    ]
    client_project.compile(*STRICT, "lib/pending.ts")


def test_a_signed_in_user_sees_their_tasks(
    section: str,
    project: Path,
    client_project: ClientProject,
    api: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert project.exists()
    assert f"NEXT_PUBLIC_API_URL={DEFAULT_URL} >> .env.local" in section
    monkeypatch.setenv("NEXT_PUBLIC_API_URL", api.url)
    monkeypatch.setenv("BETTER_AUTH_URL", BETTER_AUTH.url)
    with signed_up_user(BETTER_AUTH) as alice:
        create_task(api, alice.token())
        cookies = "; ".join(f"{name}={value}" for name, value in alice.cookies.items())
        assert "title: 'Water the plants'" in client_project.run("signed-in.mjs", cookies)
    assert "The token is missing." in client_project.run("signed-in.mjs", "")


def create_task(api: Service, token: str) -> None:
    """Create a task."""
    response = httpx.post(
        f"{api.url}/api/tasks",
        headers={"Authorization": f"Bearer {token}"},
        json={"title": "Water the plants"},
        verify=NO_TLS,
    )
    assert response.status_code == 201, response.text
