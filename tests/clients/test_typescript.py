"""The recommended TypeScript client: openapi-fetch with generated types."""

import json

from harness.client_project import ClientProject
from harness.clients import new_user_id, token
from harness.service import Service

BLANK_TITLE_ERRORS = [
    {
        "pointer": "#/title",
        "code": "wrong_format",
        "detail": "must contain something other than white space or control characters, "
        "and no NUL",
    }
]


def test_correct_client_code_compiles_and_mistakes_do_not(
    client_project: ClientProject,
) -> None:
    """Each mistake is marked `@ts-expect-error`, which fails if the line compiles."""
    client_project.compile("--project", "tsconfig.json")


def test_a_typed_client_creates_lists_updates_toggles_and_deletes(
    client_project: ClientProject, service: Service
) -> None:
    user = new_user_id()
    results = json.loads(client_project.run("frontend.ts", service.url, token(user)))
    created = results.pop("created")
    assert (created["user_id"], created["description"]) == (user, "")
    assert results == {
        "pending": {"titles": ["Call the bank"], "total": 2},
        "changed": {
            "title": "Water the plants",
            "priority": None,
            "due": "2026-12-01T17:00:00.000000Z",
        },
        "completed": [True, False],
        "blank": {"type": "/problems/bad-request", "errors": BLANK_TITLE_ERRORS},
        "stale": {
            "type": "/problems/precondition-failed",
            "detail": "The task has changed since you read it. Read it again, "
            "then repeat the change.",
        },
        "removed": 204,
        "removedTwice": {"type": "/problems/not-found", "detail": "No task has this id."},
    }
