"""Traces, sent by OpenTelemetry over OTLP/HTTP; its own environment variables configure it.

Needs the extra `otel`. opentelemetry-instrumentation-asgi is not used: it names spans by
their paths, and records addresses and queries.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Scope

from handlers.middleware.request_context import current_request

FLUSH_TIMEOUT = 5.0  # seconds to send the last spans before the process ends


class RequestIdGenerator(RandomIdGenerator):
    """Gives a trace that begins here the id of its request, which is in the log, too."""

    def generate_trace_id(self) -> int:
        """Return the id of the request that the current task handles."""
        return int(current_request.get()["state"]["request_id"], 16)


class Tracing:
    """An observer that sends a span for each response, named by its operationId.

    Nothing happens in between that another span could describe, so a span is made when the
    response begins, when the operation and the status are known.
    """

    def __init__(self, version: str, routes: Mapping[str, str]) -> None:
        """Take the path template of each operation, and the version of the service."""
        defaults = {SERVICE_NAME: "todo-api", SERVICE_VERSION: version}
        self._provider = TracerProvider(
            resource=Resource.create(defaults).merge(OTELResourceDetector().detect()),
            id_generator=RequestIdGenerator(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("todo-api", version)
        self._routes = routes

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Record a response; see `Observer`. Its parent is the `traceparent` sent."""
        end = time.time_ns()
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        attributes = {
            "http.request.method": scope["method"],
            "http.response.status_code": status,
        }
        operation = scope["state"].get("operation_id")
        if operation is not None:
            attributes["http.route"] = self._routes[operation]
        span = self._tracer.start_span(
            operation or scope["method"],
            context=extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=end - int(seconds * 1e9),
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send the spans that are left when the context exits, for up to `FLUSH_TIMEOUT`."""
        try:
            yield
        finally:
            # A daemon, so that a collector that is down does not keep the process.
            flush = threading.Thread(target=self._provider.shutdown, daemon=True)
            flush.start()
            await asyncio.to_thread(flush.join, FLUSH_TIMEOUT)
