"""What an operator sees of the service: logs, metrics, traces."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handlers.observability.tracing import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

logger = logging.getLogger("todo.traces")


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's variables ask for traces: they name where to send them."""
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return exporter == "otlp" and not disabled and any(map(environment.get, ENDPOINTS))


def create_tracing(
    environment: Mapping[str, str], version: str, routes: Mapping[str, str]
) -> "Tracing | None":
    """Return what sends traces; None if it is not configured or not installed.

    Nothing of OpenTelemetry is imported before. For the arguments see Tracing.
    """
    if not wants_traces(environment):
        return None
    try:
        from handlers.observability.tracing import Tracing  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        logger.warning("no traces are sent: todo-api[otel] is not installed")
        return None
    return Tracing(version, routes)
