"""Concurrency that limits itself: as many calls at once as the far side takes without queueing."""

import threading
from typing import Literal

from sluicegate._durations import Duration
from sluicegate._errors import ConfigurationError, RateLimitError, RejectedError
from sluicegate._time import Clock
from sluicegate.policies._crowd import Crowd, check_count
from sluicegate.policies._laws import Aimd, Correlation, Law
from sluicegate.policies._retry_config import Errors, is_meant, says_which_errors


class AdaptiveConcurrency(Crowd):
    """Lets as many calls run at once as measured latency says is well, and refuses or queues the others.

    With "correlation" the limit moves once a second at most, after 50 calls at least: down where calls take
    longer than they used to, or where more of them at once bring no more throughput; up where neither shows
    and the limit is in use. Latency alone, as in Gradient2 of Netflix, drifts up with a load that grows
    slowly, because its baseline grows with it; the correlation of throughput with concurrency does not. The
    limit swings about what the far side takes, from less than half of it to half as much again. With
    "aimd" the limit grows by one with every success that makes use of it, and shrinks by a tenth with every
    call that meets `overload`: simple, and good where the far side says when it has enough.

    Failures other than `overload`, and cancelled calls, move nothing. Serves threads, asyncio and trio at the
    same time, as a `Bulkhead` does. After failsafe-go's adaptive limiter, and AIMD in TCP; one to two
    microseconds a call, and a few hundred for the one call a second that moves the limit.

    Args:
        initial: The limit to begin with.
        min: What it never falls below, at least 1.
        max: What it never rises above.
        law: "correlation" or "aimd".
        overload: The exceptions by which the far side says that it has enough, types or a predicate.
        max_queue: How many calls may wait where the limit is reached; 0 refuses at once.
        max_wait: How long they wait, in seconds or as a `timedelta`; None for any time.
        name: What its errors call it.
        clock: What latency is measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: An option makes no sense.

    Example:
        >>> adaptive = AdaptiveConcurrency(initial=2, law="aimd")
        >>> def overloaded():
        ...     raise TimeoutError
        >>> [adaptive.call(len, "far side") for _ in range(3)], adaptive.limit
        ([8, 8, 8], 3)
        >>> for _ in range(12):
        ...     try:
        ...         adaptive.call(overloaded)
        ...     except TimeoutError:
        ...         pass
        >>> adaptive.limit
        1
    """

    def __init__(
        self,
        initial: int = 20,
        min: int = 1,
        max: int = 1000,
        *,
        law: Literal["correlation", "aimd"] = "correlation",
        overload: Errors = (TimeoutError, RateLimitError, RejectedError),
        max_queue: int = 0,
        max_wait: Duration | None = None,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        for field, value, least in (("min", min, 1), ("max", max, min), ("initial", initial, min)):
            check_count(field, value, least)
        if initial > max:
            message = f"initial must be at most max, {max}, not {initial}"
            raise ConfigurationError(message, field="initial", value=initial)
        if law not in {"correlation", "aimd"}:
            message = f'law must be "correlation" or "aimd", not {law!r}'
            raise ConfigurationError(message, field="law", value=law)
        if not says_which_errors(overload):
            message = f"overload must be exception types or a predicate, not {overload!r}"
            raise ConfigurationError(message, field="overload", value=overload)
        super().__init__(initial, max_queue, max_wait, name, clock)
        self.min = min
        self.max = max
        self.law = law
        self._overload = overload
        self._law: Law = Aimd() if law == "aimd" else Correlation()
        self._exact = float(initial)
        self._measuring = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"AdaptiveConcurrency({self.limit}, min={self.min}, max={self.max}, law={self.law!r}, "
            f"name={self.name!r})"
        )

    @property
    def limit(self) -> int:
        """How many calls may run at once now."""
        return self._places.limit

    def _begin(self) -> tuple[int, int]:
        return self.clock.now_ns(), self._places.in_use

    def _end(self, begun: tuple[int, int], error: BaseException | None) -> None:
        try:
            self._measure(begun, error)
        finally:
            self._places.leave()

    def _measure(self, begun: tuple[int, int], error: BaseException | None) -> None:
        if error is None:
            began_ns, in_use = begun
            now_ns = self.clock.now_ns()
            with self._measuring:
                self._move(self._law.succeeded(self._exact, (now_ns - began_ns) / 1e9, in_use, now_ns / 1e9))
        elif isinstance(error, Exception) and is_meant(self._overload, error):
            with self._measuring:
                self._move(self._law.dropped(self._exact))

    def _move(self, limit: float) -> None:
        """Take a new limit over; the lock is held."""
        self._exact = float(min(max(limit, self.min), self.max))
        if (whole := int(self._exact)) != self._places.limit:
            self._places.resize(whole)
