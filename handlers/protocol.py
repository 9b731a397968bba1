"""What is no HTTP at all, refused with a problem document like everything else."""

import secrets

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from handlers.problems import MEDIA_TYPE, document

FAULT = {
    "parameter": "request",
    "detail": "cannot be read as HTTP: in an address, percent-encode what is not ASCII",
}


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol; its own refusal, which no application sees, is plain text."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and hang up: nobody knows where it ends."""
        request_id = secrets.token_hex(16)
        self.logger.warning("request %s: %s", request_id, msg)
        detail = f"{FAULT['parameter']}: {FAULT['detail']}."
        body = document({"raw_path": b"/"}, 400, detail=detail, errors=[FAULT])
        head = (
            "HTTP/1.1 400 Bad Request",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "x-content-type-options: nosniff",
            "connection: close",
            "\r\n",
        )
        self.transport.write("\r\n".join(head).encode() + body)
        self.transport.close()
