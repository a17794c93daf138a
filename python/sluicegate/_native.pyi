"""The compiled core: what the package builds on, not what users import."""

from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "BreakerOptions",
    "BreakerPermit",
    "BreakerTrip",
    "CallFloor",
    "CircuitBreaker",
    "ManualClock",
    "MonotonicClock",
]

@final
class MonotonicClock:
    """The machine's monotonic clock: the scale of `time.monotonic` and of the event loops."""

    def __new__(cls) -> Self: ...
    def now(self) -> float: ...
    def now_ns(self) -> int: ...

@disjoint_base
class ManualClock:
    """A clock that stands still until it is moved."""

    def __new__(cls, start: float | timedelta | None = None) -> Self: ...
    def now(self) -> float: ...
    def now_ns(self) -> int: ...
    def advance(self, seconds: float | timedelta) -> None: ...
    def advance_ns(self, nanoseconds: int) -> None: ...
    def set(self, seconds: float | timedelta) -> None: ...

@final
class BreakerOptions:
    """A breaker's options in the core's own units, shared by the breakers of one config."""

    def __new__(
        cls,
        *,
        failure_ratio: tuple[int, int],
        min_throughput: int,
        sampling_duration: float | timedelta,
        sampling_count: int | None,
        consecutive_failures: int | None,
        slow_call_duration: float | timedelta | None,
        slow_call_ratio: tuple[int, int],
        break_duration: float | timedelta | None,
        half_open_max_calls: int,
        probe_timeout: float | timedelta | None,
        handle: object,
        ignore: object,
        handle_result: Callable[[Any], object] | None,
    ) -> Self: ...

@final
class BreakerPermit:
    """The permit to make one call; settle it with `success`, `failure` or `ignore`, once.

    As a context manager it is settled by how its block ends. One that is dropped unsettled counts as ignored.
    Settling it again does nothing.
    """

    def success(self, result: object = None) -> None:
        """Count a success; a failure where `handle_result` says so of `result`."""

    def failure(self, error: BaseException | None = None) -> None:
        """Count a failure, whatever `handle` and `ignore` would say; `error` becomes `last_failure`."""

    def ignore(self) -> None:
        """Count nothing, and free the place where the call was a probe."""

    def _raised(self, error: BaseException) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...

@final
class BreakerTrip:
    """The ticket of a trip, to be given back with the true length of the break."""

    @property
    def consecutive(self) -> int: ...

@disjoint_base
class CircuitBreaker:
    """The native part of `sluicegate.CircuitBreaker`, which adds what waits for changes of state."""

    def __new__(cls, options: BreakerOptions, clock: object) -> Self: ...
    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...
    def try_enter(self) -> BreakerPermit | None: ...
    @property
    def retry_after(self) -> float | None: ...
    def metrics_only(self) -> None: ...
    def disable(self) -> None: ...
    def _enter(self) -> BreakerPermit: ...
    def _state(self) -> int: ...
    def _snapshot(self) -> tuple[int, float, list[int]]: ...
    def _set_break(self, trip: BreakerTrip, duration: object) -> None: ...
    def _isolate(self) -> None: ...
    def _reset(self) -> None: ...

@final
class CallFloor:
    """The floor of the benches: calls that do next to nothing."""

    def __new__(cls) -> CallFloor: ...
    def empty(self) -> bool: ...
    def count(self, count: int = 1) -> bool: ...
    def clock(self) -> bool: ...
