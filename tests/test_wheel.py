"""The wheel holds everything: installed, it serves where there is no repository."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.service import ROOT, SECRET, Serve, bare_environment

pytest_plugins = ["harness.isolated_services"]

MODULES = ("app", "cli", "handlers", "migrations", "models", "openapi", "settings")
NOT_BUILT_FROM = (".*", "__pycache__", "benchmarks", "build", "node_modules", "tests")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without the repository on its path; returns what it prints."""
    environment = bare_environment({"PYTHONPATH": None})
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an environment of its own; returns where its commands are.

    Dependencies are those of this environment, on the path of the new one; but what .pth
    files add here, the editable installation of the repository among them, is not there.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source, environment = folder / "source", folder / "environment"
    # A copy, because setuptools builds in the tree.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_BUILT_FROM))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index")
    run(*pip, "wheel", *offline, "--no-build-isolation", source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(environment, symlinks=True)
    python = environment / "bin/python"
    run(*pip, "--python", python, "install", *offline, wheel, cwd=folder)
    site_packages = sysconfig.get_path("purelib", "venv", {"base": str(environment)})
    dependencies = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    Path(site_packages, "dependencies.pth").write_text("\n".join(dependencies))
    return python.parent


def test_nothing_is_imported_from_the_repository(bin_dir: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    )
    files = run(bin_dir / "python", "-c", code, *MODULES, cwd=tmp_path).split()
    assert len(files) == len(MODULES)
    for file in files:
        assert Path(file).is_relative_to(bin_dir.parent)


def test_the_wheel_serves_in_an_empty_folder(
    bin_dir: Path, new_data_dir: Path, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    service = serve(
        {"DATA_DIR": str(new_data_dir), "BETTER_AUTH_SECRET": SECRET, "PYTHONPATH": None},
        cwd=folder,
        command=[str(bin_dir / "todo-api")],
    ).wait_until_healthy()
    docs = httpx.get(f"{service.url}/docs")
    linked = re.findall(r'(?:href|src)="(/[^"#]*)"', docs.text)
    assert any(path.endswith(".css") for path in linked)
    for path in ("/", "/health", "/docs", "/openapi.yaml", *linked):
        assert httpx.get(f"{service.url}{path}").status_code == 200, path
    with AuthedClient(service.url, new_user_id()) as alice:
        created = alice.create_task()
        assert alice.list_tasks() == [created]
    assert list(folder.iterdir()) == []
