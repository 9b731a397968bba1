"""The problem types (RFC 9457) of this service, one for each status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One problem type; its `type` is the path of the page that explains it.

    `detail` is the default for a problem that has none of its own. The page has the sections
    `happened`, `why` and `advice`, where backticks mark code.
    """

    status: int
    slug: str
    title: str
    detail: str
    happened: str
    why: str
    advice: str

    @property
    def type(self) -> str:
        """The path of the page that explains this type."""
        return f"/problems/{self.slug}"

    @property
    def example(self) -> dict[str, str | int]:
        """A problem of this type, as a client may receive it."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": "/api/tasks",
        }

    def as_json(self) -> dict[str, str | int]:
        """Return what the page says, for programs."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "happened": self.happened,
            "why": self.why,
            "advice": self.advice,
        }


PROBLEM_TYPES = {
    problem_type.status: problem_type
    for problem_type in (
        ProblemType(
            status=400,
            slug="bad-request",
            title="Bad request",
            detail="The request breaks the contract.",
            happened="The request breaks the contract, and nothing has been changed.",
            why="A field of the body, a parameter or a header is missing, unknown or "
            "not what the contract says; or the body is no JSON at all.",
            advice="Look at `errors`: each entry names a field of the body or a "
            "parameter, and what is wrong with it. Correct them and try again.",
        ),
        ProblemType(
            status=401,
            slug="unauthorized",
            title="Unauthorized",
            detail="The token is missing.",
            happened="The service does not know who is asking, and has looked at "
            "nothing else of the request.",
            why="The token is missing, malformed, expired or invalid; `detail` and the "
            "header `WWW-Authenticate` say which of these.",
            advice="Send `Authorization: Bearer` and a token that has not expired. "
            "The frontend gets a fresh one from Better Auth.",
        ),
        ProblemType(
            status=403,
            slug="forbidden",
            title="Forbidden",
            detail="This belongs to another user.",
            happened="The token is good, but what was asked for belongs to somebody else.",
            why="The id is that of another user's task, or the user id in the path is "
            "not the `sub` of the token.",
            advice="Ask for your own tasks only. In `/api/{user_id}/tasks` the "
            "user id must be the `sub` of your token.",
        ),
        ProblemType(
            status=404,
            slug="not-found",
            title="Not found",
            detail="There is nothing at this path.",
            happened="There is nothing at this path.",
            why="The task has been deleted or never existed, or the path is mistyped.",
            advice="List your tasks to see those that exist, and compare the path with "
            "the contract.",
        ),
        ProblemType(
            status=405,
            slug="method-not-allowed",
            title="Method not allowed",
            detail="This path does not know this method.",
            happened="The path exists, but not with this method.",
            why="The method is one that the contract does not describe for this path, "
            "such as `DELETE` on the list of all tasks.",
            advice="The `Allow` header lists the methods that the path knows.",
        ),
        ProblemType(
            status=412,
            slug="precondition-failed",
            title="Precondition failed",
            detail="The task has changed since you read it. "
            "Read it again, then repeat the change.",
            happened="The task is no longer as your `If-Match` says, and your change has "
            "not happened.",
            why="Somebody, or another device of yours, was faster.",
            advice="Read the task again, apply your change to what it is now, and send "
            "the new `ETag`.",
        ),
        ProblemType(
            status=413,
            slug="content-too-large",
            title="Content too large",
            detail="The body must be at most 65,536 bytes.",
            happened="The body is larger than 65,536 bytes, and has not been read.",
            why="No task is that large: a title has up to 200 characters, a description "
            "up to 1,000.",
            advice="Send less.",
        ),
        ProblemType(
            status=415,
            slug="unsupported-media-type",
            title="Unsupported media type",
            detail="The body must be application/json in UTF-8.",
            happened="The body is in a form that the service does not read.",
            why="Its `Content-Type` is missing or another one, such as that of an HTML "
            "form; or the body is compressed, or not in UTF-8.",
            advice="Send `Content-Type: application/json` and an uncompressed JSON body "
            "in UTF-8.",
        ),
        ProblemType(
            status=500,
            slug="internal-server-error",
            title="Internal server error",
            detail="Something went wrong on our side. "
            "Quote the X-Request-Id when you report it.",
            happened="Something went wrong on our side.",
            why="This is a fault of the service, not of your request. It has been logged "
            "under the `X-Request-Id` of the answer.",
            advice="A retry may help; if it does not, report the `X-Request-Id`.",
        ),
        ProblemType(
            status=503,
            slug="service-unavailable",
            title="Service unavailable",
            detail="The database cannot be reached right now. Try again in a moment.",
            happened="The service is there, but cannot serve right now.",
            why="The database is away, or more requests are waiting for it than can be "
            "served in time.",
            advice="Wait as long as `Retry-After` says, then try again. A change may "
            "have happened or not: look before you repeat it.",
        ),
    )
}
