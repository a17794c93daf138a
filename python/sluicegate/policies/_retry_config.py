"""What a retry is told: how often, after what, and how long to wait in between."""

import math
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, NoReturn, Protocol, TypedDict, cast, runtime_checkable

from sluicegate._durations import Duration, seconds
from sluicegate._errors import ConfigurationError
from sluicegate.policies._backoff import Jitter, decorrelated, exponential, spread

Errors = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Which exceptions are meant: a type, a tuple of types, or a predicate."""


@runtime_checkable
class Budget(Protocol):
    """What bounds the retries of many calls together."""

    def deposit(self) -> None:
        """Note a call."""
        ...

    def try_withdraw(self) -> bool:
        """Take one retry out, or say that there is none left."""
        ...


class RetryFields(TypedDict, total=False):
    """The fields of `RetryConfig` as keywords, for type checkers."""

    max_attempts: int
    initial_interval: Duration
    max_interval: Duration
    exponential_base: float
    jitter: Jitter
    retry_on: Errors
    retry_result: Callable[[Any], bool] | None
    max_elapsed: Duration | None
    budget: Budget | None
    respect_retry_after: bool
    delay_func: Callable[[int], Duration] | None
    on_retry: Callable[[int, float, Exception | None], object] | None
    rng: random.Random | None


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """The options of a `Retry`, checked when built.

    Durations are seconds or `timedelta`, kept as float seconds.

    Attributes:
        max_attempts: How many attempts a call gets in all, the first included.
        initial_interval: The wait after the first attempt, before jitter.
        max_interval: What no wait computed here exceeds, jitter included.
        exponential_base: What the wait is multiplied by from attempt to attempt, at least 1.
        jitter: True for uniform in [d/2, min(3d/2, max_interval)] where d is the exponential delay, "full"
            for [0, d], "equal" for [d/2, d], "decorrelated" for [initial_interval, three times the last
            wait], False for d itself.
        retry_on: Which exceptions are worth another attempt: types or a predicate. Only an `Exception` ever
            is; cancellation, `KeyboardInterrupt` and `SystemExit` pass through untouched.
        retry_result: A predicate of results that are worth another attempt; None where every result will do.
            When the attempts run out the last result is returned.
        max_elapsed: A wait that would end later than this after the call began is not begun; None for no
            limit.
        budget: What bounds the retries of many calls together, a `RetryBudget` as a rule; None for no bound.
            It is asked last, so that no retry is taken from it that is not made.
        respect_retry_after: Whether to wait at least what an exception asks for, in full even where that
            exceeds max_interval: its `retry_after`, or the `Retry-After` header of its response; where it is
            infinite the call ends at once. That of an isolated breaker ends the call in any case, since no
            wait would help.
        delay_func: Called with the attempt that failed, from 0, it returns the wait itself, in place of
            backoff and jitter, and is not cut at max_interval.
        on_retry: Called before each wait with the attempt that failed, from 0, the seconds to wait, and the
            exception, None where it was a result. What it raises ends the call.
        rng: The source of jitter, any `random.Random`; None for the process's own.

    Raises:
        ConfigurationError: A value makes no sense; `field` and `value` say which.

    Example:
        >>> config = RetryConfig(jitter=False)
        >>> [config.get_delay(attempt) for attempt in range(7)]
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    """

    max_attempts: int = 3
    initial_interval: Duration = 1.0
    max_interval: Duration = 60.0
    exponential_base: float = 2.0
    jitter: Jitter = True
    _: KW_ONLY
    retry_on: Errors = (Exception,)
    retry_result: Callable[[Any], bool] | None = None
    max_elapsed: Duration | None = None
    budget: Budget | None = None
    respect_retry_after: bool = True
    delay_func: Callable[[int], Duration] | None = None
    on_retry: Callable[[int, float, Exception | None], object] | None = None
    rng: random.Random | None = None

    def __post_init__(self) -> None:
        """Check every field, and turn durations into float seconds."""
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            self._refuse("max_attempts", "an int of at least 1")
        if not 1 <= self.exponential_base < math.inf:
            self._refuse("exponential_base", "a finite number of at least 1")
        if type(self.jitter) is not bool and self.jitter not in ("full", "equal", "decorrelated"):
            self._refuse("jitter", 'True, False, "full", "equal" or "decorrelated"')
        if not says_which_errors(self.retry_on):
            self._refuse("retry_on", "an exception type, a tuple of them or a predicate")
        if self.budget is not None and not isinstance(self.budget, Budget):
            self._refuse("budget", "a RetryBudget or None")
        for field in ("retry_result", "delay_func", "on_retry"):
            if getattr(self, field) is not None and not callable(getattr(self, field)):
                self._refuse(field, "a callable or None")
        for field in ("initial_interval", "max_interval", "max_elapsed"):
            if (value := getattr(self, field)) is not None:
                object.__setattr__(self, field, seconds(value, field))

    def _refuse(self, field: str, wanted: str) -> NoReturn:
        value = getattr(self, field)
        raise ConfigurationError(f"{field} must be {wanted}, not {value!r}", field=field, value=value)

    def get_delay(self, attempt: int, *, previous: float | None = None) -> float:
        """Return the seconds to wait after `attempt`, counted from 0, jitter included.

        Args:
            attempt: The attempt that failed.
            previous: The wait before that attempt, which "decorrelated" grows from; where it is None, the
                waits that led there are drawn anew.

        Raises:
            ValueError: `attempt` is negative, or `delay_func` returned what is no duration.
        """
        if attempt < 0:
            raise ValueError(f"attempt must be at least 0, not {attempt}")
        if self.delay_func is not None:
            return seconds(self.delay_func(attempt), "delay_func")
        initial, cap = cast(float, self.initial_interval), cast(float, self.max_interval)
        # The process's own generator is seeded anew in every fork; one of ours would repeat itself there.
        uniform = random.uniform if self.rng is None else self.rng.uniform
        if self.jitter != "decorrelated":
            return spread(
                exponential(attempt, initial, self.exponential_base, cap), cap, self.jitter, uniform
            )
        if previous is not None:
            return decorrelated(previous, initial, cap, uniform)
        delay = initial
        for _ in range(attempt + 1):
            delay = decorrelated(delay, initial, cap, uniform)
        return delay


def says_which_errors(value: object) -> bool:
    """Tell whether this is one of `Errors`."""
    kinds = value if isinstance(value, tuple) else (value,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return True
    return callable(value) and not isinstance(value, type)


def is_meant(errors: Errors, error: Exception) -> bool:
    """Tell whether this exception is one of those."""
    return isinstance(error, errors) if isinstance(errors, type | tuple) else bool(errors(error))
