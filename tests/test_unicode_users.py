"""User ids that resemble another user's id, in tokens and paths, are different users."""

import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest

from harness.clients import AuthedClient, new_user_id
from harness.operations import BY_ID, SECURED, request_operation
from harness.raw_http import send
from harness.service import Service

LOOKALIKES: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "other case": str.swapcase,
    "a space behind": lambda user: f"{user} ",
    "a space before": lambda user: f" {user}",
    "a no-break space behind": lambda user: f"{user}\N{NO-BREAK SPACE}",
    "a line separator behind": lambda user: f"{user}\N{LINE SEPARATOR}",
    "a zero width space behind": lambda user: f"{user}\N{ZERO WIDTH SPACE}",
    "a byte order mark before": lambda user: f"\ufeff{user}",
    "a right-to-left mark behind": lambda user: f"{user}\N{RIGHT-TO-LEFT MARK}",
    "decomposed": lambda user: unicodedata.normalize("NFD", user),
    "full width": lambda user: user.translate({n: n + 0xFEE0 for n in range(0x21, 0x7F)}),
    "Cyrillic": lambda user: user.replace("o", "\N{CYRILLIC SMALL LETTER O}"),
    "without the accent": lambda user: user.replace("ë", "e"),
    "all but the last character": lambda user: user[:-1],
    "all but the first character": lambda user: user[1:],
    "twice": lambda user: user * 2,
    "filled up to 255 characters": lambda user: user.ljust(255),
    "a dot behind": lambda user: f"{user}.",
    "a dot before": lambda user: f"./{user}",
    "two dots before": lambda user: f"../{user}",
    "up and down": lambda user: f"x/../{user}",
    "a slash behind": lambda user: f"{user}/",
    "a slash before": lambda user: f"/{user}",
    "an encoded slash behind": lambda user: f"{user}%2F",
    "an encoded NUL behind": lambda user: f"{user}%00",
    "encoded": quote,
    "encoded twice": lambda user: quote(quote(user)),
    "a plus sign for a space": lambda user: f"{user}+",
    "a matrix parameter": lambda user: f"{user};v=1",
    "a query": lambda user: f"{user}?",
    "a fragment": lambda user: f"{user}#",
    "a backslash behind": lambda user: f"{user}\\",
    "a percent sign": lambda _: "%",
    "an underscore for each character": lambda user: "_" * len(user),
    "a prefix and a percent sign": lambda user: f"{user[:3]}%",
    "a star": lambda _: "*",
    "a regular expression": lambda _: ".*",
    "a quotation mark behind": lambda user: f"{user}'",
    "SQL": lambda user: f"x' OR user_id = '{user}' --",
    "SQL that sets the user": lambda user: f"x', true), set_config('app.user_id', '{user}",
    "a list": lambda user: f"{user},x",
    "an array": lambda user: f"{{{user}}}",
    "JSON": lambda user: f'"{user}"',
    "a default": lambda _: "default",
    "null": lambda _: "null",
    "undefined": lambda _: "undefined",
}

# Paths that parts of the service might interpret differently, as Alice's or as Bob's.
# Each must get a 4xx.
STRANGE_PATHS = [
    "/api/{alice}/tasks",
    "/api/{alice}/tasks/",
    "/api/{alice}/tasks//",
    "/api/{alice}//tasks",
    "/api//{alice}/tasks",
    "//api/{alice}/tasks",
    "/./api/{alice}/tasks",
    "/api/./{alice}/tasks",
    "/api/{alice}/./tasks",
    "/api/{bob}/../{alice}/tasks",
    "/api/{bob}/%2e%2e/{alice}/tasks",
    "/api/{bob}%2F..%2F{alice}/tasks",
    "/api/{bob}/tasks/../../{alice}/tasks",
    "/api/{bob}/{alice}/tasks",
    "/api/{bob},{alice}/tasks",
    "/api/{bob};{alice}/tasks",
    "/api/{bob}%00{alice}/tasks",
    "/api/{alice};v=1/tasks",
    "/api/{alice}%2F/tasks",
    "/api/{alice}%2Ftasks",
    "/api/{alice}%2ftasks%2f",
    "/api/{alice}%5Ctasks",
    "/api/{alice}\\tasks",
    "/api/{alice}%00/tasks",
    "/api/{alice}%20/tasks",
    "/api/%20{alice}/tasks",
    "/api/{alice}%09/tasks",
    "/api/{alice}%0A/tasks",
    "/api/{alice}%0D%0A/tasks",
    "/api/{alice}%7F/tasks",
    "/api/{alice}%C2%A0/tasks",
    "/api/{alice}%C0%AF/tasks",
    "/api/{alice}%FF/tasks",
    "/api/{alice}%/tasks",
    "/api/{alice}%2/tasks",
    "/api/{alice}%zz/tasks",
    "/api/{alice}%23/tasks",
    "/api/{alice}%3F/tasks",
    "/api/{alice}%253F/tasks",
    "/api/{alice}/tasks%00",
    "/api/{alice}/tasks%0A",
    "/api/{alice}/tasks%20",
    "/api/{alice}/tasks;v=1",
    "/api/{alice}/%74asks",
    "/api/{alice}/TASKS",
    "/%61pi/{alice}/tasks",
    "/API/{alice}/tasks",
    "/api/{alice}/tasks?user_id={bob}",
    "/api/{alice}/tasks#/api/{bob}/tasks",
    "/api/{alice}/tasks/tasks",
    "/api/tasks/{alice}/tasks",
    "/api/tasks/../{alice}/tasks",
    "http://evil.example/api/{alice}/tasks",
    "http://{bob}@evil.example/api/{alice}/tasks",
    "/api/http://evil.example/api/{alice}/tasks",
]

OWN_IDS = {
    "letters encoded": ("alice", "%61%6C%69%63%65"),
    "lower-case hexadecimal": ("jalapeño", "jalape%c3%b1o"),
    "a slash": ("a/b", "a%2Fb"),
    "a slash and tasks": ("a/tasks", "a%2Ftasks"),
    "a percent sign": ("100%", "100%25"),
    "a percent sign and digits": ("a%2Fb", "a%252Fb"),
    "a space": ("a b", "a%20b"),
    "a plus sign": ("a+b", "a+b"),
    "a dot": (".", "."),
    "two dots": ("..", ".."),
    "two dots, encoded": ("..", "%2e%2e"),
    "a question mark": ("who?", "who%3F"),
    "a number sign": ("#1", "%231"),
    "a semicolon": ("a;b=c", "a;b=c"),
    "characters beyond 16 bits": ("\N{PILE OF POO}", "%F0%9F%92%A9"),
    "the word tasks": ("tasks", "%74asks"),
}


@pytest.fixture
def zoe(make_client: Callable[[str], AuthedClient]) -> AuthedClient:
    """Return the client of a user whose id has many similar spellings."""
    return make_client(f"Zoë-{new_user_id()}")


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_user_id_that_resembles_zoes_is_another_user(
    zoe: AuthedClient, make_client: Callable[[str], AuthedClient], name: str
) -> None:
    lookalike = make_client(LOOKALIKES[name](zoe.id))
    assert lookalike.id != zoe.id
    task = zoe.create_task("Zoë's")
    theirs = lookalike.create_task("Not Zoë's")
    assert theirs["user_id"] == lookalike.id
    for operation in SECURED:
        assert (
            request_operation(zoe, operation, task["id"], user=lookalike.id).status_code == 403
        )
        assert (
            request_operation(lookalike, operation, task["id"], user=zoe.id).status_code == 403
        )
        if operation in BY_ID:
            assert request_operation(zoe, operation, theirs["id"]).status_code == 403
            assert request_operation(lookalike, operation, task["id"]).status_code == 403
    assert zoe.list_tasks() == [task]
    listed = lookalike.list_tasks()
    assert theirs in listed
    assert task not in listed


@pytest.mark.parametrize("strange", STRANGE_PATHS)
def test_no_spelling_of_a_path_reaches_alices_tasks(
    service: Service, alice: AuthedClient, bob: AuthedClient, strange: str
) -> None:
    task = alice.create_task(f"Title {new_user_id()}")
    names = {"alice": alice.id, "bob": bob.id}
    authorization = f"Authorization: {bob.headers['Authorization']}"
    for method, end in (
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{task['id']}"),
        ("PUT", f"/{task['id']}"),
        ("DELETE", f"/{task['id']}"),
        ("PATCH", f"/{task['id']}/complete"),
    ):
        target = strange.format_map(names) + end
        response = send(service, f"{method} {target} HTTP/1.1", authorization)
        assert response.status_code in {400, 403, 404, 405}
        assert task["title"] not in response.text
        assert "x-total-count" not in response.headers
    assert alice.list_tasks() == [task]


@pytest.mark.parametrize("case", OWN_IDS)
def test_a_users_own_id_is_accepted_in_any_percent_encoding(
    service: Service, make_client: Callable[[str], AuthedClient], case: str
) -> None:
    user_id, written = OWN_IDS[case]
    user = make_client(user_id)
    task = user.create_task("Mine")
    authorization = f"Authorization: {user.headers['Authorization']}"
    response = send(service, f"GET /api/{written}/tasks HTTP/1.1", authorization)
    assert response.status_code == 200
    assert task in response.json()
    for end in ("", "/"):
        target = f"/api/{written}/tasks/{task['id']}{end}"
        response = send(service, f"GET {target} HTTP/1.1", authorization)
        assert response.status_code == 200
        assert response.json() == task


@pytest.mark.parametrize(
    "raw", [b"/api/\xff/tasks", b"/api/Zo\xc3\xab/tasks", b"/api/\xc0\xaf"]
)
def test_non_ascii_bytes_in_a_path_get_a_4xx(service: Service, raw: bytes) -> None:
    response = send(service, b"GET " + raw + b" HTTP/1.1")
    assert 400 <= response.status_code < 500
