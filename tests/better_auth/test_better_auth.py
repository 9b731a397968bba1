"""The real Better Auth, from npm: its users sign up, and the service accepts their tokens."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from harness.anonymous import INVALID, AnonymousClient, unauthorized_detail
from harness.better_auth import (
    SECRET,
    Instance,
    conninfo_to_url,
    install_better_auth,
    running_better_auth,
    signed_up_user,
)
from harness.clients import new_user_id, token
from harness.cluster import Cluster
from harness.jwks_server import KeyPair
from harness.node import Node
from harness.postgres import wait_until
from harness.service import Service

ROTATION_SECONDS = 3
GRACE_SECONDS = 6  # long enough for a third key to be in use when the first one expires

EDDSA = Instance("eddsa")
ES256 = Instance("es256", jwks={"keyPairConfig": {"alg": "ES256"}})
RS256 = Instance("rs256", jwks={"keyPairConfig": {"alg": "RS256"}})
ROTATING = Instance(
    "rotating",
    jwks={"rotationInterval": ROTATION_SECONDS, "gracePeriod": GRACE_SECONDS},
)
CACHING = Instance("caching", session={"cookieCache": {"enabled": True, "strategy": "jwt"}})
SHORT_LIVED = Instance("fleeting")
SUB_ONLY = Instance("sub-only")  # never runs: its service needs only the secret

# The settings of each service; all store their tasks in Better Auth's database.
SETTINGS: dict[Instance, dict[str, str]] = {
    EDDSA: {"BETTER_AUTH_SECRET": SECRET},
    ES256: {"JWT_ISSUER": ES256.url, "JWT_AUDIENCE": ES256.url},
    RS256: {"JWKS_URL": f"{RS256.url}/api/auth/jwks", "BETTER_AUTH_URL": EDDSA.url},
    ROTATING: {},
    CACHING: {"BETTER_AUTH_SECRET": SECRET, "JWT_USER_CLAIM": "user.id"},
    SHORT_LIVED: {},
    SUB_ONLY: {"BETTER_AUTH_SECRET": SECRET, "JWT_USER_CLAIM": "sub"},
}


@pytest.fixture(scope="module")
def node() -> Node:
    return install_better_auth()


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Cluster]:
    """Create a database for both Better Auth and the service."""
    with cluster.new_database() as shared:
        yield shared


@pytest.fixture(scope="module")
def running(node: Node, shared: Cluster) -> Iterator[None]:
    """Run Better Auth in a database that the service has not migrated yet."""
    instances = (EDDSA, ES256, RS256, ROTATING, CACHING)
    with running_better_auth(node, conninfo_to_url(shared.owner), *instances):
        yield


Services = Callable[[Instance], AnonymousClient]


@pytest.fixture(scope="module")
def services(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Return a function that starts the service for an instance on the first call."""
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:

        @cache
        def start(instance: Instance) -> AnonymousClient:
            environment = {
                "DATABASE_URL": conninfo_to_url(shared.app),
                "MIGRATION_DATABASE_URL": conninfo_to_url(shared.owner),
                "BETTER_AUTH_URL": instance.url,
                **SETTINGS[instance],
            }
            service = Service(environment, Path(logs, f"{instance.options['name']}.log"))
            stack.callback(service.stop)
            return stack.enter_context(AnonymousClient(service.wait_until_healthy().url))

        yield start


@pytest.fixture
def service(
    running: None, services: Services, request: pytest.FixtureRequest
) -> AnonymousClient:
    """Return a client of the service for the instance in the test's parameters."""
    assert running is None
    return services(getattr(request, "param", EDDSA))


def create_task(service: AnonymousClient, token: str) -> dict[str, Any]:
    """Create a task; return the body of the response."""
    header = {"Authorization": f"Bearer {token}"}
    response = service.post("/api/tasks", headers=header, json={"title": "x"})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.parametrize(
    ("service", "instance", "algorithm"),
    [(EDDSA, EDDSA, "EdDSA"), (ES256, ES256, "ES256"), (RS256, RS256, "RS256")],
    indirect=["service"],
    ids=["EdDSA, the default", "ES256", "RS256"],
)
def test_a_signed_up_user_is_served(
    service: AnonymousClient, instance: Instance, algorithm: str
) -> None:
    with signed_up_user(instance) as alice, signed_up_user(instance) as bob:
        alices, bobs = alice.token(), bob.token()
        assert jwt.get_unverified_header(alices)["alg"] == algorithm
        task = create_task(service, alices)
        assert task["user_id"] == alice.id
        assert service.list_tasks(alices).json() == [task]
        assert service.list_tasks(bobs).json() == []
        header = {"Authorization": f"Bearer {bobs}"}
        for url in (f"/api/tasks/{task['id']}", f"/api/{alice.id}/tasks"):
            assert service.get(url, headers=header).status_code == 403


@pytest.mark.parametrize("service", [ES256, RS256], indirect=True, ids=["ES256", "RS256"])
def test_tokens_of_another_better_auth_instance_are_rejected(service: AnonymousClient) -> None:
    with signed_up_user(EDDSA) as alice:
        assert unauthorized_detail(service.list_tasks(alice.token())) == INVALID


def test_an_hs256_token_signed_with_the_shared_secret_is_accepted(
    service: AnonymousClient, node: Node
) -> None:
    with signed_up_user(EDDSA) as alice:
        task = create_task(service, alice.token())
        minted = node.run("mint.mjs", SECRET, alice.id).stdout.strip()
        assert jwt.get_unverified_header(minted) == {"alg": "HS256"}
        assert service.list_tasks(minted).json() == [task]
        forged = node.run("mint.mjs", SECRET[::-1], alice.id).stdout.strip()
        assert unauthorized_detail(service.list_tasks(forged)) == INVALID


@pytest.mark.parametrize("service", [RS256], indirect=True, ids=["RS256"])
def test_without_a_configured_secret_hs256_tokens_are_rejected(
    service: AnonymousClient, node: Node
) -> None:
    minted = node.run("mint.mjs", SECRET, new_user_id()).stdout.strip()
    assert unauthorized_detail(service.list_tasks(minted)) == INVALID


@pytest.mark.parametrize("service", [ROTATING], indirect=True, ids=["rotating"])
def test_a_new_key_is_accepted_immediately_and_the_old_one_until_its_grace_period_ends(
    service: AnonymousClient,
) -> None:
    with signed_up_user(ROTATING) as alice:
        old = new = alice.token()
        while kid(new) == kid(old):
            assert service.list_tasks(old).status_code == 200
            time.sleep(0.2)
            new = alice.token()
        assert service.list_tasks(new).status_code == 200
        assert ROTATING.published_kids() >= {kid(old), kid(new)}
        assert service.list_tasks(old).status_code == 200
        wait_until(lambda: kid(old) not in ROTATING.published_kids())
        newest = alice.token()  # signed with a key that the service must fetch
        assert kid(newest) != kid(new)
        assert service.list_tasks(newest).status_code == 200
        assert unauthorized_detail(service.list_tasks(old)) == INVALID


@pytest.mark.parametrize("service", [CACHING], indirect=True, ids=["caching"])
def test_a_cookie_cache_token_has_a_nested_user_claim(service: AnonymousClient) -> None:
    with signed_up_user(CACHING) as alice:
        cached = alice.cookies["better-auth.session_data"]
        assert jwt.get_unverified_header(cached) == {"alg": "HS256"}
        task = create_task(service, cached)
        assert task["user_id"] == alice.id
        assert service.list_tasks(token(None, secret=SECRET, user={"id": alice.id})).json() == [
            task
        ]
        assert unauthorized_detail(service.list_tasks(alice.token())) == INVALID


def test_a_cookie_cache_token_is_accepted_without_configuration(
    service: AnonymousClient,
) -> None:
    with signed_up_user(CACHING) as alice:
        task = create_task(service, alice.cookies["better-auth.session_data"])
        assert task["user_id"] == alice.id


def test_a_cookie_cache_token_is_rejected_where_only_sub_is_configured(
    running: None, services: Services
) -> None:
    assert running is None
    service = services(SUB_ONLY)
    with signed_up_user(CACHING) as alice:
        cached = alice.cookies["better-auth.session_data"]
        assert unauthorized_detail(service.list_tasks(cached)) == INVALID
        assert service.list_tasks(token(alice.id, secret=SECRET)).status_code == 200


def test_cached_keys_are_used_while_better_auth_is_down(
    node: Node, shared: Cluster, services: Services
) -> None:
    service = services(SHORT_LIVED)
    assert service.list_tasks(KeyPair().token()).status_code == 503
    assert (
        unauthorized_detail(service.list_tasks(token(new_user_id(), secret=SECRET))) == INVALID
    )
    with (
        running_better_auth(node, conninfo_to_url(shared.owner), SHORT_LIVED),
        signed_up_user(SHORT_LIVED) as alice,
    ):
        known = alice.token()
        wait_until(lambda: service.list_tasks(known).status_code == 200)
    with pytest.raises(httpx.ConnectError):
        SHORT_LIVED.published_kids()
    assert create_task(service, known)["user_id"] == alice.id


def test_cors_allows_the_origin_of_better_auth(service: AnonymousClient) -> None:
    response = service.get("/health", headers={"Origin": EDDSA.url})
    assert response.headers["Access-Control-Allow-Origin"] == EDDSA.url


def test_better_auth_and_the_service_can_share_a_database(
    service: AnonymousClient, shared: Cluster
) -> None:
    with signed_up_user(EDDSA) as alice:
        create_task(service, alice.token())
        for users in ("public.user", "todo.users"):
            assert shared.scalar(f"SELECT count(*) FROM {users} WHERE id = '{alice.id}'") == 1
