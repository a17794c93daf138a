"""Traces and metrics by OpenTelemetry, off by default: nothing of it is imported until it is asked for.

A span a word, with its stages below, and below them the attempts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ._vocabulary import VocabularyItem
from ._wire import Usage

SCOPE = "flashcard_pipeline"
"""The name of tracer and meter."""

SERVICE = "flashcard-pipeline"
"""The resource, where the SDK is set up here."""

_EXPORTER = "opentelemetry.exporter.otlp.proto.http"
_NOTHING = contextlib.nullcontext()


class Gauges(Protocol):
    """What is read when somebody looks, by its name."""

    def __call__(self) -> Iterable[tuple[str, float]]:
        """Return names and numbers."""
        ...


class Telemetry:
    """What a run tells; this one tells nothing, and costs a call that returns at once."""

    def word(self, item: VocabularyItem) -> AbstractContextManager[None]:
        """Surround a word."""
        return _NOTHING

    def span(self, name: str) -> AbstractContextManager[None]:
        """Surround a stage of a word, or an attempt of a stage."""
        return _NOTHING

    def created(self, cards: int) -> None:
        """Count cards that were made."""

    def spent(self, usage: Usage, cost: float | None) -> None:
        """Count tokens, and what they cost where that is known."""

    def observe(self, read: Gauges) -> None:
        """Tell numbers that only grow, such as those of limiter and breaker, whenever they are asked for."""

    def watch(self, read: Gauges) -> None:
        """Tell numbers that rise and fall whenever they are asked for."""

    def close(self) -> None:
        """Send what was not sent yet."""


SILENT = Telemetry()
"""The one that tells nothing."""


class OpenTelemetry(Telemetry):
    """Tells by OpenTelemetry's API, and so to whatever SDK the process has set up.

    Args:
        tracer_provider: None for the process's own.
        meter_provider: None for the process's own.
    """

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        from opentelemetry import metrics, trace  # noqa: PLC0415 - optional

        self._own = [provider for provider in (tracer_provider, meter_provider) if provider is not None]
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._created = self._meter.create_counter("flashcards.created", "1", "Cards made")
        self._duration = self._meter.create_histogram(
            "flashcard.processing.duration", "ms", "From the beginning of a word to its end"
        )
        self._tokens = self._meter.create_counter("flashcards.tokens", "{token}", "Tokens used")
        self._cost = self._meter.create_counter("flashcards.cost", "1", "Cost, in the currency of the prices")

    @contextlib.contextmanager
    def word(self, item: VocabularyItem) -> Iterator[None]:
        """Surround a word by a span, and take down how long it took, waits included."""
        started = time.perf_counter()
        attributes: dict[str, int | str] = {"flashcard.position": item.position, "flashcard.type": item.type}
        try:
            # Its exceptions are not recorded: a far side's message may repeat what it was sent.
            with self._tracer.start_as_current_span(
                "word", attributes=attributes, record_exception=False, set_status_on_exception=False
            ):
                yield
        finally:
            self._duration.record((time.perf_counter() - started) * 1_000)

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Surround a stage or an attempt by a span below the current one."""
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    def created(self, cards: int) -> None:
        """Count cards that were made."""
        self._created.add(cards)

    def spent(self, usage: Usage, cost: float | None) -> None:
        """Count tokens by their kind, and what they cost where that is known."""
        self._tokens.add(usage.prompt_tokens, {"kind": "prompt"})
        self._tokens.add(usage.completion_tokens, {"kind": "completion"})
        if cost is not None:
            self._cost.add(cost)

    def observe(self, read: Gauges) -> None:
        """Make an observable counter of each number."""
        for name, _ in read():
            self._meter.create_observable_counter(name, callbacks=[_reader(read, name)])

    def watch(self, read: Gauges) -> None:
        """Make an observable gauge of each number."""
        for name, _ in read():
            self._meter.create_observable_gauge(name, callbacks=[_reader(read, name)])

    def close(self) -> None:
        """Send what was not sent yet, and shut down the providers that are not the process's own."""
        for provider in self._own:
            provider.shutdown()


def _reader(read: Gauges, name: str) -> Callable[[Any], Iterable[Any]]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415 - optional

    return lambda _options: [Observation(dict(read())[name])]


def start(wanted: bool, say: Callable[[str], None]) -> Telemetry:
    """Return what a run tells by; where the library is missing the run goes on without, and says so.

    With the SDK installed and nothing set up, traces and metrics go where `OTEL_EXPORTER_OTLP_ENDPOINT` says,
    if the OTLP exporter is there as well.
    """
    if not wanted:
        return SILENT
    if not _installed("opentelemetry.trace"):
        say('no telemetry: OpenTelemetry is not installed; pip install "sluicegate[opentelemetry]"')
        return SILENT
    from opentelemetry import trace  # noqa: PLC0415 - optional

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return OpenTelemetry()  # the process has set it up
    if not _installed(_EXPORTER):
        say('no telemetry: the OTLP exporter is not installed; pip install "sluicegate[opentelemetry]"')
        return SILENT
    return OpenTelemetry(*exporting_providers())


def exporting_providers() -> tuple[Any, Any]:
    """Return providers of traces and metrics under the resource `SERVICE`, exporting by OTLP over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": SERVICE})
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return traces, MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False
