"""Warnings that are logged once a minute."""

import logging

import pytest

from models.postgres import throttle
from models.postgres.throttle import Throttle


@pytest.fixture
def warnings() -> Throttle:
    return Throttle(logging.getLogger("todo.database"))


def test_each_kind_of_warning_is_logged_once_in_the_interval(
    warnings: Throttle, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        warnings.warning("full: %d", number)
        warnings.warning("late: %d", number)
    assert caplog.messages == ["full: 0", "late: 0"]


def test_a_warning_is_logged_again_after_the_interval(
    warnings: Throttle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_INTERVAL", -1.0)
    for number in range(3):
        warnings.warning("full: %d", number)
    assert caplog.messages == ["full: 0", "full: 1", "full: 2"]
