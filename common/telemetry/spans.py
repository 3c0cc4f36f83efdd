"""Spans by OpenTelemetry; import it only where they are wanted.

Its own variables (``OTEL_*``) say where spans are sent, and how many of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)

from common.model import JobOrigin
from common.telemetry.logging import mask

_KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
_LAST_SECONDS = 2.0
_FORM = TraceContextTextMapPropagator()
Facts = Mapping[str, str | int | float | bool]


class Spans:
    """Makes the spans of a process, by one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("framemill")

    @classmethod
    def exported(cls, service: str) -> Self:
        """Return one that sends them in batches, by OTLP over HTTP."""
        ours = Resource.create({"service.name": service})
        # Where the operator's variables name the service, that name counts.
        resource = ours.merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def stop(self) -> None:
        """Send what was not sent yet, for two seconds at the most.

        OpenTelemetry would wait 30 s for a collector that is away, and the process
        that is about to end with it.
        """
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST_SECONDS)

    @contextmanager
    def root(
        self, name: str, kind: str, origin: JobOrigin, facts: Facts
    ) -> Iterator[JobOrigin]:
        """Make a span that continues the origin's trace; yield its own place there."""
        before = _FORM.extract(origin.model_dump(exclude_none=True), context=Context())
        with self._span(name, facts, _KINDS[kind], before) as made:
            place: dict[str, str] = {}
            _FORM.inject(place, context=set_span_in_context(made))
            yield origin.model_copy(update=place)

    @contextmanager
    def below(self, name: str) -> Iterator[None]:
        """Make a span below the current one; without one, do nothing."""
        if not get_current_span().get_span_context().is_valid:
            yield
            return
        with self._span(name, {}, SpanKind.INTERNAL):
            yield

    def note(self, facts: Facts, error: str | None = None) -> None:
        """Add facts to the current span, and that it failed."""
        current = get_current_span()
        current.set_attributes(dict(facts))
        if error is not None:
            current.set_status(Status(StatusCode.ERROR, mask(error)))

    @contextmanager
    def _span(
        self, name: str, facts: Facts, kind: SpanKind, before: Context | None = None
    ) -> Iterator[Span]:
        # OpenTelemetry would write errors as they are, with what no log may show.
        making: AbstractContextManager[Span] = self._tracer.start_as_current_span(
            name,
            context=before,
            kind=kind,
            attributes=dict(facts),
            record_exception=False,
            set_status_on_exception=False,
        )
        with making as made:
            try:
                yield made
            except BaseException as error:
                self.note({}, f"{type(error).__name__}: {error}")
                raise
