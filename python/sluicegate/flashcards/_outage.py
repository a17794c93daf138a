"""The breaker of the API, and how words wait while it is open instead of failing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluicegate import (
    APIError,
    AttemptTimeoutError,
    BreakerEvent,
    CircuitBreaker,
    CircuitOpenError,
    CircuitState,
)

from ._hold import Clock, pause
from ._log import LOG
from ._wire import UnansweredError, is_outage

BREAK_DURATION = 30.0
"""Seconds the breaker stays open, and words wait."""

SAMPLING_DURATION = 30.0
"""Seconds over which failures are counted: at a request a second, ten would hold too few to judge by."""

CONSECUTIVE_FAILURES = 10
"""Failures in a row that open it however slowly they come."""

MAX_TRIPS = 3
"""How many breaks in a row are waited for; a probe that fails after the last one ends the run."""

LOOK_AGAIN = 0.5
"""Seconds after which a word that was refused asks again how the breaker stands."""

T = TypeVar("T")


class OutageError(Exception):
    """The far side was still out of order after `MAX_TRIPS` breaks: the run ends."""


class Outages:
    """What keeps calls from a far side that is out of order.

    Args:
        waits: whether a call waits while the breaker is open; False lets the refusal through.
        clock: for tests; breaks pass on it.

    Attributes:
        breaker: what the attempts of a call are to pass.
    """

    def __init__(self, *, waits: bool, clock: Clock | None = None) -> None:
        self.breaker = CircuitBreaker(
            name="api",
            clock=clock,
            break_duration=BREAK_DURATION,
            sampling_duration=SAMPLING_DURATION,
            consecutive_failures=CONSECUTIVE_FAILURES,
            handle=_shows_an_outage,
            ignore=_shows_nothing,
            listener=_log_change,
        )
        self._waits = waits
        self._clock = clock
        self._probing = asyncio.Lock()

    async def outlast(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call with its retries, and wait out the breaks of the breaker as often as it takes.

        Once the breaker is open, one word waits for the end of the break and tries; all others stand behind
        it and cost nothing, least of all permits.

        Raises:
            OutageError: it is still open after `MAX_TRIPS` breaks.
            CircuitOpenError: it is open, and is not waited for.
        """
        if not self._waits:
            return await call()
        while True:
            if self._is_closed():
                with contextlib.suppress(CircuitOpenError):
                    return await call()
            async with self._probing:
                while not self._is_closed():
                    await self._wait_for_the_break()
                    try:
                        return await call()
                    except CircuitOpenError:
                        # It opened again, or the probe is out of a word that had begun its retries before.
                        await pause(LOOK_AGAIN, self._clock)

    def _is_closed(self) -> bool:
        return self.breaker.state is CircuitState.CLOSED

    async def _wait_for_the_break(self) -> None:
        if self.breaker.snapshot().consecutive_trips > MAX_TRIPS:
            last = self.breaker.last_failure
            raise OutageError(f"the API was still out of order after {MAX_TRIPS} breaks: {last}") from last
        if self.breaker.state is CircuitState.OPEN:
            await pause(self.breaker.retry_after or 0.0, self._clock)


def _log_change(event: BreakerEvent) -> None:
    if event.kind == "opened":
        LOG.warning("the API is out of order: %s; nothing is sent for a while", event.breaker.last_failure)
    else:
        LOG.info("the breaker is %s", event.to_state.value)


def _shows_an_outage(error: BaseException) -> bool:
    """What the breaker counts: 408, 5xx, timeouts and connection errors; never 429 or any other 4xx."""
    return is_outage(error) or isinstance(error, AttemptTimeoutError | UnansweredError)


def _shows_nothing(error: BaseException) -> bool:
    """What the breaker leaves out, since a refusal tells neither of health nor of its lack."""
    return isinstance(error, APIError) and not is_outage(error)
