"""Fixtures for all tests."""

import signal

pytest_plugins = ("harness.browser", "harness.databases", "harness.fixtures")

# A shell lets what it runs in the background ignore Ctrl-C, and so would the processes
# that the tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
