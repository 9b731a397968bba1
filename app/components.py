"""The parts of the service, each made of the settings."""

from collections.abc import Container
from datetime import timedelta
from ipaddress import ip_network

from handlers.auth import BearerAuth
from handlers.auth.cache import TokenCache
from handlers.auth.counters import Counters, MemoryCounters
from handlers.auth.jwks import JWKSClient
from handlers.auth.keys import KeyRing, Keys, SharedSecrets
from handlers.auth.limited import LimitedBearerAuth
from handlers.auth.rate_limiter import RateLimiter
from handlers.auth.verifier import TokenVerifier
from handlers.server.limits import Limits
from handlers.site import dev_tokens
from models import queries
from models.postgres.database import Database
from settings import Settings


def create_database(settings: Settings) -> Database:
    """Return the database of these settings; does no I/O until it is opened."""
    assert settings.database_url is not None, "the database is provided before it is used"
    return Database(
        settings.database_url.get_secret_value(),
        kind=settings.database_kind,
        statements=queries.PREPARED,
        pool_size=settings.pool_size,
        queue_size=settings.queue_size,
        queue_timeout=settings.queue_timeout,
        statement_timeout=settings.statement_timeout,
        slow_statement=settings.slow_statement,
        constants={"deletion_retention": f"{settings.deletion_retention} days"},
    )


def create_token_cache(settings: Settings, published: JWKSClient | None) -> TokenCache:
    """Return what verifies tokens, by the shared secrets, published keys, or both."""
    keys: Keys
    if settings.secret is None:
        assert published is not None, "there are keys before the service is built"
        keys = published
    else:
        given = filter(None, (settings.secret, settings.previous_secret))
        keys = SharedSecrets(*(secret.get_secret_value() for secret in given))
        keys = KeyRing(keys, published) if published else keys
    verifier = TokenVerifier(
        keys,
        user_claims=settings.jwt_user_claim,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
    return TokenCache(verifier, keys)


def create_auth(
    settings: Settings, tokens: TokenCache, blocked: Container[str], counters: Counters
) -> BearerAuth:
    """Return the security handler, with limits if the settings have any."""
    if not settings.rate_limit and not settings.invalid_token_limit:
        return BearerAuth(tokens, blocked)
    return LimitedBearerAuth(
        tokens,
        blocked,
        requests=RateLimiter("requests", settings.rate_limit, counters),
        invalid_tokens=RateLimiter("invalid-tokens", settings.invalid_token_limit, counters),
    )


def create_counters(settings: Settings) -> Counters:
    """Return the counters of rate limits: of this process, or those in Redis."""
    if settings.rate_limit_storage is None:
        return MemoryCounters()
    from handlers.auth.redis_counters import RedisCounters  # noqa: PLC0415 (an extra)

    return RedisCounters(settings.rate_limit_storage.get_secret_value())


def trusted_proxies(settings: Settings) -> list[str]:
    """Return the addresses and networks of proxies, or `*` for all.

    Those of IPv4 are also given in the form in which an IPv6 socket reports them.
    """
    given = list(settings.forwarded_allow_ips)
    if given == ["*"]:
        return given
    networks = (network for network in map(ip_network, given) if network.version == 4)  # noqa: PLR2004
    return given + [f"::ffff:{each.network_address}/{96 + each.prefixlen}" for each in networks]


def create_limits(settings: Settings) -> Limits:
    """Return the limits of every connection."""
    return Limits(
        head_timeout=settings.head_timeout,
        body_timeout=settings.body_timeout,
        write_timeout=settings.write_timeout,
        keep_alive_timeout=settings.keep_alive_timeout,
        max_head=settings.max_head_bytes,
        max_headers=settings.max_headers,
        max_connections=settings.max_connections,
    )


def sign_token(settings: Settings, user: str, ttl: timedelta) -> str:
    """Return a token that the service with these settings accepts."""
    assert settings.secret is not None
    return dev_tokens.sign_token(
        settings.secret.get_secret_value(),
        user,
        ttl,
        user_claim=settings.jwt_user_claim[0],
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def origin(settings: Settings) -> str:
    """Return the origin of the service as seen from this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"
