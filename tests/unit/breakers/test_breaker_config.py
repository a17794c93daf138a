"""What a breaker's config refuses, and what it makes of what it takes."""

import copy
import dataclasses
import gc
import math
import pickle
import weakref
from datetime import timedelta

import pytest

from sluicegate import CircuitBreaker, CircuitBreakerConfig, CircuitState, ConfigurationError

NONSENSE = [
    ("failure_ratio", -0.1),
    ("failure_ratio", 1.1),
    ("failure_ratio", math.nan),
    ("failure_ratio", "half"),
    ("failure_ratio", True),
    ("slow_call_ratio", 2),
    ("min_throughput", 0),
    ("min_throughput", -1),
    ("min_throughput", 2.0),
    ("min_throughput", None),
    ("min_throughput", 2**64),
    ("consecutive_failures", 0),
    ("sampling_count", 0),
    ("sampling_count", 2_049),
    ("half_open_max_calls", 0),
    ("half_open_max_calls", 65),
    ("half_open_max_calls", None),
    ("sampling_duration", 0),
    ("sampling_duration", -1.0),
    ("sampling_duration", math.nan),
    ("break_duration", -1.0),
    ("break_duration", timedelta(seconds=-1)),
    ("slow_call_duration", math.nan),
    ("probe_timeout", 0.0),
    ("handle", 42),
    ("handle", int),
    ("handle", (OSError, 42)),
    ("ignore", None),
    ("handle_result", 500),
    ("break_duration_generator", 30.0),
    ("state_provider", "provider"),
    ("manual_control", object()),
]


@pytest.mark.parametrize(("field", "value"), NONSENSE)
def test_what_makes_no_sense_is_refused_by_name_and_value(field, value):
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerConfig(**{field: value})
    assert raised.value.field == field
    assert raised.value.value is value
    assert field in str(raised.value)


def test_a_minimum_throughput_that_a_count_window_never_holds_is_refused():
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerConfig(sampling_count=5, min_throughput=6)
    assert (raised.value.field, raised.value.value) == ("min_throughput", 6)
    assert CircuitBreakerConfig(sampling_count=5, min_throughput=5).sampling_count == 5


@pytest.mark.parametrize(
    "field", ["break_duration", "sampling_duration", "slow_call_duration", "probe_timeout"]
)
@pytest.mark.parametrize("duration", ["soon", True, [1]])
def test_what_is_no_duration_at_all_is_a_type_error(field, duration):
    with pytest.raises(TypeError, match=field):
        CircuitBreakerConfig(**{field: duration})


def test_a_time_window_needs_a_duration():
    with pytest.raises(TypeError, match="sampling_duration"):
        CircuitBreakerConfig(sampling_duration=None)


def test_a_field_that_there_is_not_is_a_type_error():
    with pytest.raises(TypeError, match="failure_rate"):
        CircuitBreaker(failure_rate=0.5)


def test_durations_may_be_timedeltas(clock):
    breaker = CircuitBreaker(consecutive_failures=1, break_duration=timedelta(milliseconds=1500), clock=clock)
    breaker.try_enter().failure()
    assert breaker.retry_after == 1.5


def test_a_break_without_end_lasts_to_the_end_of_the_range(clock):
    breaker = CircuitBreaker(consecutive_failures=1, break_duration=math.inf, clock=clock)
    breaker.try_enter().failure()
    clock.advance(86_400.0 * 365 * 8)
    assert breaker.state is CircuitState.OPEN


def test_a_window_without_end_never_forgets(clock):
    breaker = CircuitBreaker(sampling_duration=math.inf, min_throughput=2, clock=clock)
    breaker.try_enter().failure()
    clock.advance(86_400.0 * 365)
    breaker.try_enter().failure()
    assert breaker.state is CircuitState.OPEN


@pytest.mark.parametrize("ratio", [0.1, 1e-300, 1 / 3, 0.30000000000000004, 0.9999999999999999, 1])
def test_any_float_from_zero_to_one_is_a_ratio(ratio):
    assert CircuitBreakerConfig(failure_ratio=ratio).failure_ratio == ratio


def test_a_config_compares_by_its_fields_and_is_frozen():
    config = CircuitBreakerConfig(failure_ratio=0.25)
    assert config == CircuitBreakerConfig(0.25)
    assert hash(config) == hash(CircuitBreakerConfig(0.25))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.failure_ratio = 0.5


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))]
)
def test_a_config_can_be_copied_and_pickled(copied):
    config = CircuitBreakerConfig(consecutive_failures=1, handle=OSError)
    again = copied(config)
    assert again == config
    assert dataclasses.asdict(again)["consecutive_failures"] == 1
    breaker = CircuitBreaker(again)
    breaker.try_enter().failure()
    assert breaker.state is CircuitState.OPEN


def test_fields_go_on_top_of_a_config():
    config = CircuitBreakerConfig(failure_ratio=0.25, min_throughput=3)
    assert CircuitBreaker(config, min_throughput=5).config == CircuitBreakerConfig(0.25, 5)
    assert CircuitBreaker(config).config is config


def test_one_config_serves_many_breakers(clock):
    config = CircuitBreakerConfig(consecutive_failures=1)
    one, other = CircuitBreaker(config, clock=clock), CircuitBreaker(config, clock=clock)
    one.try_enter().failure()
    assert (one.state, other.state) == (CircuitState.OPEN, CircuitState.CLOSED)


def test_a_clock_that_is_none_of_ours_is_a_type_error():
    with pytest.raises(TypeError, match="clock"):
        CircuitBreaker(clock=object())


def test_breakers_of_the_config_alone_share_their_terms_while_one_lives():
    config = CircuitBreakerConfig()
    first = CircuitBreaker(config)
    assert config._terms() is config._terms()
    gone = weakref.ref(config._terms())
    del first
    assert gone() is None
    assert CircuitBreaker(config).config is config


def test_a_config_needs_no_collector_to_die():
    class Predicate:
        def __call__(self, error):
            return True

    predicate = Predicate()
    gone = weakref.ref(predicate)
    gc.disable()
    try:
        CircuitBreaker(handle=predicate)
        del predicate
        assert gone() is None
    finally:
        gc.enable()
