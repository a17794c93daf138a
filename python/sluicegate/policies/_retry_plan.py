"""What follows from an attempt: whether there is to be another, and when; and the sums of all calls."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sluicegate._durations import FOREVER_NS, nanoseconds
from sluicegate._errors import CircuitIsolatedError
from sluicegate._time import Clock
from sluicegate.policies import _deadline
from sluicegate.policies._instant import switch
from sluicegate.policies._retry_after import retry_after_of
from sluicegate.policies._retry_config import RetryConfig, is_meant

UNSET = object()
"""Stands where there is no result."""


@dataclass(frozen=True, slots=True)
class RetryStats:
    """What a `Retry` has done since it was made.

    Attributes:
        calls: How many calls or blocks were begun.
        retries: How many further attempts they took.
        failures: How many of them ended with an exception all the same: one not worth another attempt, or one
            that came when the attempts, the time or the budget were used up.
        waited: Seconds that the waits in between took, in sum.
    """

    calls: int
    retries: int
    failures: int
    waited: float


class Counts:
    """The sums of all calls of one policy; how many there were is counted where they begin."""

    __slots__ = ("_failures", "_lock", "_retries", "_waited")

    def __init__(self) -> None:
        self._retries = 0
        self._failures = 0
        self._waited = 0.0
        self._lock = threading.Lock()

    def retry(self, wait: float) -> None:
        """Count a further attempt and the seconds it is preceded by."""
        with self._lock:
            self._retries += 1
            self._waited += wait

    def failure(self) -> None:
        """Count a call that ended with an exception."""
        with self._lock:
            self._failures += 1

    def stats(self, calls: int) -> RetryStats:
        """Return the sums so far, of so many calls."""
        with self._lock:
            return RetryStats(calls, self._retries, self._failures, self._waited)


Tell: TypeAlias = Callable[..., None]
"""Tells the policy's listeners: `Policy._tell`."""


class Plan:
    """One call under way: its driver puts in what an attempt came to, and waits for what comes out.

    Attributes:
        error: The exception that the last attempt ended with.
        result: What it returned where it did not.
    """

    __slots__ = ("_attempts", "_clock", "_config", "_counts", "_deadline_ns", "_tell", "error", "result")

    def __init__(self, config: RetryConfig, clock: Clock, counts: Counts, tell: Tell) -> None:
        self._config = config
        self._clock = clock
        self._counts = counts
        self._tell = tell
        self._attempts = 1
        self._deadline_ns = FOREVER_NS
        self.error: Exception | None = None
        self.result: Any = UNSET
        if config.max_elapsed is not None:
            self._deadline_ns = clock.now_ns() + nanoseconds(config.max_elapsed, "max_elapsed")
        if config.budget is not None:
            config.budget.deposit()

    def waits(self) -> Iterator[int]:
        """Yield when to begin the next attempt, while the last is worth another and there is time for it."""
        config, backoff, instant = self._config, None, switch.get()
        attempts = config.max_attempts
        if instant is not None and instant.attempts is not None:
            attempts = min(attempts, instant.attempts)
        for attempt in range(attempts - 1):
            if not self._is_worth_another():
                return
            backoff = config.get_delay(attempt, previous=backoff)
            delay = max(backoff, retry_after_of(self.error)) if config.respect_retry_after else backoff
            if delay == math.inf:
                return
            wait_ns = nanoseconds(delay, "delay") if instant is None else 0
            wake_at = self._clock.now_ns() + wait_ns
            if wake_at > self._deadline_ns or not _deadline.leaves_room_for(wait_ns):
                return
            if config.budget is not None and not config.budget.try_withdraw():
                return
            if config.on_retry is not None:
                config.on_retry(attempt, delay, self.error)
            self._counts.retry(delay if instant is None else 0.0)
            self._tell("retrying", attempt=attempt, delay=delay, error=self.error)
            self.error = None
            self._attempts += 1
            yield wake_at

    def end(self) -> Any:
        """Return or raise what the last attempt came to."""
        error, self.error = self.error, None
        if error is None:
            return self.result
        self.failed(error)
        try:
            raise error
        finally:
            # Its traceback holds this frame, which must not hold it in turn.
            del error

    def failed(self, error: Exception) -> None:
        """Note that the call ends with an exception."""
        self._counts.failure()
        self._tell("failed", attempts=self._attempts, error=error)

    def _is_worth_another(self) -> bool:
        config, error = self._config, self.error
        if error is None:
            is_unfit = config.retry_result
            return is_unfit is not None and self.result is not UNSET and is_unfit(self.result)
        if isinstance(error, CircuitIsolatedError):
            # Held open by hand: no wait of ours can help.
            return False
        return is_meant(config.retry_on, error)
