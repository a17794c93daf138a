"""The compiled core: what the package builds on, not what users import."""

from collections.abc import Callable, Coroutine, Generator, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeAlias, TypeVar, final

from typing_extensions import disjoint_base

from sluicegate._breaker_config import CircuitBreakerConfig
from sluicegate._events import BreakerListener

_P = ParamSpec("_P")
_R = TypeVar("_R")

__all__ = [
    "Acquire",
    "BreakerGate",
    "BreakerOptions",
    "BreakerPermit",
    "BreakerTerms",
    "BreakerTrip",
    "CallFloor",
    "CircuitBreaker",
    "CompositeRateLimiter",
    "DroppedBreakers",
    "FirstAttempt",
    "FirstCall",
    "KeyedRateLimiter",
    "KeyedRateLimiterStats",
    "ManualClock",
    "MonotonicClock",
    "Quota",
    "RateLimitResult",
    "RateLimiter",
    "RateLimiterStats",
    "Reservation",
    "RetryBudget",
    "ShardedRateLimiter",
    "SharedBreakers",
    "Wait",
    "inspect_segment",
]

_Key: TypeAlias = str | bytes | int | tuple[_Key, ...]

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
class BreakerGate:
    """What a decorated function passes: `+gate` lets a call in, `gate[admitted] = result` settles it."""

    def __new__(cls, breaker: CircuitBreaker) -> Self: ...
    def __pos__(self) -> BreakerPermit | int: ...
    def __setitem__(self, admitted: BreakerPermit | int, result: object, /) -> None: ...

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
class BreakerTerms:
    """What breakers of one config have in common: its options, the config itself, clock and listener."""

    def __new__(
        cls,
        options: BreakerOptions,
        config: CircuitBreakerConfig,
        clock: object,
        listener: BreakerListener | None,
    ) -> Self: ...

@final
class BreakerTrip:
    """The ticket of a trip, to be given back with the true length of the break."""

    @property
    def consecutive(self) -> int: ...

@disjoint_base
class CircuitBreaker:
    """The native part of `sluicegate.CircuitBreaker`, which adds what waits for changes of state."""

    def __new__(
        cls,
        terms: BreakerTerms,
        shared: tuple[Path, bytes] | tuple[SharedBreakers, _Key] | None = None,
    ) -> Self: ...
    @property
    def _config(self) -> CircuitBreakerConfig: ...
    @property
    def _listener(self) -> BreakerListener | None: ...
    @property
    def _is_shared(self) -> bool: ...
    def call(self, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def try_enter(self) -> BreakerPermit | None: ...
    @property
    def retry_after(self) -> float | None: ...
    def metrics_only(self) -> None: ...
    def disable(self) -> None: ...
    def _enter(self) -> BreakerPermit: ...
    def _admit(self) -> BreakerPermit | int: ...
    def _returned(self, admitted: BreakerPermit | int, result: object) -> None: ...
    def _raised(self, admitted: BreakerPermit | int, error: BaseException) -> None: ...
    def _state(self) -> int: ...
    def _snapshot(self) -> tuple[int, float, list[int]]: ...
    def _set_break(self, trip: BreakerTrip, duration: object) -> None: ...
    def _isolate(self) -> None: ...
    def _reset(self) -> None: ...

@final
class SharedBreakers:
    """The states of a registry's breakers, which other processes see as well."""

    def __new__(cls, shared: tuple[Path, bytes], max_keys: int, clock: object = None) -> Self: ...
    def __len__(self) -> int: ...

@final
class DroppedBreakers:
    """The breakers that a registry has dropped: how many, and what they had counted."""

    def __new__(cls) -> Self: ...
    def take(self, live: dict[Any, Any], key: object) -> CircuitBreaker | None:
        """Take the breaker of `key` out of `live` where nobody else holds it and it is idle."""

    def figures(self, live: dict[Any, Any]) -> tuple[int, int, list[int]]:
        """Count the breakers in `live` and those dropped, and add up the totals of all of them."""

@final
class CallFloor:
    """The floor of the benches: calls that do next to nothing."""

    def __new__(cls, lines: int = 1) -> CallFloor: ...
    def empty(self) -> bool: ...
    def count(self, count: int = 1) -> bool: ...
    def through(self, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def hash(self, key: str) -> bool: ...
    def look(self, key: str) -> bool: ...
    def clock(self) -> bool: ...

@final
class Quota:
    """A validated rate and burst."""

    def __new__(cls, permits: int, nanoseconds: int, burst: int) -> Self: ...
    @staticmethod
    def unlimited() -> Quota: ...

@final
class RateLimitResult:
    """What a limiter says of a request; true where it was allowed.

    Attributes:
        allowed: Whether the permits were granted.
        limit: The burst; of several bandwidths that of the one with the least remaining.
        remaining: Whole permits left, 0 in debt.
        retry_after: Seconds after which the same request succeeds; 0.0 where allowed, inf where it never can.
            Exact to the nanosecond below 97 days; beyond that the next float that is long enough.
        reset_after: Seconds until nothing is owed any more.
    """

    def __new__(
        cls, allowed: bool, limit: int, remaining: int, retry_after: float, reset_after: float
    ) -> Self: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def limit(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def retry_after(self) -> float: ...
    @property
    def reset_after(self) -> float: ...
    def _refusal(self) -> tuple[str, float, int, int]: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[bool, int, int, float, float]]: ...

@disjoint_base
class RateLimiterStats:
    """What a limiter has done since it was built; calls and permits are counted apart.

    Attributes:
        allowed: Calls that were granted.
        denied: Calls that were refused.
        allowed_permits: Permits granted.
        denied_permits: Permits refused.
        returned_permits: Whole permits given back by cancelled and committed reservations.
        waiting: Callers that wait for their turn now.
        waited: Seconds spent waiting by all who are done with it.
    """

    @property
    def allowed(self) -> int: ...
    @property
    def denied(self) -> int: ...
    @property
    def allowed_permits(self) -> int: ...
    @property
    def denied_permits(self) -> int: ...
    @property
    def returned_permits(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def waited(self) -> float: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class KeyedRateLimiterStats(RateLimiterStats):
    """What a keyed limiter has done, over all keys, and how full its table is.

    Attributes:
        overflowed: Decisions made by the overflow, because every slot in a key's reach was in debt.
        slots: Keys that the table has room for.
        slots_in_use: Keys that owe something now.
    """

    @property
    def overflowed(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def slots_in_use(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class Acquire(Coroutine[Any, Any, RateLimitResult]):
    """The awaitable of `acquire`: it draws when it is awaited."""

    def __await__(self) -> Generator[Any, Any, RateLimitResult]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any) -> Any: ...
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any: ...
    def close(self) -> None: ...

@final
class Reservation:
    """Permits charged already; `TokenReservation` wraps it."""

    @property
    def count(self) -> int: ...
    @property
    def reserved_at(self) -> float: ...
    @property
    def execute_at(self) -> float: ...
    @property
    def execute_at_ns(self) -> int: ...
    @property
    def delay(self) -> float: ...
    @property
    def settled(self) -> bool: ...
    def delay_execution(self, seconds: float | timedelta) -> None: ...
    def cancel(self) -> int: ...
    def commit(self, actual: int | None = None) -> int: ...

@final
class Wait:
    """Permits charged for somebody who waits until he may use them; given back unless their time comes."""

    @property
    def execute_at_ns(self) -> int: ...
    def granted(self) -> RateLimitResult: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

@disjoint_base
class RateLimiter:
    """The limiter's decisions; `sluicegate.RateLimiter` adds the waiting."""

    def __new__(
        cls, quotas: list[Quota], clock: object = None, shared: tuple[Path, bytes] | None = None
    ) -> Self: ...
    def try_acquire(self, count: int = 1) -> bool: ...
    def attempt(self, count: int = 1) -> RateLimitResult: ...
    def peek(self, count: int = 1) -> RateLimitResult: ...
    def acquire(self, count: int = 1, timeout: float | timedelta | None = None) -> Acquire: ...
    def acquire_blocking(
        self, count: int = 1, timeout: float | timedelta | None = None
    ) -> RateLimitResult: ...
    def stats(self) -> RateLimiterStats: ...
    def _reserve(self, count: int = 1, max_wait: float | timedelta | None = None) -> Reservation | None: ...
    def _update(self, quotas: list[Quota]) -> None: ...

@disjoint_base
class KeyedRateLimiter:
    """The limiter's decisions; `sluicegate.KeyedRateLimiter` adds the waiting."""

    def __new__(
        cls,
        quotas: list[Quota],
        max_keys: int,
        clock: object = None,
        shared: tuple[Path, bytes] | None = None,
    ) -> Self: ...
    def try_acquire(self, key: _Key, count: int = 1) -> bool: ...
    def attempt(self, key: _Key, count: int = 1) -> RateLimitResult: ...
    def peek(self, key: _Key, count: int = 1) -> RateLimitResult: ...
    def acquire(self, key: _Key, count: int = 1, timeout: float | timedelta | None = None) -> Acquire: ...
    def acquire_blocking(
        self, key: _Key, count: int = 1, timeout: float | timedelta | None = None
    ) -> RateLimitResult: ...
    def stats(self) -> KeyedRateLimiterStats: ...
    def __sizeof__(self) -> int: ...
    def _reserve(
        self, key: _Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> Reservation | None: ...
    def _update(self, quotas: list[Quota], configs: tuple[object, ...]) -> None: ...

@disjoint_base
class ShardedRateLimiter:
    """The sharded limiter's decisions; `sluicegate.ShardedRateLimiter` adds the waiting."""

    def __new__(cls, quota: Quota, shards: int, clock: object = None) -> Self: ...
    def try_acquire(self, key: _Key, count: int = 1) -> bool: ...
    def attempt(self, key: _Key, count: int = 1) -> RateLimitResult: ...
    def peek(self, key: _Key, count: int = 1) -> RateLimitResult: ...
    def acquire(self, key: _Key, count: int = 1, timeout: float | timedelta | None = None) -> Acquire: ...
    def acquire_blocking(
        self, key: _Key, count: int = 1, timeout: float | timedelta | None = None
    ) -> RateLimitResult: ...
    def stats(self) -> RateLimiterStats: ...
    def balance(self) -> list[int]:
        """Read how many calls each shard has granted, by the shard that their keys come to first."""

    def _reserve(
        self, key: _Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> Reservation | None: ...
    def _update(self, quota: Quota) -> None: ...

@disjoint_base
class CompositeRateLimiter:
    """The composite's decisions; `sluicegate.CompositeRateLimiter` adds the waiting."""

    def __new__(cls, units: Sequence[tuple[str, RateLimiter]]) -> Self: ...
    def try_acquire(self, **counts: int) -> bool: ...
    def attempt(self, **counts: int) -> RateLimitResult: ...
    def peek(self, **counts: int) -> RateLimitResult: ...
    def _reserve(
        self, counts: dict[str, int], max_wait: float | timedelta | None = None
    ) -> list[Reservation] | RateLimitResult: ...
    def _charge(
        self, counts: dict[str, int], timeout: float | timedelta | None = None
    ) -> Wait | RateLimitResult: ...

def inspect_segment(path: Path) -> tuple[str, bytes] | None:
    """Read what a segment says of itself: its kind and configuration; None where there is none."""

@disjoint_base
class RetryBudget:
    """The native part of `sluicegate.RetryBudget`, which adds its options."""

    def __new__(cls, ratio: tuple[int, int], reserve: Quota, clock: object) -> Self: ...
    def deposit(self) -> None:
        """Note a call, which earns its share of a retry."""

    def try_withdraw(self) -> bool:
        """Take one retry, or say that there is none left."""

    @property
    def available(self) -> int:
        """How many retries could be taken now, those of the reserve included."""

@disjoint_base
class FirstAttempt:
    """The native part of `sluicegate.Retry`, which adds what comes after a failure."""

    def __new__(cls, is_simple: bool) -> Self: ...
    def call(self, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call `func` until it succeeds or is not worth another attempt.

        Returns:
            What the last attempt returned. Where `func` returns an awaitable, one that does all this when it
            is awaited.
        """

    def _begin(self) -> None: ...
    @property
    def _calls(self) -> int: ...

@final
class FirstCall:
    """A function whose calls are retried: `+first` counts one more call, and gives what to call."""

    def __new__(cls, retry: FirstAttempt, func: Callable[_P, _R]) -> Self: ...
    def __pos__(self) -> Callable[..., Any]: ...
