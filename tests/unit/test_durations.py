"""Durations: what is read, what is refused, how it is rounded."""

import math
from datetime import timedelta

import pytest

from sluicegate import ConfigurationError
from sluicegate._durations import FOREVER_NS, nanoseconds, seconds
from sluicegate._native import ManualClock


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (3, 3.0),
        (0.25, 0.25),
        (timedelta(milliseconds=1500), 1.5),
        (math.inf, math.inf),
        (10**400, math.inf),
    ],
)
def test_seconds_come_out_as_float(value, expected):
    result = seconds(value, "wait")
    assert result == expected
    assert type(result) is float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (3, 3_000_000_000),
        (0.1, 100_000_000),
        (1e-9, 1),
        (4e-10, 0),
        (timedelta(microseconds=1), 1_000),
        (timedelta(days=9_000), 777_600_000_000_000_000),
        (9_000_000.123456789, 9_000_000_123_456_789),
        (math.inf, FOREVER_NS),
        (10**400, FOREVER_NS),
        (timedelta.max, FOREVER_NS),
    ],
)
def test_nanoseconds_are_rounded_to_the_nearest_and_end_at_forever(value, expected):
    assert nanoseconds(value, "wait") == expected


@pytest.mark.parametrize("value", [0, 7, 0.1, 1e-9, 1234567.891, timedelta(hours=3, microseconds=7), 1e30])
def test_both_languages_round_alike(value):
    assert nanoseconds(value, "start") == ManualClock(value).now_ns()


@pytest.mark.parametrize("value", [-1, -0.5, math.nan, -math.inf, timedelta(seconds=-1)])
def test_an_option_below_zero_is_a_configuration_error_that_names_field_and_value(value):
    with pytest.raises(ConfigurationError, match="max_wait") as caught:
        seconds(value, "max_wait")
    assert caught.value.field == "max_wait"
    assert caught.value.value is value


@pytest.mark.parametrize("value", [-1, -0.5, math.nan, -math.inf, timedelta(seconds=-1)])
def test_an_argument_below_zero_is_a_plain_value_error_that_names_field_and_value(value):
    with pytest.raises(ValueError, match="timeout must be at least 0, not ") as caught:
        nanoseconds(value, "timeout")
    assert not isinstance(caught.value, ConfigurationError)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("value", ["1", None, True, b"1", [1], 1j])
@pytest.mark.parametrize("read", [seconds, nanoseconds])
def test_what_is_no_duration_is_a_type_error(read, value):
    with pytest.raises(TypeError, match="timeout must be seconds as int, float or timedelta, not "):
        read(value, "timeout")
