"""Another PostgreSQL than the one in the wheel, for all tests."""

import os
from pathlib import Path
from typing import Any

from models.embedded.binaries import Binaries

OTHER_BINARIES = os.environ.get("TEST_POSTGRES_BIN")
"""The directory of its programs, if any, such as /usr/lib/postgresql/15/bin of Debian."""


class OtherBinaries(Binaries):
    """The programs of TEST_POSTGRES_BIN."""

    def __init__(self, *arguments: Any) -> None:
        """Take the programs from there."""
        super().__init__(*arguments)
        assert OTHER_BINARIES
        self.directory = Path(OTHER_BINARIES)

    def initdb(self, *options: str, **others: Any) -> None:
        """Create a cluster; before PostgreSQL 17, locales are those of the system."""
        others_than_locale = (option for option in options if "locale" not in option)
        super().initdb(*others_than_locale, "--locale=C.UTF-8", **others)
