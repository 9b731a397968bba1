"""Settings: what is accepted, and what a person is told otherwise."""

import sys
from math import inf
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
    assert loaded.cors_origins == (
        "http://localhost:3000",
        "http://localhost:3001",
        "http://127.0.0.1:3000",
        "http://127.0.0.1:3001",
    )
    assert loaded.jwt_user_claim == (("sub",), ("user", "id"))
    assert loaded.deletion_retention == 90


def test_an_empty_value_counts_as_not_set() -> None:
    assert settings.load(dict.fromkeys(settings.NAMES, "")) == settings.load({})


def secret_of(text: str) -> bytes | None:
    secret = settings.load({"BETTER_AUTH_SECRET": text}).secret
    return None if secret is None else secret.get_secret_value()


def test_the_previous_secret_is_read_as_the_current_one_is() -> None:
    loaded = settings.load(
        {"BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_SECRET_PREVIOUS": f" {SECRET}\n"}
    )
    assert loaded.previous_secret is not None
    assert loaded.previous_secret.get_secret_value() == f" {SECRET}\n".encode()


def test_a_previous_secret_needs_a_current_one() -> None:
    with pytest.raises(SettingError, match="BETTER_AUTH_SECRET is not set"):
        settings.load({"BETTER_AUTH_SECRET_PREVIOUS": SECRET})


def database_url(text: str) -> str | None:
    """Return the URL that the database is opened with if DATABASE_URL is this text."""
    url = settings.load({"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": text}).database_url
    return None if url is None else url.get_secret_value()


def test_the_secret_is_the_raw_bytes_of_its_utf_8() -> None:
    text = "ümläut" * 6
    assert secret_of(text) == text.encode()


def test_a_secret_is_measured_in_bytes() -> None:
    assert secret_of("ü" * 16) == ("ü" * 16).encode()


def test_neither_the_secret_nor_a_password_is_printed_with_the_settings() -> None:
    url = "postgresql://me:hunter2@localhost/todo"
    variables = {
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_SECRET_PREVIOUS": SECRET,
        "DATABASE_URL": url,
        "MIGRATION_DATABASE_URL": url,
    }
    loaded = settings.load(variables)
    for text in (repr(loaded), str(loaded), loaded.model_dump_json()):
        assert SECRET not in text
        assert "hunter2" not in text


def test_only_the_variables_that_are_passed_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HOST=192.0.2.1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "9000")
    assert settings.load({}).host == "127.0.0.1"
    assert settings.Settings().port == settings.load({"port": "1"}).port == 8000


def test_blanks_around_a_value_are_removed_but_belong_to_a_secret() -> None:
    padded = settings.load({"PORT": " 9000\t", "HOST": "::1\n", "JWT_ISSUER": "  "})
    assert (padded.port, padded.host, padded.jwt_issuer) == (9000, "::1", None)
    assert database_url(" postgresql://localhost/todo\n") == "postgresql://localhost/todo"
    assert secret_of(f" {SECRET}\n") == f" {SECRET}\n".encode()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://me:p@db/todo", "postgresql://me:p@db/todo"),
        ("postgresql+psycopg://me:p@db/todo", "postgresql://me:p@db/todo"),
        ("postgresql+asyncpg://me:p@db/todo", "postgresql://me:p@db/todo"),
        ("postgresql://db/todo?pgbouncer=true", "postgresql://db/todo"),
        ("postgresql://db/todo?schema=public&sslmode=require&connection_limit=1",
         "postgresql://db/todo?sslmode=require"),
        ("postgres://me:p@db1:5432,db2/todo?load_balance_hosts=random&pgbouncer=true",
         "postgresql://me:p@db1:5432,db2/todo?load_balance_hosts=random"),
        ("postgresql:///todo?host=/run/a@b&pool_timeout=9", "postgresql:///todo?host=/run/a@b"),
        ("postgresql://me:is?pgbouncer=true@db/todo",
         "postgresql://me:is?pgbouncer=true@db/todo"),
    ],
)  # fmt: skip
def test_a_database_url_written_for_another_driver_is_accepted(text: str, url: str) -> None:
    assert database_url(text) == url
    migration = settings.load({"MIGRATION_DATABASE_URL": text}).migration_database_url
    assert migration is not None
    assert migration.get_secret_value() == url


def test_a_database_of_ones_own_requires_the_secret() -> None:
    with pytest.raises(SettingError, match="BETTER_AUTH_SECRET is not set"):
        settings.load({"DATABASE_URL": "postgresql://localhost/todo"})


@pytest.mark.parametrize("name", ["BETTER_AUTH_URL", "JWKS_URL"])
def test_published_keys_can_take_the_place_of_the_secret(name: str) -> None:
    url = {"DATABASE_URL": "postgresql://localhost/todo", name: "https://todo.example"}
    assert settings.load(url).secret is None


@pytest.mark.parametrize(
    ("url", "published_at"),
    [
        ("https://todo.example", "https://todo.example/api/auth/jwks"),
        ("https://todo.example/", "https://todo.example/api/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("https://todo.example/auth", "https://todo.example/auth/jwks"),
        ("https://todo.example/api/auth/", "https://todo.example/api/auth/jwks"),
    ],
)
def test_keys_are_looked_for_where_better_auth_publishes_them(
    url: str, published_at: str
) -> None:
    assert settings.load({"BETTER_AUTH_URL": url}).jwks_url == published_at


def test_keys_are_looked_for_elsewhere_if_it_is_said_where() -> None:
    elsewhere = "https://keys.example/todo?version=1"
    loaded = settings.load({"BETTER_AUTH_URL": "https://todo.example", "JWKS_URL": elsewhere})
    assert loaded.jwks_url == elsewhere
    assert settings.load({}).jwks_url is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://todo.example", "https://todo.example"),
        ("https://Todo.Example:443/api/auth/", "https://todo.example"),
        ("http://todo.example:80", "http://todo.example"),
        ("https://todo.example:80", "https://todo.example:80"),
        ("http://[::1]:3002/", "http://[::1]:3002"),
    ],
)
def test_the_origin_of_better_auth_is_among_the_usual_ones(url: str, origin: str) -> None:
    usual = settings.load({}).cors_origins
    assert settings.load({"BETTER_AUTH_URL": url}).cors_origins == (*usual, origin)


def test_no_origin_is_there_twice_nor_beside_those_that_are_set() -> None:
    usual = {"BETTER_AUTH_URL": "http://localhost:3000/"}
    assert settings.load(usual).cors_origins == settings.load({}).cors_origins
    chosen = {"BETTER_AUTH_URL": "https://a.example", "CORS_ORIGINS": "https://b.example"}
    assert settings.load(chosen).cors_origins == ("https://b.example",)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sub", (("sub",),)),
        ("user.id", (("user", "id"),)),
        ("sub, user.id", (("sub",), ("user", "id"))),
        ("a.b.c", (("a", "b", "c"),)),
        ("https://todo.example/user_id", (("https://todo.example/user_id",),)),
    ],
)
def test_dots_lead_to_the_users_claim_but_not_in_a_url(text: str, path: object) -> None:
    assert settings.load({"JWT_USER_CLAIM": text}).jwt_user_claim == path
    assert settings.load({}).jwt_user_claim == (("sub",), ("user", "id"))


@pytest.mark.parametrize("path", ["/todo", "/v1.0/to-do_~", "/..x/...", f"/{'x' * 49}"])
def test_a_path_prefix_has_segments_that_need_no_encoding(path: str) -> None:
    assert settings.load({"ROOT_PATH": path}).root_path == path
    assert settings.load({}).root_path == ""


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("100/second", ((100, 1),)),
        ("100 per second", ((100, 1),)),
        ("5000/hour; 100/second", ((5000, 3600), (100, 1))),
        ("10/5 minutes,1000000000/day", ((10, 300), (1_000_000_000, 86_400))),
    ],
)
@pytest.mark.parametrize("name", ["RATE_LIMIT", "INVALID_TOKEN_LIMIT"])
def test_limits_are_hits_in_seconds(name: str, text: str, limits: object) -> None:
    assert getattr(settings.load({name: text}), name.lower()) == limits
    assert getattr(settings.load({}), name.lower()) == ()


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_the_redis_of_rate_limits_is_a_url_whose_password_is_not_printed(prefix: str) -> None:
    url = "redis://:hunter2@localhost:6379/1"
    loaded = settings.load({"RATE_LIMIT_STORAGE": f"{prefix}{url}"})
    assert loaded.rate_limit_storage is not None
    assert loaded.rate_limit_storage.get_secret_value() == url
    assert "hunter2" not in f"{loaded!r}{loaded.model_dump_json()}"


def test_a_redis_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingError, match="RATE_LIMIT_STORAGE needs the package redis"):
        settings.load({"RATE_LIMIT_STORAGE": "redis://localhost"})


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("", ("127.0.0.1", "::1")),
        ("10.0.0.0/8, 2001:db8::/32", ("10.0.0.0/8", "2001:db8::/32")),
        ("*", ("*",)),
    ],
)
def test_proxies_are_addresses_and_networks(text: str, proxies: object) -> None:
    assert settings.load({"FORWARDED_ALLOW_IPS": text}).forwarded_allow_ips == proxies


def test_origins_are_separated_by_commas() -> None:
    loaded = settings.load({"CORS_ORIGINS": " https://todo.example , http://localhost:3000"})
    assert loaded.cors_origins == ("https://todo.example", "http://localhost:3000")


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("HTTPS://Todo.Example", "https://todo.example"),
        ("https://todo.example:443", "https://todo.example"),
        ("http://todo.example:80", "http://todo.example"),
        ("http://todo.example:443", "http://todo.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_compared_as_browsers_write_it(written: str, origin: str) -> None:
    loaded = settings.load({"CORS_ORIGINS": f"{written}, {origin}"})
    assert loaded.cors_origins == (origin,)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("BETTER_AUTH_SECRET", "short", "at least 32 bytes long, and has 5"),
        ("BETTER_AUTH_SECRET", "s" * 31, "at least 32 bytes long, and has 31"),
        ("BETTER_AUTH_SECRET_PREVIOUS", "short", "at least 32 bytes long, and has 5"),
        ("BETTER_AUTH_URL", "todo.example", "URL such as https://todo.example"),
        ("BETTER_AUTH_URL", "ftp://todo.example", "URL such as https://todo.example"),
        ("BETTER_AUTH_URL", "https://", "URL such as https://todo.example"),
        ("BETTER_AUTH_URL", "https://todo.example:port", "URL such as https://todo.example"),
        ("BETTER_AUTH_URL", "https://todo.example:0", "URL such as https://todo.example"),
        ("JWKS_URL", "file:///etc/keys.json", "URL such as https://todo.example"),
        ("JWKS_URL", "https://[::1/jwks", "URL such as https://todo.example"),
        ("JWKS_URL", "https://todo.example/a b", "URL such as https://todo.example"),
        ("JWKS_URL", "https://todo.example/jwks#a", "URL such as https://todo.example"),
        ("JWT_USER_CLAIM", ".", "a claim's name, or a path such as user.id"),
        ("JWT_USER_CLAIM", "user.", "a claim's name, or a path such as user.id"),
        ("JWT_USER_CLAIM", "user..id", "a claim's name, or a path such as user.id"),
        ("PORT", "http", "whole number from 1 to 65535"),
        ("PORT", "0", "whole number from 1 to 65535"),
        ("PORT", "65536", "whole number from 1 to 65535"),
        ("PORT", "٨٠٠٠", "whole number from 1 to 65535"),
        ("WORKERS", "-1", "whole number from 1 to 64"),
        ("ROOT_PATH", "todo", "a path such as /todo"),
        ("ROOT_PATH", "/", "a path such as /todo"),
        ("ROOT_PATH", "/todo/", "without a slash at the end"),
        ("ROOT_PATH", "//todo", "a path such as /todo"),
        ("ROOT_PATH", "/todo/../x", "a path such as /todo"),
        ("ROOT_PATH", "/a%20b", "a path such as /todo"),
        ("ROOT_PATH", "/todo?x", "a path such as /todo"),
        ("ROOT_PATH", "/tödo", "a path such as /todo"),
        ("ROOT_PATH", "https://todo.example/todo", "a path such as /todo"),
        ("ROOT_PATH", f"/{'x' * 50}", "at most 50 characters"),
        ("CORS_ORIGINS", "*", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://localhost:3000/", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "localhost:3000", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "https://*.example.com", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://user@host", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://:3000", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://localhost:port", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "http://localhost?", "origins such as http://localhost:3000"),
        ("CORS_ORIGINS", "https://tödo.example", "origins such as http://localhost:3000"),
        ("DATABASE_URL", "mysql://localhost/todo", "URL such as postgresql://"),
        ("MIGRATION_DATABASE_URL", "localhost/todo", "URL such as postgresql://"),
        ("RATE_LIMIT", "100", "limits, each for another time"),
        ("RATE_LIMIT", "100/fortnight", "limits, each for another time"),
        ("RATE_LIMIT", "0/second", "limits, each for another time"),
        ("RATE_LIMIT", "1000000001/second", "limits, each for another time"),
        ("RATE_LIMIT", f"{'9' * 5000}/second", "limits, each for another time"),
        ("RATE_LIMIT", "100/month", "of up to a day"),
        ("RATE_LIMIT", "100/2 days", "of up to a day"),
        ("RATE_LIMIT", "100/minute;200/60 seconds", "each for another time"),
        ("RATE_LIMIT", "1/second;2/minute;3/hour;4/2 hours;5/day", "up to four limits"),
        ("INVALID_TOKEN_LIMIT", "some", "such as 100/second"),
        ("RATE_LIMIT_STORAGE", "localhost:6379", "URL such as redis://"),
        ("RATE_LIMIT_STORAGE", "memcached://localhost", "URL such as redis://"),
        ("RATE_LIMIT_STORAGE", "redis://localhost:port", "URL such as redis://"),
        ("RATE_LIMIT_STORAGE", "redis://localhost?colour=red", "URL such as redis://"),
        ("FORWARDED_ALLOW_IPS", "localhost", "addresses and networks such as 10.0.0.0/8"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "addresses and networks such as 10.0.0.0/8"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1,*", "addresses and networks such as 10.0.0.0/8"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "one of text, json"),
        ("ACCESS_LOG", "yes", "true or false"),
        ("DATABASE_ALLOW_PRIVILEGED_LOGIN", "1", "true or false"),
        ("METRICS_PORT", "0", "whole number from 1 to 65535"),
        ("DATABASE_POOL_SIZE", "0", "whole number from 1 to 1000"),
        ("DATABASE_QUEUE_TIMEOUT", "soon", "number of seconds"),
        ("DATABASE_STATEMENT_TIMEOUT", "-1", "number of seconds"),
        ("DATABASE_STATEMENT_TIMEOUT", "nan", "number of seconds"),
        ("DATABASE_STATEMENT_TIMEOUT", "7200", "number of seconds, at most 3600, not '7200'"),
        ("DATABASE_SLOW_STATEMENT", "off", "number of seconds"),
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


def test_no_statement_is_slow_if_the_limit_is_0() -> None:
    assert settings.load({"DATABASE_SLOW_STATEMENT": "0"}).slow_statement == inf
    assert settings.load({"DATABASE_SLOW_STATEMENT": "0.1"}).slow_statement == 0.1


def test_a_refused_secret_or_url_is_not_repeated() -> None:
    for name, value in (
        ("BETTER_AUTH_SECRET", "hunter2"),
        ("DATABASE_URL", "my:hunter2@x"),
        ("BETTER_AUTH_URL", "https://me:hunter2@todo.example"),
        ("JWKS_URL", "https://me:hunter2@todo.example/jwks"),
        ("RATE_LIMIT_STORAGE", "redis://:hunter2@localhost:port"),
    ):
        with pytest.raises(SettingError) as refused:
            settings.load({name: value})
        assert "hunter2" not in str(refused.value)
