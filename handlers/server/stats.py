"""How many connections a process has and has refused, for /metrics."""

from dataclasses import dataclass


@dataclass(slots=True)
class ConnectionStats:
    """The client connections of this process."""

    open: int = 0
    """Those that are open now."""
    rejected: int = 0
    """Those closed since the start because too many were open."""
    timed_out: int = 0
    """Those closed since the start because the client was too slow."""


connection_stats = ConnectionStats()
"""Of this process; uvicorn makes the protocol objects, so it cannot be an argument."""
