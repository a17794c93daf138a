"""The waits between attempts, and the options they come from."""

import dataclasses
import math
import random
from datetime import timedelta

import pytest

from sluicegate import ConfigurationError, RetryConfig
from sluicegate.policies._retry_config import RetryFields

JITTERS = [True, "full", "equal", "decorrelated"]


def test_without_jitter_the_delays_double_up_to_the_cap():
    config = RetryConfig(jitter=False)
    assert [config.get_delay(attempt) for attempt in range(7)] == [1, 2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize("jitter", JITTERS)
def test_a_jittered_delay_never_exceeds_the_cap(jitter):
    config = RetryConfig(jitter=jitter, rng=random.Random(1))
    assert max(config.get_delay(attempt) for attempt in range(12) for _ in range(500)) <= 60.0


@pytest.mark.parametrize(
    ("jitter", "attempt", "low", "high"),
    [
        (True, 2, 2.0, 6.0),
        (True, 9, 30.0, 60.0),
        ("full", 2, 0.0, 4.0),
        ("equal", 2, 2.0, 4.0),
        ("decorrelated", 0, 1.0, 3.0),
        ("decorrelated", 1, 1.0, 9.0),
        ("decorrelated", 2, 1.0, 27.0),
    ],
)
def test_a_jittered_delay_fills_its_interval(jitter, attempt, low, high):
    config = RetryConfig(jitter=jitter, rng=random.Random(2))
    delays = [config.get_delay(attempt) for _ in range(20_000)]
    assert low <= min(delays) < low + 0.02 * (high - low)
    assert high - 0.2 * (high - low) < max(delays) <= high


def test_at_the_cap_the_default_jitter_leaves_no_herd():
    config = RetryConfig(rng=random.Random(3))
    delays = {config.get_delay(20) for _ in range(100)}
    assert len(delays) == 100


def test_a_decorrelated_delay_grows_from_the_one_before():
    config = RetryConfig(jitter="decorrelated", rng=random.Random(4))
    delays = [config.get_delay(5, previous=2.0) for _ in range(5_000)]
    assert min(delays) >= 1.0
    assert 5.9 < max(delays) <= 6.0


def test_the_same_seed_gives_the_same_delays():
    def draw():
        config = RetryConfig(rng=random.Random(7))
        return [config.get_delay(attempt) for attempt in range(9)]

    assert draw() == draw()


def test_an_attempt_far_beyond_any_float_is_at_the_cap():
    assert RetryConfig(jitter=False).get_delay(10**6) == 60.0
    assert RetryConfig(jitter=False, initial_interval=0).get_delay(10**6) == 0.0


def test_delay_func_takes_the_place_of_backoff_jitter_and_cap():
    config = RetryConfig(max_interval=1.0, delay_func=lambda attempt: 100 * (attempt + 1))
    assert [config.get_delay(attempt) for attempt in range(2)] == [100.0, 200.0]


@pytest.mark.parametrize("bad", [-1, math.nan])
def test_a_delay_func_that_returns_no_delay_is_named(bad):
    with pytest.raises(ValueError, match="delay_func"):
        RetryConfig(delay_func=lambda attempt: bad).get_delay(0)


def test_an_attempt_before_the_first_is_a_value_error():
    with pytest.raises(ValueError, match="attempt"):
        RetryConfig().get_delay(-1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", -1),
        ("max_attempts", 2.0),
        ("max_attempts", True),
        ("initial_interval", -0.1),
        ("initial_interval", math.nan),
        ("max_interval", -1),
        ("max_elapsed", math.nan),
        ("exponential_base", 0.5),
        ("exponential_base", math.nan),
        ("exponential_base", math.inf),
        ("jitter", "some"),
        ("jitter", 1),
        ("jitter", None),
        ("retry_on", 404),
        ("retry_on", (OSError, 404)),
        ("retry_on", int),
        ("retry_result", 1),
        ("delay_func", 1.0),
        ("on_retry", "print"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field) as caught:
        RetryConfig(**{field: value})
    assert caught.value.field == field
    assert caught.value.value is value


def test_durations_may_be_given_as_timedelta_and_are_kept_as_seconds():
    config = RetryConfig(initial_interval=timedelta(milliseconds=500), max_elapsed=timedelta(minutes=1))
    assert (config.initial_interval, config.max_elapsed) == (0.5, 60.0)


def test_the_first_five_options_may_be_given_by_position():
    assert RetryConfig(5, 0.1, 2.0, 3.0, False) == RetryConfig(
        max_attempts=5, initial_interval=0.1, max_interval=2.0, exponential_base=3.0, jitter=False
    )


def test_the_keywords_that_type_checkers_know_are_the_fields():
    fields = {field.name: field.type for field in dataclasses.fields(RetryConfig)}
    assert RetryFields.__annotations__ == fields


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryConfig().max_attempts = 4
