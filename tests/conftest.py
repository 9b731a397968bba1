"""Fixtures for all tests."""

import signal

pytest_plugins = ("harness.browser", "harness.databases", "harness.fixtures")

# A shell makes background jobs ignore SIGINT; the services that the tests start and then
# interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
