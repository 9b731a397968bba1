"""Clients that popular generators make from the contract compile, and one is called."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openapi_generator_cli
import pytest

from harness.client_project import NODE_MODULES, ClientProject
from harness.clients import new_user_id, token
from harness.node import ToolError, in_ci
from harness.service import ROOT, Service
from openapi import contract

HEY_API = f"{NODE_MODULES}/@hey-api/openapi-ts/bin/run.js"
ORVAL = f"{NODE_MODULES}/orval/dist/bin/orval.mjs"
JAR = Path(openapi_generator_cli.__file__).with_name("openapi-generator.jar")
JAVA = shutil.which("java")
# Faster for a short-lived process.
FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

EXPORT = re.compile(
    r"^export (?:declare )?(?:async )?(?:type|const|interface|enum|function|class) (\w+)",
    re.MULTILINE,
)
PYTHON_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)

# Generated code supports `strict`, which Next.js sets, but not stricter options.
STRICT = (
    *("--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext"),
    *("--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable", "--types", "node"),
)


def test_the_client_of_hey_api_compiles(client_project: ClientProject) -> None:
    arguments = ["--input", contract.PATH.name, "--output", "hey-api"]
    client_project.run(HEY_API, *arguments, "--client", "@hey-api/client-fetch")
    client_project.compile(*STRICT, "hey-api/index.ts", "hey-api/client.gen.ts")
    folder = client_project.folder / "hey-api"
    assert numbered([folder / "types.gen.ts", folder / "sdk.gen.ts"], EXPORT) == []


def test_the_client_of_orval_compiles(client_project: ClientProject) -> None:
    arguments = ["--input", contract.PATH.name, "--output", "orval.ts"]
    client_project.run(ORVAL, *arguments, "--client", "fetch")
    client_project.compile(*STRICT, "orval.ts")
    # orval names the type of each response after its status, such as getTaskResponse200.
    names = numbered([client_project.folder / "orval.ts"], EXPORT)
    assert [name for name in names if not re.search(r"Response[1-5][0-9]{2}$", name)] == []


def test_the_types_of_openapi_typescript_have_no_numbered_names(
    client_project: ClientProject,
) -> None:
    assert numbered([client_project.folder / "todo-api.d.ts"], EXPORT) == []


@pytest.mark.skipif(
    not JAVA and not in_ci(), reason="THE CLIENT OF openapi-generator WAS NOT TESTED: no Java"
)
def test_the_client_of_openapi_generator_compiles(client_project: ClientProject) -> None:
    assert JAVA, "CI installs Java"
    arguments = ["generate", "-i", contract.PATH, "-g", "typescript-fetch", "-o", "generated"]
    run([JAVA, *FAST_START, "-jar", JAR, *arguments], client_project.folder)
    client_project.compile(*STRICT, "generated/index.ts")
    files = (client_project.folder / "generated").rglob("*.ts")
    assert numbered(files, EXPORT) == []


@pytest.fixture
def todo_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Generate a package with openapi-python-client, and make it importable."""
    (tmp_path / "config.yaml").write_text("post_hooks: []\n")
    arguments = ["--path", contract.PATH, "--output-path", "todo_client", "--meta", "none"]
    python = [sys.executable, "-m", "openapi_python_client"]
    run(
        [*python, "generate", "--config", "config.yaml", "--fail-on-warning", *arguments],
        tmp_path,
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "todo_client"


def test_the_client_of_openapi_python_client_is_well_typed(todo_client: Path) -> None:
    cache = f"--cache-dir={ROOT / '.mypy_cache'}"
    run([sys.executable, "-m", "mypy", "--strict", cache, "todo_client"], todo_client.parent)
    assert numbered((todo_client / "models").glob("*.py"), PYTHON_CLASS) == []


def test_the_client_of_openapi_python_client_can_be_called(
    todo_client: Path, service: Service
) -> None:
    def calls(operation: str, *arguments: Any, **named: Any) -> Any:
        module = importlib.import_module(f"{todo_client.name}.api.tasks.{operation}")
        return module.sync_detailed(*arguments, client=client, **named).parsed

    package = importlib.import_module(todo_client.name)
    models = importlib.import_module(f"{todo_client.name}.models")
    api = package.AuthenticatedClient(base_url=service.url, token=token(new_user_id()))

    with api as client:
        task = calls("create_task", body=models.TaskCreate(title="Water the plants"))
        assert (task.title, task.priority, task.completed) == ("Water the plants", None, False)
        assert calls("complete_task", task.id).completed is True
        pending, done = models.StatusFilter.PENDING, models.StatusFilter.COMPLETED
        assert calls("list_tasks", status=pending) == []
        assert [each.id for each in calls("list_tasks", status=done)] == [task.id]
        blank = calls("update_task", task.id, body=models.TaskUpdate(title=" "))
        assert [error.pointer for error in blank.errors] == ["#/title"]
        assert calls("delete_task", task.id) is None
        assert calls("get_task", task.id).type_ == "/problems/not-found"


def numbered(files: Iterable[Path], pattern: re.Pattern[str]) -> list[str]:
    """Return the names with a number at their end: a generator makes them of names that clash.

    Fails if the files have no names at all.
    """
    names = [name for file in files for name in pattern.findall(file.read_text())]
    assert names
    return [name for name in names if name[-1].isdigit()]


def run(command: list[Any], folder: Path) -> None:
    """Run a program; raise ToolError if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise ToolError(done)
