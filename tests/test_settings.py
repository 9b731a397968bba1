"""Settings: what is accepted, and what a person is told otherwise."""

from pathlib import Path

import pytest

import settings
from settings import SettingError

SECRET = "s" * 32


def test_nothing_set_gives_the_defaults_of_a_developers_machine() -> None:
    loaded = settings.load({})
    assert loaded.secret is None
    assert loaded.database_url is None
    assert (loaded.host, loaded.port, loaded.workers) == ("127.0.0.1", 8000, 1)
    assert loaded.data_dir == Path(".data")
    assert loaded.cors_origins == ("http://localhost:3000", "http://localhost:3001")


def test_an_empty_value_counts_as_not_set() -> None:
    assert settings.load(dict.fromkeys(settings.NAMES, "")) == settings.load({})


def test_the_secret_is_the_raw_bytes_of_its_utf_8() -> None:
    text = "ümläut" * 6
    assert settings.load({"BETTER_AUTH_SECRET": text}).secret == text.encode()


def test_a_secret_is_measured_in_bytes() -> None:
    assert settings.load({"BETTER_AUTH_SECRET": "ü" * 16}).secret == ("ü" * 16).encode()


def test_a_database_of_ones_own_requires_the_secret() -> None:
    with pytest.raises(SettingError, match="BETTER_AUTH_SECRET is not set"):
        settings.load({"DATABASE_URL": "postgresql://localhost/todo"})


def test_origins_are_separated_by_commas() -> None:
    loaded = settings.load({"CORS_ORIGINS": " https://todo.example , http://localhost:3000"})
    assert loaded.cors_origins == ("https://todo.example", "http://localhost:3000")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("BETTER_AUTH_SECRET", "short", "at least 32 bytes long, and has 5"),
        ("BETTER_AUTH_SECRET", "s" * 31, "at least 32 bytes long, and has 31"),
        ("PORT", "http", "whole number from 1 to 65535"),
        ("PORT", "0", "whole number from 1 to 65535"),
        ("PORT", "65536", "whole number from 1 to 65535"),
        ("PORT", "٨٠٠٠", "whole number from 1 to 65535"),
        ("WORKERS", "-1", "whole number from 1 to 64"),
        ("CORS_ORIGINS", "*", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://localhost:3000/", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "localhost:3000", "origins such as http://localhost:3000"),
        ("DATABASE_URL", "mysql://localhost/todo", "URL such as postgresql://"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("ACCESS_LOG", "yes", "true or false"),
        ("DATABASE_POOL_SIZE", "0", "whole number from 1 to 1000"),
        ("DATABASE_QUEUE_TIMEOUT", "soon", "number of seconds"),
        ("DATABASE_STATEMENT_TIMEOUT", "-1", "number of seconds"),
        ("DATABASE_STATEMENT_TIMEOUT", "nan", "number of seconds"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it(
    name: str, value: str, complaint: str
) -> None:
    with pytest.raises(SettingError) as refused:
        settings.load({"BETTER_AUTH_SECRET": SECRET, name: value})
    sentence = str(refused.value)
    assert sentence.startswith(f"{name} must")
    assert complaint in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_refused_secret_or_database_url_is_not_repeated() -> None:
    for name, value in (("BETTER_AUTH_SECRET", "hunter2"), ("DATABASE_URL", "my:hunter2@x")):
        with pytest.raises(SettingError) as refused:
            settings.load({name: value})
        assert "hunter2" not in str(refused.value)
