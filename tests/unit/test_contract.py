"""The names that users build on: which there are, what they take, what they mean where nothing is said."""

import ast
import inspect
import math
from typing import Any

import pytest

import sluicegate
from sluicegate import (
    AuthenticationError,
    CircuitBreakerConfig,
    ErrorCategory,
    RateLimiter,
    RateLimiterConfig,
    RateLimitError,
    RetryConfig,
    StructuredError,
    Timeout,
)
from sluicegate.backends.redis import AsyncRedisRateLimiter, RedisRateLimiter
from sluicegate.integrations.asgi import RateLimitMiddleware
from sluicegate.integrations.httpx import AsyncResilientTransport, ResilientTransport
from sluicegate.testing import ManualClock

BUILT = """
RateLimiterConfig(rate, period=1.0, burst=None)
RateLimiter(*configs, name="", clock=None, shared=None)
KeyedRateLimiter(*configs, max_keys=65_536, name="", clock=None, shared=None)
ShardedRateLimiter(config, shards=1, *, name="", clock=None)
CompositeRateLimiter(*, name="", clock=None, **limiters)
CircuitBreakerConfig(failure_ratio=0.5, min_throughput=10, sampling_duration=10.0, break_duration=None,
    break_duration_generator=None, state_provider=None, manual_control=None, *, consecutive_failures=None,
    slow_call_duration=None, slow_call_ratio=1.0, sampling_count=None, half_open_max_calls=1,
    probe_timeout=None, ignore=(), handle_result=None)
CircuitBreaker(config=None, *, name="", clock=None, shared=None, listener=None, **fields)
CircuitBreakerRegistry(config=None, *, max_keys=65_536, name="", clock=None, shared=None, listener=None)
CircuitBreakerStateProvider()
CircuitBreakerManualControl()
RetryConfig(max_attempts=3, initial_interval=1.0, max_interval=60.0, exponential_base=2.0, jitter=True, *,
    retry_result=None, max_elapsed=None, budget=None, respect_retry_after=True, delay_func=None,
    on_retry=None, rng=None)
Retry(config=None, *, name="", clock=None, **fields)
Timeout(seconds, *, name="", clock=None)
Bulkhead(max_concurrent, max_queue=0, max_wait=None, *, name="", clock=None)
AdaptiveConcurrency(initial=20, min=1, max=1000, *, name="", clock=None)
Fallback(value_or_function, *, name="", clock=None)
Hedge(delay, max_hedged=1, *, name="", clock=None)
RetryBudget(ratio=0.2, min_per_second=10, *, name="", clock=None)
Pipeline(*policies, name="", clock=None)
retry_async(func, *args, max_attempts=3, delay_func=None, **kwargs)
StructuredError(category, code, message, details=None, retry_after=None)
ConfigurationError(message="", *, field="", value=None)
RejectedError(message="", *, policy="", retry_after=None)
LimitExceededError(message="", *, policy="", retry_after=None, limit=0, remaining=0)
CircuitOpenError(message="", *, policy="", retry_after=None, state=None, last_failure=None)
CircuitIsolatedError(message="", *, policy="", retry_after=None, state=None, last_failure=None, reason=None)
BulkheadFullError(message="", *, policy="", retry_after=None)
AttemptTimeoutError(message="", *, timeout=None)
BackendError(message="", *, backend="")
APIError(status_code, message, response=None)
RateLimitError(retry_after=None, *, status_code=429)
RateLimitResult(allowed, limit, remaining, retry_after, reset_after)
RedisRateLimiter(client, *configs, name, lease=0, on_error="local", local_share=0.1, prefix="sluicegate:",
    clock=None)
AsyncRedisRateLimiter(client, *configs, name, lease=0, on_error="local", local_share=0.1,
    prefix="sluicegate:", clock=None)
ResilientTransport(inner, *, limiter=None, breaker=None, retry=None, timeout=None)
AsyncResilientTransport(inner, *, limiter=None, breaker=None, retry=None, timeout=None)
RateLimitMiddleware(app, limiter, *, key=None)
ManualClock(start=0.0, *, autojump=False)
"""
"""Calls as their documentation shows them: what is added to them later stands behind a name."""

VERBS = """
try_acquire(count=1)
attempt(count=1)
peek(count=1)
acquire(count=1, timeout=None)
acquire_blocking(count=1, timeout=None)
reserve(count=1, max_wait=None)
limit(count=1, timeout=None)
"""

TREE = """
SluicegateError: Exception
ConfigurationError: SluicegateError, ValueError
RejectedError: SluicegateError
LimitExceededError: RejectedError
CircuitOpenError: RejectedError
CircuitIsolatedError: CircuitOpenError
BulkheadFullError: RejectedError
AttemptTimeoutError: SluicegateError, TimeoutError
BackendError: SluicegateError
APIError: SluicegateError
RateLimitError: APIError
AuthenticationError: APIError
InvalidRequestError: APIError
ServerError: APIError
"""

FIGURES = """
state time_in_state throughput failures slow_calls failure_ratio slow_call_ratio trips
total_successes total_failures total_slow total_ignored total_rejected
"""

ELSEWHERE = {
    kind.__name__: kind
    for kind in (
        AsyncRedisRateLimiter,
        AsyncResilientTransport,
        ManualClock,
        RateLimitMiddleware,
        RedisRateLimiter,
        ResilientTransport,
    )
}


def named(name: str) -> Any:
    return ELSEWHERE.get(name) or getattr(sluicegate, name)


def written(calls: str) -> list[tuple[str, list[tuple[str, str, object]]]]:
    """Read calls as they are written: their names, and each parameter's name, kind and default."""
    found = []
    for call in calls.replace("\n    ", " ").strip().splitlines():
        name, _, rest = call.partition("(")
        tree = ast.parse(f"def f({rest}: ...")
        scope: dict[str, Any] = {}
        exec(compile(tree, "calls", "exec"), scope)
        found.append((name, parameters(scope["f"])))
    return found


def parameters(func: Any) -> list[tuple[str, str, object]]:
    return [
        (parameter.name, parameter.kind.name, parameter.default)
        for parameter in inspect.signature(func).parameters.values()
        if parameter.name != "self"
    ]


@pytest.mark.parametrize(
    ("name", "expected"), written(BUILT), ids=lambda value: value if isinstance(value, str) else ""
)
def test_is_built_as_it_is_written(name, expected):
    actual = parameters(named(name))
    by_position = [entry for entry in expected if entry[1] == "POSITIONAL_OR_KEYWORD"]
    assert [entry for entry in actual if entry[1] == "POSITIONAL_OR_KEYWORD"] == by_position
    assert [entry for entry in expected if entry not in actual] == []


@pytest.mark.parametrize("limiter", ["RateLimiter", "KeyedRateLimiter", "ShardedRateLimiter"])
@pytest.mark.parametrize(
    ("verb", "expected"), written(VERBS), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_limiter_has_the_same_verbs_with_the_key_first(limiter, verb, expected):
    key = [] if limiter == "RateLimiter" else ["key"]
    actual = parameters(getattr(named(limiter), verb))
    assert [name for name, *_ in actual] == key + [name for name, *_ in expected]
    assert [default for *_, default in actual[len(key) :]] == [default for *_, default in expected]


@pytest.mark.parametrize(
    "verb", ["try_acquire", "attempt", "peek", "acquire", "acquire_blocking", "reserve", "limit"]
)
def test_a_composite_takes_counts_by_keyword(verb):
    *others, counts = parameters(getattr(sluicegate.CompositeRateLimiter, verb))
    assert counts[1] == "VAR_KEYWORD"
    assert [name for name, *_ in others] in ([], ["timeout"], ["max_wait"])


@pytest.mark.parametrize("line", TREE.strip().splitlines())
def test_every_error_stands_where_the_tree_has_it(line):
    name, _, bases = line.partition(": ")
    assert [base.__name__ for base in named(name).__bases__] == bases.split(", ")


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            "CircuitBreaker",
            "call try_enter state retry_after last_failure snapshot isolate reset metrics_only disable",
        ),
        ("BreakerPermit", "success failure ignore __enter__ __exit__"),
        ("CircuitBreakerStateProvider", "circuit_state time_in_state snapshot"),
        ("CircuitBreakerManualControl", "isolate reset is_isolated"),
        (
            "TokenReservation",
            "key count reserved_at execute_at delay delay_execution cancel commit wait __await__ __enter__",
        ),
        ("RateLimiter", "update stats __enter__ __aenter__ __call__"),
        ("KeyedRateLimiter", "update stats"),
        ("ShardedRateLimiter", "update stats"),
        ("CompositeRateLimiter", "update stats"),
        ("CircuitBreakerRegistry", "__getitem__ stats"),
        ("RetryConfig", "get_delay"),
        ("Retry", "call __call__ __iter__ __aiter__"),
        ("ErrorRecoveryStrategy", "recover register"),
        ("StructuredError", "to_dict to_problem from_exception"),
        ("ManualClock", "now now_ns advance advance_ns set"),
        ("shared", "list unlink"),
        *(
            (policy, "call __call__")
            for policy in ("Timeout", "Bulkhead", "AdaptiveConcurrency", "Fallback", "Hedge")
        ),
        ("Pipeline", "call __call__"),
    ],
)
def test_has_the_members_that_it_is_known_for(owner, names):
    assert [name for name in names.split() if not hasattr(named(owner), name)] == []


def test_a_snapshot_has_every_figure_in_its_order():
    figures = FIGURES.split()
    assert list(inspect.signature(sluicegate.BreakerSnapshot).parameters)[: len(figures)] == figures
    event = list(inspect.signature(sluicegate.BreakerEvent).parameters)
    assert event == ["kind", "breaker", "from_state", "to_state", "at"]


def test_states_and_categories_are_those_that_there_are():
    states = [state.name for state in sluicegate.CircuitState]
    assert states == ["CLOSED", "OPEN", "HALF_OPEN", "ISOLATED", "METRICS_ONLY", "DISABLED"]
    categories = [category.name for category in ErrorCategory]
    assert categories == ["VALIDATION", "AUTHENTICATION", "RATE_LIMIT", "EXTERNAL_SERVICE", "INTERNAL"]


def test_defaults_that_are_types_or_stand_for_others():
    breaker, retry = CircuitBreakerConfig(), RetryConfig()
    assert (breaker.break_duration, breaker.handle, breaker.ignore) == (30.0, Exception, ())
    assert CircuitBreakerConfig(break_duration=0).break_duration == 0
    assert retry.retry_on == (Exception,)
    assert RateLimiterConfig(2.5).burst == 3
    assert RateLimiterConfig(0.5).burst == 1
    assert (RateLimitError().status_code, RateLimitError().retry_after) == (429, None)


@pytest.mark.parametrize(
    ("units", "seconds"),
    [
        ("ms", 0.001),
        ("s sec second secs seconds", 1),
        ("m min minute mins minutes", 60),
        ("h hour hours", 3_600),
        ("d day days", 86_400),
    ],
)
def test_every_unit_of_a_quota_is_read_in_the_singular_and_plural(units, seconds):
    for unit in units.split():
        assert RateLimiterConfig.parse(f"3/2{unit}") == RateLimiterConfig(3, 2 * seconds), unit


@pytest.mark.parametrize(("days", "slack"), [(96, 0), (103, 1)])
def test_a_wait_is_exact_to_the_nanosecond_as_long_as_a_float_is_and_never_too_short(clock, days, slack):
    limiter = RateLimiter(RateLimiterConfig(1, days * 86_400, 1), clock=clock)
    assert limiter.try_acquire()
    for elapsed in range(1, 50):
        clock.set(0)
        clock.advance_ns(elapsed)
        wait = limiter.attempt().retry_after
        clock.advance(wait)
        assert clock.now_ns() <= days * 86_400 * 10**9 + slack
        assert limiter.peek().allowed
        just_before = clock.now_ns() - 1 - slack
        clock.set(0)
        clock.advance_ns(just_before)
        assert not limiter.peek().allowed


def test_a_timeout_around_a_plain_function_is_a_type_error():
    with pytest.raises(TypeError):
        Timeout(1.0).call(len, "")


def test_a_structured_error_has_the_shape_that_travels():
    error = StructuredError(ErrorCategory.RATE_LIMIT, "rate_limited", "slow down", {"word": "물"}, 2.0)
    assert error.to_dict() == {
        "error": {
            "category": "rate_limit",
            "code": "rate_limited",
            "message": "slow down",
            "details": {"word": "물"},
            "timestamp": error.timestamp.isoformat(),
        },
        "retry_after": 2.0,
    }
    assert (
        StructuredError.from_exception(AuthenticationError(401, "who?")).category
        is ErrorCategory.AUTHENTICATION
    )


def test_what_the_default_delays_are_without_jitter():
    config = RetryConfig(jitter=False)
    assert [config.get_delay(attempt) for attempt in range(7)] == [1, 2, 4, 8, 16, 32, 60]
    jittered = [RetryConfig().get_delay(attempt) for attempt in range(20) for _ in range(50)]
    assert max(jittered) <= 60
    assert not any(math.isnan(delay) for delay in jittered)
