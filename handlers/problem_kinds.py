"""The kinds of problem (RFC 9457) that this service knows, one for each status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its type is the page `/problems/{slug}`."""

    status: int
    slug: str
    title: str
    detail: str
    advice: str

    @property
    def type(self) -> str:
        """The problem's `type`: the path of the page that explains it."""
        return f"/problems/{self.slug}"


KINDS = {
    kind.status: kind
    for kind in (
        Kind(
            400,
            "bad-request",
            "Bad request",
            "The request breaks the contract.",
            "Look at `errors`: each entry names a field of the body or a "
            "parameter, and what is wrong with it. Correct them and try again.",
        ),
        Kind(
            401,
            "unauthorized",
            "Unauthorized",
            "The token is missing.",
            "Send `Authorization: Bearer` and a token that has not expired. "
            "The frontend gets a fresh one from Better Auth.",
        ),
        Kind(
            403,
            "forbidden",
            "Forbidden",
            "This belongs to another user.",
            "Ask for your own tasks only. In `/api/{user_id}/tasks` the "
            "user id must be the `sub` of your token.",
        ),
        Kind(
            404,
            "not-found",
            "Not found",
            "There is nothing at this path.",
            "The task has been deleted or never existed, or the path is "
            "mistyped. List your tasks to see those that exist.",
        ),
        Kind(
            405,
            "method-not-allowed",
            "Method not allowed",
            "This path does not know this method.",
            "The `Allow` header lists the methods that the path knows.",
        ),
        Kind(
            412,
            "precondition-failed",
            "Precondition failed",
            "The task has changed since you read it. Read it again, then repeat the change.",
            "Somebody, or another device of yours, was faster. Read the task "
            "again, apply your change to what it is now, and send the new `ETag`.",
        ),
        Kind(
            413,
            "content-too-large",
            "Content too large",
            "The body must be at most 65,536 bytes.",
            "No task is that large. Send less.",
        ),
        Kind(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            "The body must be application/json in UTF-8.",
            "Send `Content-Type: application/json` and an uncompressed JSON body in UTF-8.",
        ),
        Kind(
            500,
            "internal-server-error",
            "Internal server error",
            "Something went wrong on our side. Quote the X-Request-Id when you report it.",
            "This is a fault of the service and has been logged. A retry may "
            "help; if it does not, report the `X-Request-Id`.",
        ),
        Kind(
            503,
            "service-unavailable",
            "Service unavailable",
            "The database cannot be reached right now. Try again in a moment.",
            "Wait as long as `Retry-After` says, then try again. A change may "
            "have happened or not: look before you repeat it.",
        ),
    )
}
