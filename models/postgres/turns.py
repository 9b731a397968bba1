"""Turns: of each user's writes, one is sent at a time.

A write locks its user's row until it is committed. A second one would only wait for it in
PostgreSQL, on a connection that other users need.
"""

from math import inf

from models.postgres.connection import Batch


class Turns:
    """The writes that wait until their user's earlier ones have ended."""

    def __init__(self) -> None:
        """Begin without any."""
        self.waiting = 0
        """How many batches wait."""
        self._waiting: dict[str, list[Batch]] = {}  # by the writers that have a turn

    def take(self, batch: Batch) -> bool:
        """Return whether the batch may be sent now: its writer has no other turn."""
        batch.has_turn = batch.writer not in self._waiting
        if batch.has_turn:
            self._waiting[batch.writer] = []
        return batch.has_turn

    def wait(self, batch: Batch) -> None:
        """Let a batch wait until `end` returns it; it could not take a turn just now."""
        self._waiting[batch.writer].append(batch)
        self.waiting += 1

    def count_waiting(self, writer: str) -> int:
        """Return how many of a writer's batches wait."""
        return len(self._waiting.get(writer, ()))

    def end(self, batch: Batch) -> Batch | None:
        """End a batch's turn, or its waiting; return the batch that has the turn now."""
        waiting = self._waiting.get(batch.writer, [])
        if not batch.has_turn:
            if batch in waiting:
                waiting.remove(batch)
                self.waiting -= 1
            return None
        while waiting:
            self.waiting -= 1
            following = waiting.pop(0)
            if not following.future.done():  # its request may have been cancelled just now
                following.has_turn = True
                return following
        del self._waiting[batch.writer]
        return None

    def pop_queued_until(self, time: float) -> list[Batch]:
        """Return the batches queued up to a time; these wait no more."""
        popped = []
        for waiting in self._waiting.values():
            while waiting and waiting[0].queued_at <= time:
                popped.append(waiting.pop(0))
        self.waiting -= len(popped)
        return popped

    def earliest(self) -> float:
        """Return when the batch was queued that waits for longest; infinity without any."""
        return min((w[0].queued_at for w in self._waiting.values() if w), default=inf)
