"""The linters overlook nothing without a reason; what they find is lint.py's to say."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Redocly would silently take what it finds there for granted.
SILENCED = ".redocly.lint-ignore.yaml"


@pytest.mark.parametrize("name", ["redocly.yaml", "spectral.yaml"])
def test_what_is_ignored_has_its_reason_above(name: str) -> None:
    text = (HERE / name).read_text()
    ignored = re.split(r"^rules:\n", text, flags=re.MULTILINE)[1]
    # A reason, and all that it is for: rules, or the start of a list of overrides.
    with_reason = re.sub(r"(?m)(^ +#.*\n)+(^ +(?!#).*\n)+", "", ignored)
    assert with_reason.replace("overrides:", "").strip() == ""
    assert ignored.count(": off") > 0


def test_nothing_is_ignored_in_secret() -> None:
    assert [*HERE.glob(SILENCED), *HERE.parents[1].glob(SILENCED)] == []
    contract = (HERE.parents[1] / "openapi" / "openapi.yaml").read_text()
    assert not re.search("spectral-disable|redocly-ignore", contract)
