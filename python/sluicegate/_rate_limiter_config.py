"""The quota of a rate limiter, as users write it: exact numbers, or a string such as "100/s"."""

import math
import re
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from sluicegate import _native
from sluicegate._durations import NANOS_PER_SECOND
from sluicegate._errors import ConfigurationError
from sluicegate._shared import adopt_config, canonical

Rate = int | float | Fraction | Decimal

DEFAULT_PERIOD = 1.0

_LONGEST_TEXT = 200
_WIDEST_PART = 127
_UNITS: dict[str, Fraction] = {
    name: seconds
    for names, seconds in {
        "ms": Fraction(1, 1_000),
        "s sec secs second seconds": Fraction(1),
        "m min mins minute minutes": Fraction(60),
        "h hour hours": Fraction(3_600),
        "d day days": Fraction(86_400),
    }.items()
    for name in names.split()
}
_GRAMMAR = re.compile(
    r"(?P<rate>inf|[0-9]+(?:\.[0-9]+)?) / (?P<number>[0-9]+(?:\.[0-9]+)?)? (?P<unit>[a-z]+)"
    r" (?:; burst = (?P<burst>[0-9]+))?".replace(" ", r"\s*"),
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RateLimiterConfig:
    """At most `burst` permits at once, and `rate` of them per `period` seconds after that.

    Numbers are exact: a float means its shortest decimal, so that 0.1 is one tenth; `Fraction` and `Decimal`
    are what they are.

    Args:
        rate: Permits per period: 0 for the burst and no more, `math.inf` for no limit whatever the burst;
            at most 4 · 10⁹ a second.
        period: Seconds (or a `timedelta`), above 0.
        burst: The most permits at once, `max(1, ceil(rate))` by default. 0 admits nothing.

    Raises:
        ConfigurationError: A value makes no sense; `field` and `value` name it.
        TypeError: `rate`, `period` or `burst` is no number.

    Example:
        >>> RateLimiterConfig(100, burst=20)
        RateLimiterConfig(rate=100, period=1.0, burst=20)
        >>> RateLimiterConfig.parse("5/minute") == RateLimiterConfig(5, 60.0)
        True
    """

    rate: Rate
    period: float | timedelta = DEFAULT_PERIOD
    burst: int = None  # type: ignore[assignment]  # computed from the rate where it is left out
    _quota: _native.Quota = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        period = exact_period(self.period)
        unlimited = self.rate == math.inf
        rate = Fraction() if unlimited else exact_rate(self.rate)
        if self.burst is None:
            burst = sys.maxsize if unlimited else max(1, math.ceil(rate))
            object.__setattr__(self, "burst", burst)
        _check_burst(self.burst)
        quota = _native.Quota.unlimited() if unlimited else _native_quota(self, rate / period)
        object.__setattr__(self, "_quota", quota)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "100/s", "5/minute", "1000/hour;burst=50", "3/2s", "0.5/s" or "inf/s".

        NUMBER "/" [NUMBER] UNIT [";burst=" INT], blanks ignored; units are ms, s, sec, second, m, min,
        minute, h, hour, d, day and their plurals.

        Raises:
            ConfigurationError: The text reads otherwise, or makes no sense.

        Example:
            >>> RateLimiterConfig.parse("3/2s;burst=1")
            RateLimiterConfig(rate=3, period=2.0, burst=1)
        """
        if not isinstance(text, str):
            raise TypeError(f"a rate limit is read from a str such as '100/s', not {type(text).__name__}")
        found = _GRAMMAR.fullmatch(text.strip()) if len(text) <= _LONGEST_TEXT else None
        unit = _UNITS.get(found["unit"].lower()) if found else None
        if found is None or unit is None:
            shown = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
            raise ConfigurationError(
                f"cannot read the rate limit {shown!r}: write it like '100/s', '5/minute', "
                "'1000/hour;burst=50' or 'inf/s'",
                field="rate",
                value=shown,
            )
        rate = math.inf if found["rate"].lower() == "inf" else _shortest(found["rate"])
        period = Fraction(found["number"] or 1) * unit
        return cls(rate, float(period), int(found["burst"]) if found["burst"] else None)  # type: ignore[arg-type]

    @classmethod
    def at_most(
        cls, limit: int, period: float | timedelta = DEFAULT_PERIOD, burst: int | None = None
    ) -> Self:
        """Choose rate and burst so that no window of `period` seconds ever sees more than `limit` permits.

        A window that begins and ends with a permit counts both. The rate is what `burst` leaves of the limit
        and one more, per a nanosecond over the period.

        Args:
            limit: The most permits in any window, at least 1.
            period: The length of the windows in seconds (or a `timedelta`).
            burst: The most at once, by default a tenth of the limit, at least 1. More at once leaves less to
                flow afterwards.

        Raises:
            ConfigurationError: `limit` is below 1, or `burst` is not between 1 and `limit`.

        Example:
            >>> config = RateLimiterConfig.at_most(60, 60.0, burst=10)
            >>> config.burst, round(config.rate, 6)
            (10, Fraction(51, 1))
        """
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"limit must be an integer, not {type(limit).__name__}")
        if limit < 1:
            raise ConfigurationError(f"limit must be at least 1, not {limit}", field="limit", value=limit)
        burst = max(1, limit // 10) if burst is None else burst
        _check_burst(burst)
        if not 1 <= burst <= limit:
            message = f"burst must be between 1 and the limit of {limit}, not {burst}"
            raise ConfigurationError(message, field="burst", value=burst)
        seconds = exact_period(period)
        longer = seconds + Fraction(1, NANOS_PER_SECOND)
        return cls((limit - burst + 1) * seconds / longer, period, burst)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rate, self.period, self.burst)

    def _written(self) -> list[Any]:
        """Write it down exactly, so that equal quotas are written alike."""
        rate = "inf" if self.rate == math.inf else str(exact_rate(self.rate))
        return [rate, str(exact_period(self.period)), self.burst]

    @classmethod
    def _read(cls, written: list[Any]) -> Self:
        """Read what `_written` wrote."""
        rate, period, burst = written
        exact = Fraction(period)
        shortest = float(exact)
        # An exact fraction is taken as well, where no float has it.
        seconds: Any = shortest if Fraction(repr(shortest)) == exact else exact
        return cls(math.inf if rate == "inf" else _plain(Fraction(rate)), seconds, burst)


def read_configs(configs: tuple[RateLimiterConfig | str, ...]) -> tuple[RateLimiterConfig, ...]:
    """Take what a limiter is given: configs, or their strings.

    Raises:
        ConfigurationError: A string cannot be read, or there is none at all.
        TypeError: Something is neither.
    """
    if not configs:
        raise ConfigurationError("a limiter needs a rate limit, such as '100/s'", field="configs", value=())
    return tuple(_read_config(config) for config in configs)


def adopted_configs(path: Path, kind: str) -> tuple[tuple[RateLimiterConfig, ...], dict[str, Any]] | None:
    """Read the quotas of the segment at `path`, and what else was written with them; None without one."""
    found = adopt_config(path, kind)
    return None if found is None else (tuple(map(RateLimiterConfig._read, found["quotas"])), found)


def written_configs(configs: tuple[RateLimiterConfig, ...], **more: Any) -> bytes:
    """Write quotas, and what belongs to them, as a segment keeps them."""
    return canonical({"quotas": [config._written() for config in configs], **more})


def _read_config(config: RateLimiterConfig | str) -> RateLimiterConfig:
    if isinstance(config, RateLimiterConfig):
        return config
    if isinstance(config, str):
        return RateLimiterConfig.parse(config)
    raise TypeError(f"a rate limit is a RateLimiterConfig or a str such as '100/s', not {config!r}")


def _native_quota(config: RateLimiterConfig, per_second: Fraction) -> _native.Quota:
    per_nano = per_second / NANOS_PER_SECOND
    permits, nanos = per_nano.numerator, per_nano.denominator
    # From below: what is cut off is less than a permit within the range of the clock.
    cut = max(permits.bit_length(), nanos.bit_length()) - _WIDEST_PART
    if cut > 0:
        permits, nanos = permits >> cut, -(-nanos >> cut)
    try:
        return _native.Quota(permits, nanos, config.burst)
    except ConfigurationError as error:
        value = getattr(config, error.field)
        message = str(error) if error.field == "burst" else f"{error}: not {value} per {config.period} s"
        raise ConfigurationError(message, field=error.field, value=value) from None
    except OverflowError:
        message = f"burst must be at most 2^62, not {config.burst}"
        raise ConfigurationError(message, field="burst", value=config.burst) from None


def _exact(value: Rate, name: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction | Decimal):
        raise TypeError(f"{name} must be a number (int, float, Fraction or Decimal), not {value!r}")
    try:
        # A float is its shortest decimal, which is what its repr says.
        return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{name} must be a finite number, not {value}", field=name, value=value
        ) from None


def exact_rate(value: Rate) -> Fraction:
    rate = _exact(value, "rate")
    if rate < 0:
        raise ConfigurationError(f"rate must be at least 0, not {value}", field="rate", value=value)
    return rate


def exact_period(value: float | timedelta) -> Fraction:
    if isinstance(value, timedelta):
        period = Fraction(value // timedelta.resolution, 1_000_000)
    else:
        period = _exact(value, "period")
    if period <= 0:
        raise ConfigurationError(f"period must be above 0 seconds, not {value}", field="period", value=value)
    return period


def _check_burst(burst: int) -> None:
    if isinstance(burst, bool) or not isinstance(burst, int):
        raise TypeError(f"burst must be an integer, not {burst!r}")
    if burst < 0:
        raise ConfigurationError(f"burst must be at least 0, not {burst}", field="burst", value=burst)


def _plain(exact: Fraction) -> Rate:
    return exact.numerator if exact.denominator == 1 else exact


def _shortest(digits: str) -> Rate:
    exact = Fraction(digits)
    if exact.denominator == 1:
        return exact.numerator
    return float(digits) if Fraction(repr(float(digits))) == exact else Decimal(digits)
