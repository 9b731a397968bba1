"""Behind a real nginx that serves the API under a path prefix (`ROOT_PATH`)."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
import yaml

from harness.clients import AuthedClient, new_user_id, token
from harness.contract import CONTRACT, ROOT_PATH
from harness.nginx import nginx
from harness.pages import BROWSER, Links
from harness.raw_http import send
from harness.service import SECRET, Service


@pytest.fixture(scope="module")
def prefixed_service(service: Service, data_dir: Path) -> Iterator[Service]:
    """Run a service with a ROOT_PATH, on the database of the shared service."""
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "ROOT_PATH": ROOT_PATH,
    }
    prefixed = Service(environment, data_dir / "prefixed.log")
    yield prefixed.wait_until_healthy()
    prefixed.stop()


@pytest.fixture(scope="module", params=["left on", "removed"])
def proxied(
    request: pytest.FixtureRequest,
    prefixed_service: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Return the address of the service behind nginx, which may remove the prefix."""
    directory = tmp_path_factory.mktemp("nginx")
    removes_prefix = request.param == "removed"
    with nginx(prefixed_service, directory, removes_prefix=removes_prefix) as url:
        yield url


@pytest.fixture
def client(proxied: str) -> Iterator[AuthedClient]:
    """Return a client of a new user, who sees the service through the proxy only."""
    with AuthedClient(proxied, new_user_id()) as client:
        yield client


def follow(client: httpx.Client, response: httpx.Response, address: str) -> httpx.Response:
    """Request an address in a response, as a client resolves it."""
    assert address.startswith(f"{ROOT_PATH}/")
    return client.get(urljoin(str(response.url), address), headers={"Accept": BROWSER})


def test_location_is_the_address_of_the_new_task(client: AuthedClient) -> None:
    created = client.post("/api/tasks", json={"title": "Water the plants"})
    read = follow(client, created, created.headers["location"])
    assert (read.status_code, read.json()) == (200, created.json())


@pytest.mark.parametrize("form", ["/api/tasks", "/api/{user}/tasks/"])
def test_links_lead_through_every_page_of_a_list(client: AuthedClient, form: str) -> None:
    tasks = [client.create_task(f"{number}") for number in range(5)]
    page = client.get(form.format(user=client.id), params={"limit": 2, "order": "asc"})
    listed = page.json()
    while "next" in page.links:
        assert all(link["url"].startswith(f"{ROOT_PATH}/") for link in page.links.values())
        page = follow(client, page, page.links["next"]["url"])
        listed += page.json()
    assert listed == tasks


def test_the_type_of_a_problem_is_the_address_of_its_page(client: AuthedClient) -> None:
    for method, path, slug in (
        ("GET", "/api/tasks?limit=x", "bad-request"),
        ("GET", "/api/somebody/tasks", "forbidden"),
        ("GET", "/nowhere", "not-found"),
        ("DELETE", "/docs", "method-not-allowed"),
    ):
        response = client.request(method, path)
        problem = response.json()
        assert problem["type"] == f"{ROOT_PATH}/problems/{slug}"
        assert problem["instance"] == f"{ROOT_PATH}{urlsplit(path).path}"
        page = follow(client, response, problem["type"])
        assert f'"type": "{problem["type"]}"' in page.text.replace("&#34;", '"')
        explained = client.get(f"/problems/{slug}", headers={"Accept": "application/json"})
        assert explained.json()["type"] == problem["type"]


def test_a_request_that_is_not_http_gets_a_problem_below_the_prefix(
    prefixed_service: Service,
) -> None:
    problem = send(prefixed_service, b"GET /\xff HTTP/1.1").json()
    assert problem["type"] == f"{ROOT_PATH}/problems/bad-request"
    assert problem["instance"] == f"{ROOT_PATH}/"


def test_every_link_of_every_page_stays_below_the_prefix(proxied: str) -> None:
    start = f"{proxied}/"
    found, visited = [start], set[str]()
    with httpx.Client(headers={"Accept": BROWSER}) as browser:
        while found:
            address = found.pop()
            visited.add(address)
            page = browser.get(address)
            assert page.status_code == 200, address
            if not page.headers["content-type"].startswith("text/html"):
                continue
            links = Links(page)
            targets = {urljoin(address, link) for link in links.loads | links.links}
            own = {link for link in targets if urlsplit(link).netloc == urlsplit(start).netloc}
            assert all(link.startswith(start) for link in own), address
            found += {link.partition("#")[0] for link in own} - visited - set(found)
    paths = {"/docs", "/reference", "/problems", "/problems/not-found", "/openapi.yaml"}
    assert {f"{proxied}{path}" for path in paths} <= visited
    assert f"{proxied}/docs/start.js" in visited


def test_the_contract_names_the_server_below_the_prefix(client: AuthedClient) -> None:
    document = client.get("/openapi.json").json()
    assert document == yaml.safe_load(client.get("/openapi.yaml").text)
    assert document["servers"][0]["url"] == ROOT_PATH
    document["servers"][0]["url"] = "/"
    assert document == CONTRACT.document


def test_a_prefix_that_the_client_claims_is_ignored(client: AuthedClient) -> None:
    claimed = {"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"}
    created = client.post("/api/tasks", json={"title": "x"}, headers=claimed)
    missing = client.get("/nowhere", headers=claimed)
    assert created.headers["location"].startswith(f"{ROOT_PATH}/api/tasks/")
    assert "evil" not in f"{created.headers} {missing.headers} {missing.text}"


def test_the_longest_token_and_long_links_pass_the_proxy(client: AuthedClient) -> None:
    tags = [f"{'😀' * 49}{number}" for number in range(5)]
    for title in ("1", "2"):
        client.create_task(title, tags=tags)
    longest = token(client.id, padding="x" * 12_000)
    assert 16_000 < len(longest) <= 16_384
    headers = {"Authorization": f"Bearer {longest}"}
    response = client.get("/api/tasks", params={"limit": 1, "tag": tags}, headers=headers)
    assert response.status_code == 200, response.text
    assert len(response.headers["link"]) > 8192


def test_an_encoded_slash_is_part_of_a_user_id_if_the_prefix_is_left_on(
    prefixed_service: Service, tmp_path: Path
) -> None:
    user = "a/b é%2F"
    with (
        nginx(prefixed_service, tmp_path) as proxied,
        AuthedClient(proxied, user) as client,
    ):
        response = client.get(f"/api/{quote(user, safe='')}/tasks")
        assert response.status_code == 200, response.text


def test_without_the_proxy_both_forms_of_a_path_work(prefixed_service: Service) -> None:
    for url in (prefixed_service.url, f"{prefixed_service.url}{ROOT_PATH}"):
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(url).status_code == 200
    twice = f"{prefixed_service.url}{ROOT_PATH}{ROOT_PATH}/health"
    assert httpx.get(twice).status_code == 404


def test_without_the_setting_a_prefix_is_another_path(service: Service) -> None:
    assert httpx.get(f"{service.url}{ROOT_PATH}/health").status_code == 404
