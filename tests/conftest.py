"""Fixtures for all tests."""

pytest_plugins = ("harness.browser", "harness.databases", "harness.fixtures")
