"""What limiters, breakers and policies do, as OpenTelemetry metrics, span events and log records.

Only the API is needed; without an SDK, or before one is set up, nothing is measured and nothing breaks.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._errors import ConfigurationError
from sluicegate._events import BreakerEvent, CircuitState
from sluicegate._pipeline import Pipeline
from sluicegate.integrations._readings import COUNTERS, LEVELS, totals
from sluicegate.policies import Policy, PolicyEvent

__all__ = ["Instrumentation", "instrument"]

POLICY = "sluicegate.policy"
KIND = "sluicegate.kind"

_log = logging.getLogger("sluicegate.telemetry")


def instrument(*watched: Any, meter_provider: MeterProvider | None = None) -> "Instrumentation":
    """Watch limiters, breakers, registries, policies and pipelines, these with all that is in them.

    The counts of limiters, breakers and retries are read from the core when the exporter asks, so their calls
    cost what they cost before. A pipeline makes one event a call for its histograms of duration and attempts;
    a retry only where it waits. Retries, trips and refusals become events of the span that is current, and
    changes of a breaker's state records of the logger "sluicegate.telemetry": a warning where it opens or
    is isolated, else information.

    Every figure has the attribute `sluicegate.policy`, which is the policy's name, and most have
    `sluicegate.kind`; never a key of a limiter or registry. Equal names are added up, so give names. Call it
    once, with everything; `add` takes what is made later.

    Args:
        watched: What to watch; it is kept alive until `close`.
        meter_provider: Where the instruments are made; None for the global one.

    Raises:
        ConfigurationError: Something is none of these.

    Example:
        >>> from sluicegate import CircuitBreaker, RateLimiter
        >>> telemetry = instrument(RateLimiter("10/s", name="api"), CircuitBreaker(name="api"))
        >>> telemetry.close()
    """
    return Instrumentation(get_meter("sluicegate", meter_provider=meter_provider), watched)


class Instrumentation:
    """What `instrument` returns: takes more to watch, and ends the watching."""

    def __init__(self, meter: Meter, watched: Iterable[Any]) -> None:
        self._sources: list[Any] = []
        self._undo: list[Callable[[], None]] = []
        self._duration = meter.create_histogram(
            "sluicegate.pipeline.duration", "s", "Time that calls through a pipeline took, waits included"
        )
        self._attempts = meter.create_histogram(
            "sluicegate.pipeline.attempts", "{attempt}", "Attempts that calls through a pipeline took"
        )
        self._wait = meter.create_histogram("sluicegate.retry.wait", "s", "Waits before another attempt")
        self._events = meter.create_counter("sluicegate.policy.events", "{event}", "What policies did")
        self._changes = meter.create_counter(
            "sluicegate.breaker.changes", "{change}", "Changes of state, by where they lead"
        )
        self.add(*watched)
        for name, (unit, about) in COUNTERS.items():
            meter.create_observable_counter(name, [self._reader(name)], unit, about)
        for name, (unit, about) in LEVELS.items():
            meter.create_observable_up_down_counter(name, [self._reader(name)], unit, about)

    def add(self, *watched: Any) -> None:
        """Watch these as well; what is watched already is not watched twice.

        Raises:
            ConfigurationError: Something is no limiter, breaker, registry, policy or pipeline.
        """
        for thing in watched:
            if any(thing is known for known in self._sources):
                continue
            if isinstance(thing, Policy | Pipeline):
                self._undo.append(thing.subscribe(self._heard))
            elif isinstance(thing, CircuitBreaker | CircuitBreakerRegistry):
                self._listen(thing)
            elif not callable(getattr(thing, "stats", None)):
                raise ConfigurationError(
                    f"a limiter, breaker, registry, policy or pipeline can be watched, not {thing!r}",
                    field="watched",
                    value=thing,
                )
            self._sources.append(thing)
            if isinstance(thing, Pipeline):
                # A guard `limiter.limit(…)` stands for its limiter.
                self.add(*(getattr(policy, "_limiter", policy) for policy in thing.policies))

    def close(self) -> None:
        """Watch nothing any more; doing it again does nothing."""
        self._sources.clear()
        while self._undo:
            self._undo.pop()()

    def _reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for (policy, kind), value in totals(tuple(self._sources), name).items():
                yield Observation(value, _attributes(policy, kind))

        return observe

    def _listen(self, thing: CircuitBreaker | CircuitBreakerRegistry) -> None:
        """Hear of the changes of a breaker, or of all breakers of a registry, after its own listener."""
        name = thing.name

        def heard(event: BreakerEvent) -> None:
            self._changed(name, event)

        self._undo.append(thing._subscribe(heard))

    def _heard(self, event: PolicyEvent) -> None:
        attributes = _attributes(event.policy.name)
        if event.duration is not None and event.attempts is not None:  # of a call that is over
            self._duration.record(event.duration, attributes)
            self._attempts.record(event.attempts, attributes)
            return
        if event.delay is not None:
            self._wait.record(event.delay, attributes)
        self._events.add(1, _attributes(event.policy.name, event.kind))
        span = trace.get_current_span()
        if span.is_recording():
            said: dict[str, str | int | float] = dict(attributes)
            if event.attempt is not None:
                said["sluicegate.attempt"] = event.attempt
            if event.delay is not None:
                said["sluicegate.delay"] = event.delay
            if event.error is not None:
                said["error.type"] = type(event.error).__qualname__
            span.add_event(f"sluicegate.{event.kind}", said)

    def _changed(self, name: str, event: BreakerEvent) -> None:
        attributes = _attributes(name, event.kind)
        self._changes.add(1, attributes)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(f"sluicegate.breaker.{event.kind}", attributes)
        closed_to_calls = event.to_state in (CircuitState.OPEN, CircuitState.ISOLATED)
        level = logging.WARNING if closed_to_calls else logging.INFO
        _log.log(level, "circuit breaker %r: %s, was %s", name, event.to_state.value, event.from_state.value)


def _attributes(policy: str, kind: str = "") -> dict[str, str]:
    return {POLICY: policy, KIND: kind} if kind else {POLICY: policy}
