"""Durations as users give them: seconds as int, float or `timedelta`, checked once and turned into one type.

An option of a configuration is refused with `ConfigurationError`, an argument of a call with `ValueError`;
both name the field and the value. What is no duration at all is a `TypeError` in either place.
"""

import math
from datetime import timedelta

from sluicegate._errors import ConfigurationError

NANOS_PER_SECOND = 1_000_000_000

FOREVER_NS = 2**64 - 1
"""The end of every clock's range, 584 years: a deadline that is never reached."""

Duration = int | float | timedelta


def seconds(value: Duration, field: str) -> float:
    """Read an option as float seconds, infinity allowed.

    Raises:
        ConfigurationError: `value` is negative or NaN.
        TypeError: `value` is neither a number nor a `timedelta`.

    Example:
        >>> seconds(timedelta(minutes=1), "max_interval")
        60.0
    """
    number = _number(value, field)
    if not number >= 0:
        raise ConfigurationError(_refusal(value, field), field=field, value=value)
    try:
        return float(number)
    except OverflowError:
        return math.inf


def nanoseconds(value: Duration, field: str) -> int:
    """Read an argument as whole nanoseconds, rounded to the nearest; past the range it is `FOREVER_NS`.

    Raises:
        ValueError: `value` is negative or NaN.
        TypeError: `value` is neither a number nor a `timedelta`.

    Example:
        >>> nanoseconds(0.1, "timeout")
        100000000
    """
    number = _number(value, field)
    if not number >= 0:
        raise ValueError(_refusal(value, field))
    if number >= FOREVER_NS // NANOS_PER_SECOND:
        return FOREVER_NS
    if isinstance(value, timedelta):
        return (value // timedelta(microseconds=1)) * 1_000
    # The fraction apart from the whole: their product would lose digits once the seconds are many.
    fraction, whole = math.modf(number)
    return int(whole) * NANOS_PER_SECOND + round(fraction * NANOS_PER_SECOND)


def _number(value: Duration, field: str) -> int | float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        raise TypeError(f"{field} must be seconds as int, float or timedelta, not {kind}")
    return value


def _refusal(value: Duration, field: str) -> str:
    return f"{field} must be at least 0, not {value}"
