"""The commands in the contract's introduction and in the README, run as written.

A JSON block after a command is its complete response; an HTTP block has lines of the
response, or prefixes of lines.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.clients import new_user_id, token
from harness.document import DOCUMENT
from harness.service import ROOT, Service
from openapi import contract as contracts

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROSE = DOCUMENT["info"]["description"]
SECTIONS = dict(re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", PROSE))
QUICKSTART = "Quick start"
WITH_COMMANDS = {
    QUICKSTART,
    "Authentication",
    "User-scoped paths",
    "Errors",
    "Filtering, sorting and pagination",
    "Conditional requests",
    "Idempotency",
    "Synchronization",
    "Limits",
}
WITHOUT_COMMANDS = {
    "Order of checks",
    "Dates and times",
    "Partial updates",
    "CORS",
    "Caching",
    "Rate limits",
    "Versioning and deprecation",
}

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")) and not os.environ.get("CI"),
    reason="THE COMMANDS IN THE PROSE WERE NOT RUN: there is no bash or no curl here",
)


class Reader:
    """A new user who runs the commands of a text in order."""

    def __init__(self, service: Service, home: Path) -> None:
        self._home = home
        # The placeholders of the text, and their values.
        self._values = {
            "http://127.0.0.1:8000": service.url,
            "paste-the-token-here": token(new_user_id()),
        }
        self._variables = {"TOKEN": self._values["paste-the-token-here"]}

    def follow(self, text: str) -> list[str]:
        """Run every command and compare its output with the text; return the outputs."""
        responses: list[str] = []
        for language, block in BLOCK.findall(text):
            match language:
                case "bash" if assigned := re.findall(r"^([A-Z]+)=(.+)$", block, re.MULTILINE):
                    self._variables |= {name: self._fill_in(value) for name, value in assigned}
                case "bash":
                    responses.append(self._run(self._fill_in(block)))
                case "json":
                    assert json.loads(responses[-1]) == json.loads(block)
                case "http":
                    lines = [normalise_header(line) for line in responses[-1].splitlines()]
                    for line in map(normalise_header, block.splitlines()):
                        assert any(each.startswith(line) for each in lines), (line, lines)
                case other:
                    pytest.fail(f"unexpected code block: {other}")
        return responses

    def _run(self, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._home),
                "no_proxy": "*",
                **self._variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stderr}"
        if new := re.search(r'"id":"([^"]+)"', done.stdout):
            self._values.setdefault("paste-the-id-here", new[1])
        return done.stdout

    def _fill_in(self, text: str) -> str:
        for placeholder, value in self._values.items():
            text = text.replace(placeholder, value)
        assert "paste-" not in text
        return text


def normalise_header(line: str) -> str:
    """Convert the name of a header to lower case, as the service sends it."""
    name, colon, value = line.partition(":")
    return f"{name.lower()}{colon}{value}"


def json_documents(text: str) -> Iterator[Any]:
    """Parse concatenated JSON documents."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]


@pytest.fixture
def reader(service: Service, tmp_path: Path) -> Reader:
    return Reader(service, tmp_path)


def test_every_section_that_can_be_tried_out_has_commands() -> None:
    assert {title for title, text in SECTIONS.items() if "curl " in text} == WITH_COMMANDS
    assert SECTIONS.keys() - WITH_COMMANDS == WITHOUT_COMMANDS
    outside = BLOCK.sub("", PROSE)
    assert not re.search(r"^\s*curl ", outside, re.MULTILINE)


def test_the_quickstart_leads_from_zero_to_a_completed_task(reader: Reader) -> None:
    _, created, dated, end = reader.follow(SECTIONS[QUICKSTART])
    head, _, body = created.partition("\n\n")
    task = json.loads(body)
    assert head.startswith("HTTP/1.1 201 Created\n")
    assert f"\nlocation: /api/tasks/{task['id']}\n" in head
    later = json.loads(dated)
    assert later["due_date"] == "2026-12-01T17:00:00.000000Z"
    assert {**later, "due_date": None, "updated_at": task["updated_at"]} == task
    completed, left = json_documents(end)
    now = completed["updated_at"]
    assert completed == {**later, "completed": True, "completed_at": now, "updated_at": now}
    assert left == []


@pytest.mark.parametrize("title", sorted(WITH_COMMANDS - {QUICKSTART}))
def test_the_commands_of_a_section_work_after_the_quickstart(
    title: str, reader: Reader
) -> None:
    reader.follow(SECTIONS[QUICKSTART])
    *_, response = reader.follow(SECTIONS[title])
    if title == "Synchronization":
        changes = json.loads(response)
        assert [task["completed"] for task in changes["changed"]] == [True]
        assert (changes["deleted"], changes["more"]) == ([], False)


def test_the_readmes_first_command_creates_a_task(reader: Reader) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = [block for language, block in BLOCK.findall(text) if block.startswith("curl ")]
    (response,) = reader.follow("".join(f"```bash\n{block}```\n" for block in blocks))
    assert json.loads(response)["title"] == "Water the plants"


def test_every_command_is_in_a_tested_block() -> None:
    contract = contracts.PATH.read_text()
    assert contract.count("curl ") == PROSE.count("curl ")
    readme = (ROOT / "README.md").read_text()
    blocks = [block for _, block in BLOCK.findall(readme) if block.startswith("curl ")]
    assert readme.count("curl ") == "".join(blocks).count("curl ")


def test_the_command_of_the_welcome_message_lists_tasks(
    service: Service, reader: Reader
) -> None:
    (command,) = re.findall(r"^ +(curl .+)$", service.welcome.read_text(), re.MULTILINE)
    (response,) = reader.follow(f"```bash\n{command}\n```\n")
    assert isinstance(json.loads(response), list)
