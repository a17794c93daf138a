"""The earlier names: each works as it did, and warns with version and replacement."""

import pytest

import sluicegate
from sluicegate import CircuitState, ConfigurationError, compat


def warned(replacement):
    return pytest.warns(DeprecationWarning, match=rf"deprecated since sluicegate 0\.1 .* 1\.0.*{replacement}")


def fail(error=OSError):
    raise error


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ApiError", "APIError"),
        ("CircuitBreakerError", "CircuitOpenError"),
        ("CircuitBreakerOpenError", "CircuitOpenError"),
        ("CircuitBreakerState", "CircuitState"),
        ("RateLimitExceeded", "LimitExceededError"),
    ],
)
def test_an_earlier_class_is_the_one_of_today(old, new):
    with warned(f"sluicegate.{new}") as caught:
        assert getattr(compat, old) is getattr(sluicegate, new)
    assert caught[0].filename == __file__


def test_every_earlier_class_is_listed():
    assert "ApiError" in dir(compat)
    assert "RetryConfig" in dir(compat)


def test_a_name_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = compat.Nonsense


def test_delays_of_a_retry_are_its_intervals():
    with warned("initial_interval"), warned("max_interval"):
        config = compat.RetryConfig(initial_delay=0.5, max_delay=8.0, max_attempts=4)
    assert config == sluicegate.RetryConfig(initial_interval=0.5, max_interval=8.0, max_attempts=4)


def test_the_warning_points_at_the_line_that_uses_the_name():
    for use in (
        lambda: compat.RetryConfig(max_delay=8.0),
        lambda: compat.CircuitBreaker(failure_threshold=3),
        lambda: compat.RateLimiter(requests_per_minute=60),
    ):
        with pytest.warns(DeprecationWarning, match="write sluicegate") as caught:
            use()
        assert caught[0].filename == __file__


def test_todays_fields_do_not_warn():
    assert compat.RetryConfig(max_interval=8.0).max_interval == 8.0
    assert compat.CircuitBreaker(break_duration=5.0).state is CircuitState.CLOSED
    assert compat.RateLimiter("2/s").peek().limit == 2


def test_an_old_name_beside_its_replacement_is_refused():
    with pytest.raises(ConfigurationError, match="leave max_delay out") as caught:
        compat.RetryConfig(max_delay=8.0, max_interval=9.0)
    assert caught.value.field == "max_delay"


def test_a_threshold_counts_failures_in_a_row_and_a_timeout_is_the_break():
    clock = sluicegate.MonotonicClock()
    with warned("consecutive_failures"), warned("break_duration"), warned("handle"):
        breaker = compat.CircuitBreaker(
            failure_threshold=3, recovery_timeout=60, expected_exception=OSError, clock=clock
        )
    for error in (OSError, OSError, ValueError):  # what is not expected is a success
        with pytest.raises(error):
            breaker.call(fail, error)
    for _ in range(2):
        with pytest.raises(OSError):
            breaker.call(fail)
    assert breaker.state is CircuitState.CLOSED
    with pytest.raises(OSError):
        breaker.call(fail)
    assert breaker.state is CircuitState.OPEN
    assert 59 < breaker.retry_after <= 60


@pytest.mark.parametrize(
    ("fields", "limit", "rate"),
    [
        ({"requests_per_minute": 60}, 60, "60/minute"),
        ({"requests_per_minute": 60, "burst_size": 10}, 10, "60/minute;burst=10"),
        ({"requests_per_second": 5}, 5, "5/s"),
        ({"requests_per_hour": 100, "burst_size": 1}, 1, "100/hour;burst=1"),
    ],
)
def test_requests_a_period_are_a_quota(fields, limit, rate):
    with warned(rate):
        limiter = compat.RateLimiter(name="api", **fields)
    assert limiter.peek().limit == limit
    assert limiter.configs[0] == sluicegate.RateLimiterConfig.parse(rate)


def test_several_periods_are_all_or_nothing():
    with warned("60/minute"), warned("100/hour"):
        limiter = compat.RateLimiter(requests_per_minute=60, requests_per_hour=100)
    assert len(limiter.configs) == 2


def test_a_burst_without_a_rate_is_refused():
    with pytest.raises(ConfigurationError, match="requests_per_minute"):
        compat.RateLimiter(burst_size=10)
