"""No linter rule is disabled without a reason; lint.py runs the linters."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Redocly silently ignores the problems listed in this file.
SILENCED = ".redocly.lint-ignore.yaml"


@pytest.mark.parametrize("name", ["redocly.yaml", "spectral.yaml"])
def test_every_disabled_rule_has_a_comment_with_the_reason(name: str) -> None:
    text = (HERE / name).read_text()
    ignored = re.split(r"^rules:\n", text, flags=re.MULTILINE)[1]
    # A comment and what it applies to: rules, or the first line of a list of overrides.
    with_reason = re.sub(r"(?m)(^ +#.*\n)+(^ +(?!#).*\n)+", "", ignored)
    assert with_reason.replace("overrides:", "").strip() == ""
    assert ignored.count(": off") > 0


def test_no_rule_is_disabled_elsewhere() -> None:
    assert [*HERE.glob(SILENCED), *HERE.parents[1].glob(SILENCED)] == []
    contract = (HERE.parents[1] / "openapi" / "openapi.yaml").read_text()
    assert not re.search("spectral-disable|redocly-ignore", contract)
