"""Another PostgreSQL than the one in the wheel, for all tests."""

import os
from pathlib import Path
from typing import Any

from models.embedded.binaries import Binaries

OTHER_BINARIES = os.environ.get("TEST_POSTGRES_BIN")
"""The directory of its programs, if any, such as /usr/lib/postgresql/15/bin of Debian."""

_LOCALE_OPTIONS = ("--locale", "--builtin-locale")


class OtherBinaries(Binaries):
    """The programs of TEST_POSTGRES_BIN."""

    def __init__(self, *arguments: Any) -> None:
        """Take the programs from there."""
        super().__init__(*arguments)
        assert OTHER_BINARIES
        self.directory = Path(OTHER_BINARIES)

    def initdb(self, *options: str, **others: Any) -> None:
        """Create a cluster as PostgreSQL 15 can: locales of the system, and no settings."""
        known = (each for each in options if not each.startswith(("--set", *_LOCALE_OPTIONS)))
        super().initdb(*known, "--locale=C.UTF-8", **others)
