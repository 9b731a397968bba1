"""The README's section for Next.js developers, followed to the letter.

Better Auth is the real one, and so are the packages; what the section has to say in
TypeScript compiles, and lists the tasks of somebody who has signed up.
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
from harness.service import ROOT, Service

SECTION = re.search(
    r"^## In your Next.js project\n(.*?)^## ",
    (ROOT / "README.md").read_text(),
    re.DOTALL | re.MULTILINE,
)
FILES = re.compile(r"^```ts\n// (lib/\S+\.ts)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# As strict as can be, otherwise as Next.js sets it up.
STRICT = (
    *("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"),
    *("--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext"),
    *("--moduleResolution", "bundler", "--lib", "dom,dom.iterable,esnext"),
    *("--isolatedModules", "--types", "node"),
)
THERE = "http://127.0.0.1:8000"
SIGNING_IN = Instance("readme")


@pytest.fixture(scope="module")
def section() -> str:
    assert SECTION
    return SECTION[1]


@pytest.fixture(scope="module")
def api(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run Better Auth, and the service as the section says."""
    with (
        cluster.new_database() as database,
        running_better_auth(install_better_auth(), conninfo_to_url(database.owner), SIGNING_IN),
    ):
        environment = {
            "DATABASE_URL": conninfo_to_url(database.app),
            "MIGRATION_DATABASE_URL": conninfo_to_url(database.owner),
            "BETTER_AUTH_URL": SIGNING_IN.url,
        }
        service = Service(environment, tmp_path_factory.mktemp("logs") / "service.log")
        yield service.wait_until_healthy()
        service.stop()


@pytest.fixture(scope="module")
def project(section: str, client_project: ClientProject, api: Service) -> Path:
    """Make the files that the section shows, and the types as it says."""
    library = client_project.folder / "lib"
    library.mkdir()
    for name, text in FILES.findall(section):
        (client_project.folder / name).write_text(text)
    (command,) = re.findall(r"^npx openapi-typescript (.+)$", section, re.MULTILINE)
    arguments = shlex.split(command.replace(THERE, api.url))
    client_project.run(OPENAPI_TYPESCRIPT, *arguments)
    return library


def test_what_the_readme_shows_compiles(project: Path, client_project: ClientProject) -> None:
    assert sorted(file.name for file in project.iterdir()) == [
        "api.ts",
        "auth-client.ts",
        "pending.ts",
        "todo-api.d.ts",
    ]
    client_project.compile(*STRICT, "lib/pending.ts")


def test_who_is_signed_in_sees_their_tasks(
    section: str,
    project: Path,
    client_project: ClientProject,
    api: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert project.exists()
    assert f"NEXT_PUBLIC_API_URL={THERE} >> .env.local" in section
    monkeypatch.setenv("NEXT_PUBLIC_API_URL", api.url)
    monkeypatch.setenv("BETTER_AUTH_URL", SIGNING_IN.url)
    with signed_up_user(SIGNING_IN) as alice:
        creates(api, alice.token())
        cookies = "; ".join(f"{name}={value}" for name, value in alice.cookies.items())
        assert "title: 'Water the plants'" in client_project.run("signed-in.mjs", cookies)
    assert "The token is missing." in client_project.run("signed-in.mjs", "")


def creates(api: Service, token: str) -> None:
    """Create a task."""
    answer = httpx.post(
        f"{api.url}/api/tasks",
        headers={"Authorization": f"Bearer {token}"},
        json={"title": "Water the plants"},
        verify=False,
    )
    assert answer.status_code == 201, answer.text
