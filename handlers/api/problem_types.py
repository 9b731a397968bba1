"""The problem types (RFC 9457) of this service."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One problem type; its `type` is the path of the page that explains it, without a prefix.

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
            "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        }

    def as_json(self, root_path: str) -> dict[str, str | int]:
        """Return what the page says, for programs; `type` begins with the path prefix."""
        return {
            "type": f"{root_path}{self.type}",
            "title": self.title,
            "status": self.status,
            "happened": self.happened,
            "why": self.why,
            "advice": self.advice,
        }


PROBLEM_TYPES = {
    problem_type.slug: problem_type
    for problem_type in (
        ProblemType(
            status=400,
            slug="bad-request",
            title="Bad request",
            detail="The request does not match the contract.",
            happened="The request does not match the contract. Nothing was changed.",
            why="A body field, a parameter or a header is missing, unknown or invalid, "
            "or the body is not valid JSON.",
            advice="See `errors`: each entry names a body field or a parameter and says "
            "what is wrong with it. Fix them all and send the request again.",
        ),
        ProblemType(
            status=401,
            slug="unauthorized",
            title="Unauthorized",
            detail="The token is missing.",
            happened="The request could not be authenticated. Nothing else about it was "
            "checked.",
            why="The token is missing, malformed, expired or invalid; `detail` and the "
            "`WWW-Authenticate` header say which.",
            advice="Send `Authorization: Bearer` followed by a token that has not expired. "
            "Frontends get a new one from Better Auth.",
        ),
        ProblemType(
            status=403,
            slug="forbidden",
            title="Forbidden",
            detail="This belongs to another user.",
            happened="The token is valid, but the resource belongs to another user.",
            why="The id is that of another user's task, or the user id in the path is "
            "not that of the token.",
            advice="Request only your own tasks. In `/api/{user_id}/tasks`, the user id "
            "must be that of your token.",
        ),
        ProblemType(
            status=403,
            slug="user-blocked",
            title="User blocked",
            detail="Your access to this service is blocked.",
            happened="The token is valid, but its user is blocked. Nothing was changed.",
            why="The operator of the service has blocked the user. Every token of this user "
            "is refused; their tasks are kept.",
            advice="Ask the operator. Neither a new token nor a retry helps until the user "
            "is unblocked.",
        ),
        ProblemType(
            status=404,
            slug="not-found",
            title="Not found",
            detail="There is nothing at this path.",
            happened="There is nothing at this path.",
            why="The task was deleted or never existed, or the path is misspelled.",
            advice="List your tasks to see which ones exist, and compare the path with "
            "the contract.",
        ),
        ProblemType(
            status=405,
            slug="method-not-allowed",
            title="Method not allowed",
            detail="This path does not support this method.",
            happened="The path exists, but does not support this method.",
            why="The contract does not describe this method for this path, such as "
            "`PUT` on the list of tasks.",
            advice="Use one of the methods in the `Allow` header.",
        ),
        ProblemType(
            status=408,
            slug="request-timeout",
            title="Request timeout",
            detail="The request took too long to arrive.",
            happened="The request was not received in time, and the connection was closed. "
            "Nothing was changed.",
            why="The client, or the network, was too slow in sending the headers or the body.",
            advice="Send the whole request at once, on a new connection.",
        ),
        ProblemType(
            status=410,
            slug="changes-expired",
            title="Changes expired",
            detail="The deletions since this token are no longer known. Start again without "
            "since.",
            happened="The changes since the token `since` can no longer be listed.",
            why="Deletions are remembered for a limited time, 90 days by default, and the "
            "token is older; or the tasks were erased, or restored from a backup.",
            advice="List the changes without `since`, store the tasks of all pages, and "
            "discard "
            "the tasks that did not come back.",
        ),
        ProblemType(
            status=412,
            slug="precondition-failed",
            title="Precondition failed",
            detail="The task has changed since you read it. "
            "Read it again, then repeat the change.",
            happened="The task no longer matches your `If-Match`, so your change was not "
            "applied.",
            why="Another client changed the task after you read it.",
            advice="Read the task again, reapply your change to its current state, and "
            "send the new `ETag` in `If-Match`.",
        ),
        ProblemType(
            status=413,
            slug="content-too-large",
            title="Content too large",
            detail="The body must be at most 65,536 bytes.",
            happened="The body is larger than 65,536 bytes and was rejected.",
            why="No valid task is that large: a title has at most 200 characters, a "
            "description at most 1,000.",
            advice="Send a smaller body.",
        ),
        ProblemType(
            status=414,
            slug="uri-too-long",
            title="URI too long",
            detail="The request target is too long.",
            happened="The path and query of the request are longer than the service accepts.",
            why="The request target takes up more than half of what is allowed for the request "
            "line and all headers together (65,536 bytes, unless the operator has set another "
            "limit), or has more than 65,535 bytes.",
            advice="Send fewer or shorter parameters.",
        ),
        ProblemType(
            status=415,
            slug="unsupported-media-type",
            title="Unsupported media type",
            detail="The body must be application/json in UTF-8.",
            happened="The body is in a format that the service does not accept.",
            why="Its `Content-Type` is missing or not `application/json`, as with an HTML "
            "form, or the body is compressed or not in UTF-8.",
            advice="Send `Content-Type: application/json` and an uncompressed JSON body "
            "in UTF-8.",
        ),
        ProblemType(
            status=422,
            slug="idempotency-key-reused",
            title="Idempotency key reused",
            detail="This Idempotency-Key was used for another task.",
            happened="The `Idempotency-Key` was used before, with other fields. Nothing was "
            "created.",
            why="Each new task needs a new key; the same key is only for retries of the same "
            "request.",
            advice="Generate a new key, such as a UUID, and send the request again.",
        ),
        ProblemType(
            status=429,
            slug="too-many-requests",
            title="Too many requests",
            detail="You have sent too many requests. Wait as long as Retry-After says.",
            happened="The request was not processed, because a limit is exceeded. Nothing was "
            "changed.",
            why="You have made more requests than the limits in `RateLimit-Policy` allow, on "
            "all devices together; or too many invalid tokens were sent from your address.",
            advice="Wait as long as `Retry-After` says, then send the request again. To stay "
            "within the limits, see `RateLimit`: `r` requests are left for `t` seconds.",
        ),
        ProblemType(
            status=431,
            slug="request-header-fields-too-large",
            title="Request header fields too large",
            detail="The headers are too large, or too many.",
            happened="The request was rejected for its headers, and the connection was closed.",
            why="All headers together have more than 65,536 bytes, or there are more than 100 "
            "of them, unless the operator has set other limits.",
            advice="Send fewer or shorter headers; in a browser, delete the site's cookies.",
        ),
        ProblemType(
            status=500,
            slug="internal-server-error",
            title="Internal server error",
            detail="Something went wrong on our side. "
            "Quote the X-Request-Id when you report it.",
            happened="The service failed to process the request.",
            why="This is an error in the service, not in your request. It was logged with "
            "the `X-Request-Id` of the response.",
            advice="Retry; if the error persists, report the `X-Request-Id`.",
        ),
        ProblemType(
            status=503,
            slug="service-unavailable",
            title="Service unavailable",
            detail="The database is not available right now. Try again in a moment.",
            happened="The service is running, but cannot process the request right now.",
            why="The database or the published keys are unavailable, or too many requests "
            "are queued for the database. Nothing was changed.",
            advice="Wait for the time given in `Retry-After`, then retry.",
        ),
        ProblemType(
            status=503,
            slug="outcome-unknown",
            title="Outcome unknown",
            detail="The connection to the database was lost. The change may have happened or "
            "not.",
            happened="The connection to the database was lost while the change was in "
            "progress.",
            why="The database was restarted or did not respond in time. Its answer never "
            "arrived, so the change may have been applied or not.",
            advice="Repeat the request if it is idempotent, as with an `Idempotency-Key`; "
            "otherwise read first. Wait as long as `Retry-After` says.",
        ),
    )
}
