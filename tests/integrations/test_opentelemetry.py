"""Telemetry with the real SDK: what is read, what is recorded, and what never is."""

import asyncio
import logging

import pytest
import redis
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from sluicegate import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitBreakerRegistry,
    CompositeRateLimiter,
    ConfigurationError,
    Hedge,
    KeyedRateLimiter,
    Pipeline,
    RateLimiter,
    Retry,
)
from sluicegate.backends.redis import RedisRateLimiter
from sluicegate.integrations.opentelemetry import instrument
from sluicegate.testing import ManualClock


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    made = MeterProvider(metric_readers=[reader])
    yield made
    made.shutdown()


def figures(reader):
    """Return {(instrument, policy, kind): the value, or (count, sum) of a histogram}."""
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    whose = point.attributes
                    value = point.value if hasattr(point, "value") else (point.count, point.sum)
                    name = metric.name.removeprefix("sluicegate.")
                    found[name, whose["sluicegate.policy"], whose.get("sluicegate.kind", "")] = value
    return found


def fail():
    raise ConnectionError("no answer")


def test_the_counts_of_limiters_are_read_when_asked(clock, reader, provider):
    limiter = RateLimiter("1/s;burst=3", name="api", clock=clock)
    keyed = KeyedRateLimiter("1/s", name="users", clock=clock)
    both = CompositeRateLimiter(tokens=RateLimiter("9/s", clock=clock), name="llm")
    instrument(limiter, keyed, both, meter_provider=provider)
    for _ in range(3):
        limiter.try_acquire(2)
    keyed.try_acquire("alice")
    both.try_acquire(tokens=5)
    found = figures(reader)
    assert found["limiter.calls", "api", "allowed"] == 1
    assert found["limiter.calls", "api", "denied"] == 2
    assert found["limiter.permits", "api", "denied"] == 4
    assert found["limiter.permits", "api", "allowed"] == 2
    assert found["limiter.keys", "users", ""] == 1
    assert found["limiter.permits", "llm.tokens", "allowed"] == 5
    limiter.try_acquire()
    assert figures(reader)["limiter.calls", "api", "allowed"] == 2


def test_limiters_of_one_name_are_added_up(clock, reader, provider):
    limiters = [RateLimiter("1/s", name="api", clock=clock) for _ in range(2)]
    instrument(*limiters, limiters[0], meter_provider=provider)
    for limiter in limiters:
        limiter.try_acquire()
    assert figures(reader)["limiter.calls", "api", "allowed"] == 2


def test_a_trip_is_counted_logged_and_an_event_of_the_span(clock, reader, provider, caplog):
    own = []
    breaker = CircuitBreaker(name="search", consecutive_failures=1, clock=clock, listener=own.append)
    instrument(breaker, meter_provider=provider)
    with (
        caplog.at_level(logging.INFO, "sluicegate.telemetry"),
        TracerProvider().get_tracer("test").start_as_current_span("request") as span,
        pytest.raises(ConnectionError),
    ):
        breaker.call(fail)
    assert breaker.try_enter() is None
    assert [event.name for event in span.events if event.name != "exception"] == ["sluicegate.breaker.opened"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "circuit breaker 'search': open, was closed")
    ]
    assert [event.kind for event in own] == ["opened"]
    found = figures(reader)
    assert found["breaker.trips", "search", ""] == 1
    assert found["breaker.calls", "search", "failure"] == 1
    assert found["breaker.calls", "search", "rejected"] == 1
    assert found["breaker.calls", "search", "ignored"] == 0
    assert found["breaker.breakers", "search", "open"] == 1
    assert found["breaker.changes", "search", "opened"] == 1


def test_no_key_of_a_registry_is_told(clock, reader, provider, caplog):
    registry = CircuitBreakerRegistry(name="hosts", clock=clock)
    early = registry["early-secret"]
    instrument(registry, meter_provider=provider)
    late = registry["late-secret"]
    with caplog.at_level(logging.INFO, "sluicegate.telemetry"):
        early.isolate()
        late.isolate()
    found = figures(reader)
    assert found["breaker.changes", "hosts", "isolated"] == 2
    assert found["breaker.breakers", "hosts", "live"] == 2
    assert "secret" not in f"{found} {caplog.text}"


def test_a_pipeline_is_watched_with_all_that_is_in_it(reader, provider):
    clock = ManualClock(autojump=True)
    answers = iter([ConnectionError("reset"), "here"])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    retry = Retry(jitter=False, name="again", clock=clock)
    limiter = RateLimiter("10/s", name="api", clock=clock)
    pipeline = Pipeline(retry, limiter.limit(timeout=0), CircuitBreaker(name="far", clock=clock), name="all")
    instrument(pipeline, meter_provider=provider)
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        assert pipeline.call(ask) == "here"
    (event,) = span.events
    assert event.name == "sluicegate.retrying"
    assert dict(event.attributes) == {
        "sluicegate.policy": "again",
        "sluicegate.attempt": 0,
        "sluicegate.delay": 1.0,
        "error.type": "ConnectionError",
    }
    found = figures(reader)
    assert found["retry.wait", "again", ""] == (1, 1.0)
    assert found["retry.retries", "again", ""] == 1
    assert found["pipeline.attempts", "all", ""] == (1, 2)
    assert found["pipeline.duration", "all", ""][0] == 1
    assert found["limiter.calls", "api", "allowed"] == 2
    assert found["breaker.calls", "far", "success"] == 1


def test_an_event_tells_no_more_than_it_knows(clock, reader, provider):
    bulkhead = Bulkhead(1, name="few", clock=clock)
    hedge = Hedge(1, name="twice", clock=ManualClock(autojump=True))
    instrument(Pipeline(hedge, bulkhead), meter_provider=provider)

    async def answer():
        await hedge.clock.sleep_until(2_000_000_000)

    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        with bulkhead, pytest.raises(BulkheadFullError):
            bulkhead.call(int)
        asyncio.run(hedge.call(answer))
    assert [(event.name, dict(event.attributes)) for event in span.events] == [
        ("sluicegate.rejected", {"sluicegate.policy": "few", "error.type": "BulkheadFullError"}),
        ("sluicegate.hedged", {"sluicegate.policy": "twice", "sluicegate.attempt": 1}),
    ]
    found = figures(reader)
    assert found["policy.events", "few", "rejected"] == 1
    assert ("retry.wait", "few", "") not in found


def test_statistics_of_another_shape_are_left_out(clock, reader, provider):
    limiter = RedisRateLimiter(redis.Redis(port=1), "1/s", name="fleet", clock=clock)
    instrument(limiter, RateLimiter("1/s", name="api", clock=clock), meter_provider=provider)
    assert {policy for _, policy, _ in figures(reader)} == {"api"}


def test_after_close_nothing_is_watched(clock, reader, provider, caplog):
    breaker = CircuitBreaker(name="search", clock=clock)
    telemetry = instrument(breaker, meter_provider=provider)
    telemetry.close()
    telemetry.close()
    with caplog.at_level(logging.INFO, "sluicegate.telemetry"):
        breaker.isolate()
    assert caplog.records == []
    assert figures(reader) == {}


def test_without_an_sdk_nothing_breaks(clock):
    breaker = CircuitBreaker(name="search", consecutive_failures=1, clock=clock)
    instrument(breaker, Retry(clock=clock))
    with pytest.raises(ConnectionError):
        breaker.call(fail)


def test_what_cannot_be_watched_is_named(provider):
    with pytest.raises(ConfigurationError, match="'api'"):
        instrument("api", meter_provider=provider)
