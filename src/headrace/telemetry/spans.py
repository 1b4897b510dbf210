"""OpenTelemetry spans of one command, sent to the OTLP endpoint that the environment names.

The variables are those of OpenTelemetry: ``OTEL_EXPORTER_OTLP_ENDPOINT`` or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``, ``…_HEADERS``, ``OTEL_SERVICE_NAME``,
``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_SDK_DISABLED``. Without an endpoint nothing is imported.
"""

import importlib.util
import logging
import os
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace import __version__
from headrace.extras import how_to_install
from headrace.secrets import hide

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

Value = str | int | float | bool | None
PATIENCE_S = 3.0  # that the end of a command waits for an endpoint that does not answer
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def endpoint() -> str | None:
    """Where spans go; None if they are not asked for."""
    is_off = (
        os.environ.get("OTEL_SDK_DISABLED", "").casefold() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "").casefold() == "none"
    )
    found = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    return None if is_off else found


class Trace:
    """The spans of one command: a root, and below it what begins and ends; safe for threads.

    Each span has a key, by which it is ended and by which its children name it. Nothing here
    raises, or waits for the network, but for the end, which waits three seconds at most.
    """

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, Value] | None = None,
        *,
        started_at: datetime | None = None,
    ) -> None:
        """Begin the root.

        Args:
            name: of the root, such as ``headrace run``.
            attributes: of the root.
            started_at: when it began; by default now.
        """
        self._lock = threading.Lock()
        self._open: dict[str, Span] = {}
        self._failures = _Failures()
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._refusal: str | None = None
        where = endpoint()
        if where is None:
            return
        self._refusal = _why_not()
        if self._refusal is not None:
            return
        self._endpoint = where
        self._start()
        self._begin_root(name, attributes or {}, started_at)

    @property
    def trace_id(self) -> str | None:
        """The id of the trace in hex; None if nothing is sent."""
        root = self._open.get("")
        return None if root is None else f"{root.get_span_context().trace_id:032x}"

    def begin(
        self,
        key: str,
        name: str,
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: str = "",
        at: datetime | None = None,
    ) -> None:
        """Begin a span, unless one of that key is open.

        Args:
            key: of the span.
            name: of the span.
            attributes: those without a value are left out.
            parent: the key of its parent; of one that is not open, the root.
            at: when; by default now.
        """
        if self._tracer is None:
            return
        with self._lock:
            if key in self._open:
                self._open[key].set_attributes(_known(attributes or {}))
                return
            self._open[key] = self._span(name, attributes or {}, parent, at)

    def end(
        self,
        key: str,
        attributes: Mapping[str, Value] | None = None,
        *,
        error: str | None = None,
        at: datetime | None = None,
    ) -> bool:
        """End a span; with an error, it failed.

        Returns:
            Whether one of that key was open.
        """
        with self._lock:
            span = self._open.pop(key, None)
            if span is not None:
                _end(span, attributes or {}, error, at)
        return span is not None

    def record(
        self,
        name: str,
        began: datetime,
        ended: datetime,
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: str = "",
        error: str | None = None,
    ) -> None:
        """Add a span that is over."""
        if self._tracer is None:
            return
        with self._lock:
            _end(self._span(name, attributes or {}, parent, began), {}, error, ended)

    def close(
        self, attributes: Mapping[str, Value] | None = None, *, error: str | None = None
    ) -> str | None:
        """End all that is open, the root last, and send it.

        Returns:
            A warning for the user where spans could not be sent; else None.
        """
        if self._provider is None:
            return self._refusal
        for key in [key for key in list(self._open) if key]:
            self.end(key, error=error and "not finished")
        self.end("", attributes, error=error)
        provider, self._provider, self._tracer = self._provider, None, None
        self._failures.is_last_try = True
        sending = threading.Thread(target=self._send, args=(provider,), daemon=True)
        sending.start()
        self._failures.over.wait(PATIENCE_S)
        if not self._failures.over.is_set():
            self._failures.first = f"no answer within {PATIENCE_S:g} seconds"
        self._failures.close()
        if self._failures.first is None:
            return None
        return f"spans were not sent to {self._endpoint}: {hide(self._failures.first)}"

    def _send(self, provider: "TracerProvider") -> None:
        provider.shutdown()
        self._failures.over.set()

    def _start(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._failures.open()
        # what is given here would win over the environment
        named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        named = named or bool(os.environ.get("OTEL_SERVICE_NAME"))
        resource = Resource.create({} if named else {"service.name": "headrace"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("headrace", __version__)

    def _begin_root(
        self, name: str, attributes: Mapping[str, Value], started_at: datetime | None
    ) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        assert self._tracer is not None
        names = {"traceparent": "TRACEPARENT", "tracestate": "TRACESTATE"}
        carrier = {key: os.environ[name] for key, name in names.items() if name in os.environ}
        self._open[""] = self._tracer.start_span(
            name,
            context=TraceContextTextMapPropagator().extract(carrier),
            attributes=_known(attributes),
            start_time=_ns(started_at),
        )

    def _span(
        self, name: str, attributes: Mapping[str, Value], parent: str, at: datetime | None
    ) -> "Span":
        from opentelemetry.trace import set_span_in_context

        assert self._tracer is not None
        above = self._open.get(parent) or self._open.get("")
        context = set_span_in_context(above) if above is not None else None
        return self._tracer.start_span(
            name, context=context, attributes=_known(attributes), start_time=_ns(at)
        )


def _why_not() -> str | None:
    """Why spans cannot be sent although they are asked for; None if they can."""
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "")
    if protocol not in {"", "http/protobuf"}:
        return (
            f"spans were not sent: OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and Headrace sends "
            "http/protobuf (port 4318 of most collectors)"
        )
    if importlib.util.find_spec("opentelemetry") is None or any(
        importlib.util.find_spec(f"opentelemetry.{name}") is None for name in ("sdk", "exporter")
    ):
        how = how_to_install("otel")
        return f"spans were not sent: they need the extra otel (`{how}`)"
    return None


def _end(
    span: "Span", attributes: Mapping[str, Value], error: str | None, at: datetime | None
) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attributes(_known(attributes))
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, hide(error)))
    span.end(_ns(at))


def _known(attributes: Mapping[str, Value]) -> dict[str, Any]:
    found = {key: value for key, value in attributes.items() if value is not None and value != ""}
    return {k: hide(value) if isinstance(value, str) else value for k, value in found.items()}


def _ns(at: datetime | None) -> int | None:
    """Nanoseconds since 1970, as OpenTelemetry counts; None is now."""
    return None if at is None else int(at.timestamp() * 1e6) * 1000


class _Failures(logging.Handler):
    """Takes what the exporter logs, which would go to stderr: its first failure is told once.

    Attributes:
        first: it; None where all is well.
        is_last_try: whether the command waits: it does not wait for the exporter to try again.
        over: is set when there is nothing more to wait for.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: str | None = None
        self.is_last_try = False
        self.over = threading.Event()
        self._logger = logging.getLogger("opentelemetry")
        self._propagates = self._logger.propagate

    def open(self) -> None:
        """Begin to listen."""
        self._logger.addHandler(self)
        self._logger.propagate = False

    def close(self) -> None:
        """Stop to listen; a thread that still tries says nothing more."""
        if self.over.is_set() and self.first is None:
            self._logger.removeHandler(self)
            self._logger.propagate = self._propagates
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Note a failure; what is a warning only is tried again by the exporter."""
        if record.levelno >= logging.ERROR or self.is_last_try:
            self.first = self.first or record.getMessage()
            self.over.set()
