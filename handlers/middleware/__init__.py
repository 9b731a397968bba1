"""ASGI middleware around the operations."""
