"""What a circuit breaker is told, checked when it is written down."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from sluicegate._breaker_control import CircuitBreakerManualControl, CircuitBreakerStateProvider
from sluicegate._durations import Duration, seconds
from sluicegate._errors import ConfigurationError
from sluicegate._native import BreakerOptions, BreakerTerms

if TYPE_CHECKING:
    from sluicegate._events import BreakerListener

DEFAULT_BREAK_SECONDS = 30.0
MAX_SAMPLING_COUNT = 2_048
MAX_HALF_OPEN_CALLS = 64
_MAX_COUNT = 2**63 - 1
_MAX_DENOMINATOR = 2**64 - 1

Failures = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object]
"""Exception types, a tuple of them, or a predicate of the exception."""


class _Converted:
    """Keeps what a config was converted to beside its fields, so that copies and pickles leave it behind."""

    __slots__ = ("_native", "_shared_terms")
    _native: BreakerOptions
    # Weak, since the terms hold the config, which would keep itself alive.
    _shared_terms: weakref.ref[BreakerTerms]


_WRITTEN = (
    "break_duration",
    "consecutive_failures",
    "failure_ratio",
    "half_open_max_calls",
    "min_throughput",
    "probe_timeout",
    "sampling_count",
    "sampling_duration",
    "slow_call_duration",
    "slow_call_ratio",
)
"""The fields that are numbers: those that processes which share a breaker have in common."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig(_Converted):
    """When a circuit breaker trips, for how long it breaks, and how it finds out that it may close.

    It trips, on a failed or slow completion and never on a fast success, where any of these holds:

    - failures / throughput ≥ `failure_ratio`, with at least `min_throughput` calls in the window;
    - slow calls / throughput ≥ `slow_call_ratio`, with as many;
    - `consecutive_failures` failures in a row, whatever the throughput.

    Durations are seconds (int, float) or `timedelta`. A ratio is read as its shortest decimal and compared
    exactly: 3 of 10 reach 0.3; a ratio of 0 is reached by one.

    Attributes:
        failure_ratio: The share of failures that trips, from 0 to 1.
        min_throughput: The completed calls, at least 1, below which no ratio trips.
        sampling_duration: The length of the time window. It moves in 64 steps: a call is forgotten once it
            is as old as the window, or up to 1/64 of the window before. Beyond 131,071 calls a step, counts
            are halved and only their ratios are kept.
        break_duration: How long the breaker stays open, 30 s by default; 0 makes the next call a probe.
            Counted in microseconds, rounded up, to 8.9 years at most.
        break_duration_generator: Called with the number of consecutive trips, from 1, for the length of each
            break. It runs outside any lock and never for `isolate`. While it runs, and where it raises or
            returns no duration (which is logged), `break_duration` holds.
        state_provider: Lets others read the one breaker built from this.
        manual_control: Isolates and resets every breaker built from this.
        consecutive_failures: The failures in a row that trip; None to leave them uncounted.
        slow_call_duration: The duration beyond which a call is slow; None measures none.
        slow_call_ratio: The share of slow calls that trips, from 0 to 1.
        sampling_count: Take the ratios over the last so many calls, up to 2,048, instead of over
            `sampling_duration`.
        half_open_max_calls: How many probes are let through at once after a break, 1 to 64, and how many
            results the verdict is taken over. It comes as soon as the remaining ones cannot change it.
        probe_timeout: How long a probe keeps its place; one that takes longer may be replaced, and then its
            result no longer counts. None: the longer of the break and 30 s.
        handle: Which exceptions are failures: types, a tuple of them, or a predicate; others are successes.
            What is no `Exception`, such as a cancellation, counts as nothing whatever is given here.
        ignore: Which exceptions count as nothing; asked before `handle`.
        handle_result: A predicate of a result that tells whether it is a failure.

    What a predicate raises leaves the guarded call in place of its result; the call counts as nothing.

    Raises:
        ConfigurationError: A field makes no sense; it names the field and the value.

    Example:
        >>> CircuitBreakerConfig(failure_ratio=0.25, break_duration=5).break_duration
        5
    """

    failure_ratio: float = 0.5
    min_throughput: int = 10
    sampling_duration: Duration = 10.0
    break_duration: Duration | None = None
    break_duration_generator: Callable[[int], Duration] | None = None
    state_provider: CircuitBreakerStateProvider | None = None
    manual_control: CircuitBreakerManualControl | None = None
    _: KW_ONLY
    consecutive_failures: int | None = None
    slow_call_duration: Duration | None = None
    slow_call_ratio: float = 1.0
    sampling_count: int | None = None
    half_open_max_calls: int = 1
    probe_timeout: Duration | None = None
    handle: Failures = Exception
    ignore: Failures = ()
    handle_result: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        """Check every field, and convert them."""
        if self.break_duration is None:
            object.__setattr__(self, "break_duration", DEFAULT_BREAK_SECONDS)
        _check_count("min_throughput", self.min_throughput, _MAX_COUNT)
        _check_count("consecutive_failures", self.consecutive_failures, _MAX_COUNT)
        _check_count("sampling_count", self.sampling_count, MAX_SAMPLING_COUNT)
        _check_count("half_open_max_calls", self.half_open_max_calls, MAX_HALF_OPEN_CALLS)
        if self.sampling_count is not None and self.min_throughput > self.sampling_count:
            message = f"min_throughput must fit the window of {self.sampling_count} calls"
            _refuse("min_throughput", self.min_throughput, message)
        for name in ("break_duration", "slow_call_duration"):
            _check_duration(name, getattr(self, name), positive=False)
        for name in ("sampling_duration", "probe_timeout"):
            _check_duration(name, getattr(self, name), positive=True)
        for name in ("handle", "ignore"):
            _check_failures(name, getattr(self, name))
        for name in ("break_duration_generator", "handle_result"):
            check_callable(name, getattr(self, name))
        _check_kind("state_provider", self.state_provider, CircuitBreakerStateProvider)
        _check_kind("manual_control", self.manual_control, CircuitBreakerManualControl)
        self._convert()

    def _terms(self, clock: object = None, listener: BreakerListener | None = None) -> BreakerTerms:
        """Return what its breakers have in common, one for all that live where that is the config alone."""
        check_callable("listener", listener)
        if clock is not None or listener is not None:
            return BreakerTerms(self._convert(), self, clock, listener)
        shared = getattr(self, "_shared_terms", None)
        terms = None if shared is None else shared()
        if terms is None:
            terms = BreakerTerms(self._convert(), self, None, None)
            object.__setattr__(self, "_shared_terms", weakref.ref(terms))
        return terms

    def _convert(self) -> BreakerOptions:
        """Return the native options, made once for all breakers of this config."""
        try:
            return self._native
        except AttributeError:
            object.__setattr__(self, "_native", self._native_options())
            return self._native

    def _written(self) -> dict[str, Any]:
        """Write down what decides, as every process must agree on it; functions stay in each."""
        written: dict[str, Any] = {name: _plain(getattr(self, name)) for name in _WRITTEN}
        return written

    def _adopting(self, written: dict[str, Any]) -> Self:
        """Take over what `_written` wrote."""
        return dataclasses.replace(self, **{name: written[name] for name in _WRITTEN})

    def _native_options(self) -> BreakerOptions:
        return BreakerOptions(
            failure_ratio=_fraction("failure_ratio", self.failure_ratio),
            min_throughput=self.min_throughput,
            sampling_duration=self.sampling_duration,
            sampling_count=self.sampling_count,
            consecutive_failures=self.consecutive_failures,
            slow_call_duration=self.slow_call_duration,
            slow_call_ratio=_fraction("slow_call_ratio", self.slow_call_ratio),
            break_duration=self.break_duration,
            half_open_max_calls=self.half_open_max_calls,
            probe_timeout=self.probe_timeout,
            handle=self.handle,
            ignore=self.ignore,
            handle_result=self.handle_result,
        )


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse(name: str, value: object, message: str) -> None:
    raise ConfigurationError(f"{message}, not {value!r}", field=name, value=value)


def _check_count(name: str, value: int | None, most: int) -> None:
    if value is None and name not in {"min_throughput", "half_open_max_calls"}:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        _refuse(name, value, f"{name} must be a whole number from 1 to {most}")


def _check_duration(name: str, value: Duration | None, *, positive: bool) -> None:
    if value is not None and seconds(value, name) == 0 and positive:
        _refuse(name, value, f"{name} must be longer than 0")


def _check_failures(name: str, value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    are_types = all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)
    if not are_types and (isinstance(value, type) or not callable(value)):
        _refuse(name, value, f"{name} must be exception types or a predicate")


def check_callable(name: str, value: object) -> None:
    """Refuse what is neither None nor callable."""
    if value is not None and not callable(value):
        _refuse(name, value, f"{name} must be callable")


def _check_kind(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        _refuse(name, value, f"{name} must be a {kind.__name__}")


def _fraction(name: str, value: float) -> tuple[int, int]:
    """Read a ratio as its shortest decimal, or as the nearest fraction that the core can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        _refuse(name, value, f"{name} must be a number from 0 to 1")
    return Fraction(str(value)).limit_denominator(_MAX_DENOMINATOR).as_integer_ratio()
