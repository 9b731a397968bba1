"""Fixtures for all tests."""

pytest_plugins = ("harness.databases", "harness.fixtures")
