"""What a circuit breaker is in, and what it tells its listener."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sluicegate._circuit_breaker import CircuitBreaker

_log = logging.getLogger("sluicegate")


class CircuitState(StrEnum):
    """What a circuit breaker does with calls.

    Example:
        >>> CircuitState.HALF_OPEN == "half_open"
        True
    """

    CLOSED = "closed"
    """Lets calls through, records them, trips."""
    OPEN = "open"
    """Refuses calls until the break is over."""
    HALF_OPEN = "half_open"
    """Lets a few probes through and waits for their verdict."""
    ISOLATED = "isolated"
    """Held open by hand."""
    METRICS_ONLY = "metrics_only"
    """Lets calls through and records them; never trips."""
    DISABLED = "disabled"
    """Lets calls through and records nothing."""


STATES = tuple(CircuitState)
"""The states in the order of their native numbers."""

BreakerEventKind = Literal[
    "opened", "half_opened", "closed", "isolated", "metrics_only", "disabled", "exceeded"
]

_KINDS: dict[CircuitState, BreakerEventKind] = {
    CircuitState.OPEN: "opened",
    CircuitState.HALF_OPEN: "half_opened",
    CircuitState.CLOSED: "closed",
    CircuitState.ISOLATED: "isolated",
    CircuitState.METRICS_ONLY: "metrics_only",
    CircuitState.DISABLED: "disabled",
}


@dataclass(frozen=True, slots=True)
class BreakerEvent:
    """A change of a circuit breaker's state.

    Attributes:
        kind: "opened", "half_opened", "closed", "isolated", "metrics_only" or "disabled", after the new
            state; "exceeded" where a threshold was passed for the first time in metrics-only.
        breaker: The breaker it happened to.
        from_state: The state before.
        to_state: The state after; the same for "exceeded".
        at: When it happened, in seconds on the scale of the breaker's clock.
    """

    kind: BreakerEventKind
    breaker: "CircuitBreaker"
    from_state: CircuitState
    to_state: CircuitState
    at: float


BreakerListener = Callable[[BreakerEvent], object]


def breaker_event(
    breaker: "CircuitBreaker", from_state: CircuitState, to_state: CircuitState, at: float
) -> BreakerEvent:
    """Name a change of state by where it leads."""
    kind = "exceeded" if from_state is to_state else _KINDS[to_state]
    return BreakerEvent(kind, breaker, from_state, to_state, at)


def notify(listener: BreakerListener, event: BreakerEvent) -> None:
    """Call `listener`, and log what it raises: a listener's trouble is not the call's."""
    try:
        listener(event)
    except Exception:
        _log.exception("the listener of %r failed at %r", event.breaker, event.kind)


class Listeners:
    """Several listeners as one: what one of them raises is logged, and keeps no other from hearing."""

    __slots__ = ("_all", "_changing")

    def __init__(self, *listeners: BreakerListener) -> None:
        self._all = listeners
        self._changing = Lock()

    def __call__(self, event: BreakerEvent) -> None:
        """Tell each of them, those first who came first."""
        for listener in self._all:
            notify(listener, event)

    def add(self, listener: BreakerListener) -> Callable[[], None]:
        """Tell one more, until what is returned is called."""
        with self._changing:
            self._all = (*self._all, listener)
        return partial(self._remove, listener)

    def _remove(self, listener: BreakerListener) -> None:
        with self._changing:
            self._all = tuple(known for known in self._all if known is not listener)
