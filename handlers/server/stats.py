"""How many connections a process has, and what it has refused, for /metrics."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ConnectionStats:
    """The client connections of this process."""

    open: int = 0
    """Those that are open now."""
    rejected: int = 0
    """Those closed since the start because too many were open."""
    timed_out: int = 0
    """Those closed since the start because the client was too slow."""
    rejections: dict[str, int] = field(default_factory=dict)
    """Responses since the start that the server sent itself, by problem type."""


connection_stats = ConnectionStats()
"""Of this process; uvicorn makes the protocol objects, so it cannot be an argument."""
