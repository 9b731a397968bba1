"""The commands in the contract's introduction and in the README, run as they are written.

What follows a command in a block of JSON is its answer, whole; what follows in a block
of HTTP are lines of its answer, or their beginnings.
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
JOURNEY = "Five minutes, from zero to a completed task"
WITH_COMMANDS = {
    JOURNEY,
    "Who is asking",
    "Two forms of every path",
    "Errors",
    "Lists",
    "Concurrency",
    "Retries",
    "Limits",
}

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")) and not os.environ.get("CI"),
    reason="THE COMMANDS IN THE PROSE WERE NOT RUN: there is no bash or no curl here",
)


class Reader:
    """Somebody new, who does what the text says, in the order in which it says it."""

    def __init__(self, service: Service, home: Path) -> None:
        self._home = home
        # What stands in the text for the reader to replace.
        self._own = {
            "http://127.0.0.1:8000": service.url,
            "paste-the-token-here": token(new_user_id()),
        }
        self._variables = {"TOKEN": self._own["paste-the-token-here"]}

    def reads(self, text: str) -> list[str]:
        """Run every command and hold its answer against the text; return the answers."""
        answers: list[str] = []
        for language, block in BLOCK.findall(text):
            match language:
                case "bash" if assigned := re.findall(r"^([A-Z]+)=(.+)$", block, re.MULTILINE):
                    self._variables |= {
                        name: self._filled_in(value) for name, value in assigned
                    }
                case "bash":
                    answers.append(self._runs(self._filled_in(block)))
                case "json":
                    assert json.loads(answers[-1]) == json.loads(block)
                case "http":
                    lines = [in_small_letters(line) for line in answers[-1].splitlines()]
                    for line in map(in_small_letters, block.splitlines()):
                        assert any(each.startswith(line) for each in lines), (line, lines)
                case other:
                    pytest.fail(f"what is a block of {other}?")
        return answers

    def _runs(self, commands: str) -> str:
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
            self._own.setdefault("paste-the-id-here", new[1])
        return done.stdout

    def _filled_in(self, text: str) -> str:
        for placeholder, value in self._own.items():
            text = text.replace(placeholder, value)
        assert "paste-" not in text
        return text


def in_small_letters(line: str) -> str:
    """Write the name of a header as the service does."""
    name, colon, value = line.partition(":")
    return f"{name.lower()}{colon}{value}"


def documents(text: str) -> Iterator[Any]:
    """Read one JSON document after the other."""
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
    outside = BLOCK.sub("", PROSE)
    assert not re.search(r"^\s*curl ", outside, re.MULTILINE)


def test_the_journey_leads_from_zero_to_a_completed_task(reader: Reader) -> None:
    _, created, dated, end = reader.reads(SECTIONS[JOURNEY])
    head, _, body = created.partition("\n\n")
    task = json.loads(body)
    assert head.startswith("HTTP/1.1 201 Created\n")
    assert f"\nlocation: /api/tasks/{task['id']}\n" in head
    later = json.loads(dated)
    assert later["due_date"] == "2026-12-01T17:00:00.000000Z"
    assert {**later, "due_date": None, "updated_at": task["updated_at"]} == task
    completed, left = documents(end)
    assert completed == {**later, "completed": True, "updated_at": completed["updated_at"]}
    assert left == []


@pytest.mark.parametrize("title", sorted(WITH_COMMANDS - {JOURNEY}))
def test_a_section_read_after_the_journey_comes_true(title: str, reader: Reader) -> None:
    reader.reads(SECTIONS[JOURNEY])
    *_, answer = reader.reads(SECTIONS[title])
    if title == "Retries":
        assert json.loads(answer)["completed"] is True


def test_the_readmes_first_command_creates_a_task(reader: Reader) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = [block for language, block in BLOCK.findall(text) if block.startswith("curl ")]
    (answer,) = reader.reads("".join(f"```bash\n{block}```\n" for block in blocks))
    assert json.loads(answer)["title"] == "Water the plants"


def test_no_command_is_anywhere_else() -> None:
    contract = contracts.PATH.read_text()
    assert contract.count("curl ") == PROSE.count("curl ")
    readme = (ROOT / "README.md").read_text()
    blocks = [block for _, block in BLOCK.findall(readme) if block.startswith("curl ")]
    assert readme.count("curl ") == "".join(blocks).count("curl ")


def test_the_welcomes_command_lists_tasks(service: Service, reader: Reader) -> None:
    (command,) = re.findall(r"^ +(curl .+)$", service.welcome.read_text(), re.MULTILINE)
    (answer,) = reader.reads(f"```bash\n{command}\n```\n")
    assert isinstance(json.loads(answer), list)
