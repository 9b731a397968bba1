"""Validation errors of a request, in the form of the contract's schema `ValidationError`."""

from urllib.parse import quote

MAX_ERRORS = 100
MAX_NAME = 100

Errors = list[dict[str, str]]


class BadRequest(Exception):
    """The request violates the contract; `errors` says where and how.

    Each error is a dictionary with `code`, `detail` and either `pointer` or `parameter`, as in
    the contract. `count` is the number of errors found, `errors` the first `MAX_ERRORS`.
    """

    def __init__(self, errors: Errors) -> None:
        """Keep as many errors as the contract allows in a response."""
        super().__init__(f"{len(errors)} errors")
        self.count = len(errors)
        self.errors = errors[:MAX_ERRORS]


class UnsupportedMediaType(Exception):
    """The body has a media type that the contract does not describe."""


def parameter_error(name: str, code: str, detail: str) -> dict[str, str]:
    """Return an error about a query, path or header parameter."""
    return {"parameter": _truncate(name), "code": code, "detail": detail}


def body_error(code: str, detail: str, path: tuple[str | int, ...] = ()) -> dict[str, str]:
    """Return an error about the body; the path becomes a JSON pointer (RFC 6901, 6)."""
    # Escaped last: a pointer that ends within an escape is none.
    names = (_truncate(str(part)).replace("~", "~0").replace("/", "~1") for part in path)
    pointer = "".join(f"/{quote(name)}" for name in names)
    return {"pointer": f"#{pointer}", "code": code, "detail": detail}


def _truncate(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
