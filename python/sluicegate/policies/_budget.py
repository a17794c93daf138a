"""A budget for the retries of many calls, so that they never multiply the load on what is down."""

from fractions import Fraction
from typing import Self

from sluicegate._errors import ConfigurationError
from sluicegate._native import RetryBudget as NativeRetryBudget
from sluicegate._rate_limiter_config import RateLimiterConfig
from sluicegate._time import Clock

_MAX_DENOMINATOR = 10**15


class RetryBudget(NativeRetryBudget):
    """Bounds the retries of all who share it to a share of their calls, and a few a second besides.

    Every call earns `ratio` of a retry, and a retry takes a whole one. What is not used is saved, up to what
    500 calls earn, and one retry at least. `min_per_second` more are there in any case, a second's worth at
    once, so that a service with few calls may retry at all. In any stretch of t seconds there are thus at
    most ratio · calls + saved + min_per_second · (t + 1) retries, however many threads and tasks draw on it
    at once. Once it is spent a call ends with its attempt's own exception.

    After the retry budget of Finagle, with an amount saved in place of a window of time, as the retry quota
    of the AWS SDKs has it. Counted exactly, in one word and without a lock: 50 ns a call.

    Args:
        ratio: The share of calls that may be retried, from 0 to 1.
        min_per_second: How many retries a second there are besides; 0 for none.
        name: What telemetry calls it.
        clock: What the seconds are measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: A value makes no sense.

    Example:
        >>> from sluicegate import Retry
        >>> budget = RetryBudget(ratio=0.5, min_per_second=0)
        >>> ask, search = Retry(budget=budget), Retry(budget=budget)
        >>> ask.call(int), search.call(int), budget.available
        (0, 0, 1)
    """

    __slots__ = ("_name", "_options")

    _name: str
    _options: tuple[float, float]

    def __new__(
        cls, ratio: float = 0.2, min_per_second: float = 10, *, name: str = "", clock: Clock | None = None
    ) -> Self:
        """Build a budget with nothing saved."""
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            message = f"ratio must be a number from 0 to 1, not {ratio!r}"
            raise ConfigurationError(message, field="ratio", value=ratio)
        try:
            reserve = RateLimiterConfig(min_per_second, burst=None if min_per_second else 0)  # type: ignore[arg-type]  # None is computed
        except ConfigurationError as error:
            message = f"min_per_second must be a number of at least 0, not {min_per_second!r}"
            raise ConfigurationError(message, field="min_per_second", value=min_per_second) from error
        share = Fraction(str(ratio)).limit_denominator(_MAX_DENOMINATOR).as_integer_ratio()
        budget = super().__new__(cls, share, reserve._quota, clock)
        budget._name = name
        budget._options = (ratio, min_per_second)
        return budget

    @property
    def name(self) -> str:
        """What telemetry calls it."""
        return self._name

    def __repr__(self) -> str:
        ratio, min_per_second = self._options
        return f"RetryBudget(ratio={ratio!r}, min_per_second={min_per_second!r}, name={self._name!r})"
