"""The phases of a connection."""

from enum import Enum, auto


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()
    """The next request."""
    HEAD = auto()
    """The rest of a request's head."""
    BODY = auto()
    """The rest of a request's body."""
    HANDLING = auto()
    """The response of the application."""
    LINGERING = auto()
    """The client to close the connection."""


# Looking a member up in its class takes longer than everything else about it.
IDLE, HEAD, BODY, HANDLING, LINGERING = Phase
