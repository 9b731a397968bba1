"""A Schemathesis hook that removes made-up cursors.

A cursor is opaque, so no schema describes which ones are valid, and a valid request with a
made-up one is a 400. Without them, every valid request for a list must succeed. The root's
schemathesis.toml, which has no hooks, allows the 400.
"""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Remove the cursor of a valid request."""
    is_valid = case.meta is None or case.meta.generation.mode.is_positive
    if is_valid and case.operation.label == "GET /api/tasks":
        case.query.pop("cursor", None)
