"""What can be wrong with a request, as the contract's schema `Fault` says it."""

from urllib.parse import quote

MAX_FAULTS = 100
MAX_NAME = 100

Faults = list[dict[str, str]]


class BadRequest(Exception):
    """The request breaks the contract; `faults` says where and how.

    Each fault is a dictionary with `detail` and either `pointer` or
    `parameter`, as in the contract's schema `Fault`.
    """

    def __init__(self, faults: Faults) -> None:
        """Keep at most as many faults as the contract allows in an answer."""
        super().__init__(f"{len(faults)} faults")
        self.count = len(faults)
        self.faults = faults[:MAX_FAULTS]


class UnsupportedMediaType(Exception):
    """The body is not of a media type that the contract describes."""


def parameter_fault(name: str, detail: str) -> dict[str, str]:
    """Say what is wrong with a parameter of the query, the path or a header."""
    return {"parameter": _shortened(name), "detail": detail}


def body_fault(detail: str, path: tuple[str | int, ...] = ()) -> dict[str, str]:
    """Say what is wrong in the body; the path becomes a JSON pointer (RFC 6901, 6)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    pointer = "".join(f"/{quote(_shortened(part))}" for part in parts)
    return {"pointer": f"#{pointer}", "detail": detail}


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
