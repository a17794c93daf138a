"""Trouble on purpose: faults, delays and wrong answers, the same ones in every run."""

import random
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sluicegate._durations import Duration, nanoseconds
from sluicegate._errors import ConfigurationError
from sluicegate._time import Clock, resolve_clock, sleep_until, sleep_until_blocking
from sluicegate.policies._policy import Dressing

Fault: TypeAlias = type[Exception] | Callable[[], Exception]
Span: TypeAlias = Duration | tuple[Duration, Duration]


@dataclass(frozen=True, slots=True)
class ChaosStats:
    """What a `Chaos` has done since it was made.

    Attributes:
        calls: How many calls went through it while it was enabled.
        delayed: How many it delayed.
        faults: How many it failed.
        outcomes: How many it answered itself.
    """

    calls: int
    delayed: int
    faults: int
    outcomes: int


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of one call."""

    delay_ns: int = 0
    has_fault: bool = False
    has_outcome: bool = False


class Chaos(Dressing):
    """Delays calls, fails them and answers in their place, at the rates given, by a seed of its own.

    For tests of what should bear it: put it innermost in a `Pipeline`, or around a function. The fate of the
    n-th call follows from the seed and n alone, however many threads and tasks make them: whatever the rates
    are, every call takes the same numbers from the generator. A delay comes before a fault, a fault before an
    outcome. After the chaos strategies of Polly, formerly Simmy.

    Args:
        seed: Whatever `random.Random` takes: the same seed, the same trouble.
        fault: What is raised in a call's place: an exception type, or a function that returns an exception.
        fault_rate: The share of calls that it is raised for, from 0 to 1.
        latency: Seconds, or a `timedelta`, before a call; a pair of them for any in between.
        latency_rate: The share of calls that are delayed.
        outcome: A function that returns the result in a call's place, without the call's being made.
        outcome_rate: The share of calls that it is asked for.
        enabled: Whether there is trouble at all; the attribute may be set at any time.
        name: What telemetry calls it.
        clock: What delays are measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: An option makes no sense.

    Example:
        >>> from sluicegate import Pipeline, Retry
        >>> from sluicegate.testing import Chaos, ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> chaos = Chaos(7, fault=ConnectionError, fault_rate=0.5, latency=(0.1, 0.9), clock=clock)
        >>> pipeline = Pipeline(Retry(max_attempts=10, clock=clock), chaos)
        >>> [pipeline.call(len, "word") for _ in range(100)] == [4] * 100
        True
        >>> chaos.stats().faults > 50, chaos.stats().delayed == chaos.stats().calls
        (True, True)
    """

    def __init__(
        self,
        seed: int | float | str | bytes | None = 0,
        *,
        fault: Fault | None = None,
        fault_rate: float = 1.0,
        latency: Span = 0.0,
        latency_rate: float = 1.0,
        outcome: Callable[[], object] | None = None,
        outcome_rate: float = 1.0,
        enabled: bool = True,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        for field, rate in (
            ("fault_rate", fault_rate),
            ("latency_rate", latency_rate),
            ("outcome_rate", outcome_rate),
        ):
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                _refuse(field, rate, "a number from 0 to 1")
        if isinstance(fault, BaseException) or not (fault is None or callable(fault)):
            _refuse("fault", fault, "an exception type, or a function that returns an exception")
        if not (outcome is None or callable(outcome)):
            _refuse("outcome", outcome, "a function that returns the result")
        spans = latency if isinstance(latency, tuple) else (latency, latency)
        try:
            self._least_ns, self._most_ns = (nanoseconds(span, "latency") for span in spans)
        except ValueError as error:
            raise ConfigurationError(str(error), field="latency", value=latency) from error
        if self._least_ns > self._most_ns:
            _refuse("latency", latency, "a pair of which the second is no shorter than the first")
        self._rates = (latency_rate, fault_rate if fault else 0.0, outcome_rate if outcome else 0.0)
        self._fault = fault
        self._outcome = outcome
        self.enabled = enabled
        self.name = name
        self.clock = resolve_clock(clock)
        self._dice = random.Random(seed)  # noqa: S311 - trouble that can be had again, no secret
        self._lock = threading.Lock()
        self._counts = [0, 0, 0, 0]

    def __repr__(self) -> str:
        latency, fault, outcome = self._rates
        rates = f"latency_rate={latency}, fault_rate={fault}, outcome_rate={outcome}"
        return f"Chaos({rates}, name={self.name!r})"

    def stats(self) -> ChaosStats:
        """Return what it has done so far."""
        with self._lock:
            return ChaosStats(*self._counts)

    def _draw(self) -> _Fate:
        if not self.enabled:
            return _Fate()
        with self._lock:
            for_delay, for_fault, for_outcome, between = (self._dice.random() for _ in range(4))
            latency, fault, outcome = self._rates
            is_delayed = for_delay < latency and self._most_ns > 0
            has_fault = for_fault < fault
            has_outcome = not has_fault and for_outcome < outcome
            for index, happens in enumerate((True, is_delayed, has_fault, has_outcome)):
                self._counts[index] += happens
        delay_ns = self._least_ns + int(between * (self._most_ns - self._least_ns)) if is_delayed else 0
        return _Fate(delay_ns, has_fault, has_outcome)

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def troubled(*args: Any, **kwargs: Any) -> Any:
            fate = self._draw()
            if fate.delay_ns:
                sleep_until_blocking(self.clock, self.clock.now_ns() + fate.delay_ns)
            return self._end(fate, func, args, kwargs)

        return troubled

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        async def troubled(*args: Any, **kwargs: Any) -> Any:
            fate = self._draw()
            if fate.delay_ns:
                await sleep_until(self.clock, self.clock.now_ns() + fate.delay_ns)
            result = self._end(fate, func, args, kwargs)
            return await result if isinstance(result, Awaitable) else result

        return troubled

    def _end(self, fate: _Fate, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if fate.has_fault and self._fault is not None:
            raise self._fault()
        if fate.has_outcome and self._outcome is not None:
            return self._outcome()
        return func(*args, **kwargs)


def _refuse(field: str, value: object, wanted: str) -> None:
    raise ConfigurationError(f"{field} must be {wanted}, not {value!r}", field=field, value=value)
