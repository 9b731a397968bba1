"""Development without any setting: a secret of our own, and tokens signed with it."""

import argparse
import logging
import os
from datetime import timedelta

from pydantic import SecretBytes

import settings as configuration
from app.components import origin, sign_token
from cli.messages import report
from handlers.auth import dev_secret
from handlers.site.dev_tokens import LOOPBACK
from settings import SettingError, Settings

ONE_DAY = timedelta(days=1)

WELCOME = """
Todo API

  the API        {url}/api/tasks
  try it out     {url}/docs
  the contract   {url}/openapi.yaml

A development token for the user "alice", good for a day:

  curl {url}/api/tasks -H "Authorization: Bearer {token}"

More of them: .venv/bin/todo-api token --user bob
"""


def token(options: argparse.Namespace) -> None:
    """Print a token."""
    settings = configuration.load(os.environ)
    settings = with_dev_secret(settings)
    if settings.secret is None:
        msg = "BETTER_AUTH_SECRET is not set: without it only Better Auth can sign tokens."
        raise SettingError(msg)
    print(sign_token(settings, options.user, options.ttl))


def is_development(given: Settings) -> bool:
    """Return whether only this machine can connect, and the secret and data are our own."""
    return given.database_url is None and given.secret is None and given.host in LOOPBACK


def with_dev_secret(settings: Settings, *, create: bool = False) -> Settings:
    """Return the settings with the development secret, if they need one.

    With a DATABASE_URL they do not: tokens may then be verified by published keys alone.
    """
    if settings.secret is not None or settings.database_url is not None:
        return settings
    path = settings.data_dir / dev_secret.FILE_NAME
    if create and dev_secret.create(path):
        notice = f"BETTER_AUTH_SECRET is not set: made one for development in {path}."
        report(notice, logging.WARNING)
    secret = SecretBytes(dev_secret.load(path))
    return settings.model_copy(update={"secret": secret})


def welcome(settings: Settings) -> None:
    """Print where everything is, and a token to try it."""
    token = sign_token(settings, "alice", ONE_DAY)
    print(WELCOME.format(url=origin(settings), token=token), flush=True)
