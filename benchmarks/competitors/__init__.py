"""Implementations of the same API on other stacks, each in one file."""
