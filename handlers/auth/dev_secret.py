"""The development secret: a file, made once, in place of BETTER_AUTH_SECRET."""

import os
import re
import secrets
from pathlib import Path

FILE_NAME = "better-auth-secret"

_VALID = re.compile(rb"[!-~]{32,}")


class DevSecretError(Exception):
    """The secret is missing or unusable; the text is one sentence that says why."""


def create(path: Path) -> bool:
    """Make a secret at `path` unless there is one; returns whether this call made it.

    Of several processes that do so at the same time, one makes it. Raises DevSecretError.
    """
    try:
        if path.exists():
            return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _write_exclusively(path, secrets.token_urlsafe(32))
    except OSError as error:
        raise _unusable(path, error) from None


def load(path: Path) -> bytes:
    """Return the secret at `path`. Raises DevSecretError if there is none, or a damaged one."""
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        msg = (
            "There is no secret here: BETTER_AUTH_SECRET is not set, and no service has made "
            f"{path.absolute()}."
        )
        raise DevSecretError(msg) from None
    except OSError as error:
        raise _unusable(path, error) from None
    if not _VALID.fullmatch(secret):
        msg = f"{path} is damaged: remove it, and a new secret will be made."
        raise DevSecretError(msg)
    return secret


def _write_exclusively(path: Path, text: str) -> bool:
    """Write a private file completely or not at all; returns False if it exists already."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _unusable(path: Path, error: OSError) -> DevSecretError:
    return DevSecretError(
        f"BETTER_AUTH_SECRET is not set, and {path} cannot be used: {error.strerror}."
    )
