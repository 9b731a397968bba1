"""Fixtures for all tests."""

import signal

pytest_plugins = ("harness.browser", "harness.databases", "harness.fixtures")

# A shell makes background jobs ignore SIGINT, as `nohup` does SIGHUP; the services that the
# tests start and then signal would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
