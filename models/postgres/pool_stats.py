"""Figures of a connection pool, for its users and for metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Figures of a pool at one moment."""

    size: int
    """Open connections."""
    in_flight: int
    """Batches sent and not answered yet."""
    queued: int
    """Batches that wait for a connection, or for their user's earlier writes."""


@dataclass(slots=True)
class PoolTotals:
    """What a pool has counted since it was made; times are in seconds."""

    round_trips: int = 0
    """Batches whose results have arrived."""
    round_trip_time: float = 0.0
    """How long these took, without what they waited for before."""
    queued: int = 0
    """Batches that waited and were sent."""
    queue_time: float = 0.0
    """How long these waited."""
    rejected: int = 0
    """Batches that found the queue full, or too many of their writer's waiting."""
    expired: int = 0
    """Batches that waited for too long."""
