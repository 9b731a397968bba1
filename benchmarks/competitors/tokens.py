"""Verification of tokens, with a cache of those that were valid."""

import os
import time

import jwt

SECRET = os.environ["BETTER_AUTH_SECRET"]
MAX_CACHED_TOKENS = 10_000

_cache: dict[str | bytes, tuple[str, float]] = {}


def verify(token: str | bytes) -> str | None:
    """Return the user's id, or None if the token is invalid or has expired."""
    user, expires = _cache.get(token, ("", 0))
    if time.time() < expires:
        return user
    try:
        claims = jwt.decode(
            token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError:
        return None
    if len(_cache) >= MAX_CACHED_TOKENS:
        _cache.clear()
    _cache[token] = claims["sub"], claims["exp"]
    return str(claims["sub"])


def bearer(authorization: str) -> str | None:
    """Return the user's id from an `Authorization` header, or None if it has no valid token."""
    scheme, _, token = authorization.partition(" ")
    return verify(token) if scheme == "Bearer" else None
