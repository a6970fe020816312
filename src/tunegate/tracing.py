"""OpenTelemetry traces, where the operator named a collector in the standard OTEL_* variables; nothing otherwise.

One trace leads from the client's request through the launch into the trainer. Its context travels in the container's
environment as TRACEPARENT, so every launcher passes it on and it is stored with the job. Spans hold names and numbers
of ours alone: no address, no text of a client, no secret.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from tunegate import __version__

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CARRIED = (*_ENDPOINTS, "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")
"""What trainers are told. Headers of the exporter may hold a credential: trainers get those from their own machine."""
_CONTEXT = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"}
Fact = str | int | float | bool


class Tracing:
    """Makes spans and sends them in the background. Raises RuntimeError where the `otel` extra is not installed."""

    def __init__(self, service: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as missing:
            raise RuntimeError("OTEL_* asks for traces: pip install 'tunegate[otel]'") from missing
        name = os.environ.get("OTEL_SERVICE_NAME", service)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name, "service.version": __version__})
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tunegate", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: Mapping[str, str] | None = None,
        facts: Mapping[str, Fact] | None = None,
        server: bool = False,
    ) -> Generator[Any]:
        """A span around the block, below the one in `parent` (TRACEPARENT or traceparent) or else the current one.

        An error that passes marks it with the error's kind alone: its words may hold a value.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        with self._tracer.start_as_current_span(
            name,
            context=self._context(parent),
            kind=SpanKind.SERVER if server else SpanKind.INTERNAL,
            attributes=dict(facts or {}),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def environment(self) -> dict[str, str]:
        """What a container needs to go on with the current trace."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        context = {name: carrier[key] for name, key in _CONTEXT.items() if key in carrier}
        return context | {name: os.environ[name] for name in _CARRIED if name in os.environ}

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()

    def _context(self, parent: Mapping[str, str] | None) -> Any:
        if parent is None:
            return None
        carrier = {key: parent[name] for name, key in _CONTEXT.items() if name in parent}
        carrier |= {key: parent[key] for key in _CONTEXT.values() if key in parent}
        return self._propagator.extract(carrier) if carrier else None


def tracing_here(service: str, environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """As the OTEL_* variables want it; None = off. Nothing of OpenTelemetry is imported then."""
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    off = off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if off or not any(environment.get(name) for name in _ENDPOINTS):
        return None
    return Tracing(service)
