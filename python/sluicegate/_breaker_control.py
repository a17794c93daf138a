"""Hands and eyes for circuit breakers: isolating them from outside, and reading one of them."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from sluicegate._errors import ConfigurationError
from sluicegate._events import CircuitState

if TYPE_CHECKING:
    from sluicegate._circuit_breaker import BreakerSnapshot, CircuitBreaker


class CircuitBreakerStateProvider:
    """Reads one circuit breaker for those who do not hold it; given to its config as `state_provider`.

    Example:
        >>> from sluicegate import CircuitBreaker, CircuitBreakerStateProvider
        >>> provider = CircuitBreakerStateProvider()
        >>> breaker = CircuitBreaker(state_provider=provider)
        >>> breaker.isolate()
        >>> provider.circuit_state
        <CircuitState.ISOLATED: 'isolated'>
    """

    def __init__(self) -> None:
        self._breaker: CircuitBreaker | None = None
        self._lock = threading.Lock()

    @property
    def circuit_state(self) -> CircuitState:
        """The breaker's state, CLOSED while there is none."""
        breaker = self._breaker
        return CircuitState.CLOSED if breaker is None else breaker.state

    @property
    def time_in_state(self) -> float:
        """Seconds the breaker has been in its state, 0.0 while there is none."""
        breaker = self._breaker
        return 0.0 if breaker is None else breaker.snapshot().time_in_state

    @property
    def snapshot(self) -> BreakerSnapshot | None:
        """The breaker's figures, None while there is none."""
        breaker = self._breaker
        return None if breaker is None else breaker.snapshot()

    def _attach(self, breaker: CircuitBreaker) -> None:
        with self._lock:
            if self._breaker is not None:
                message = "a state provider reads one breaker, and this one already does"
                raise ConfigurationError(message, field="state_provider", value=self)
            self._breaker = breaker


class CircuitBreakerManualControl:
    """Isolates and resets circuit breakers by hand, as many as were given it as `manual_control`.

    It does not keep a breaker alive. One that is built while the control is isolated starts isolated.

    Example:
        >>> from sluicegate import CircuitBreaker, CircuitBreakerManualControl
        >>> control = CircuitBreakerManualControl()
        >>> breaker = CircuitBreaker(manual_control=control)
        >>> control.isolate("maintenance")
        >>> breaker.try_enter() is None
        True
        >>> control.reset()
        >>> breaker.state
        <CircuitState.CLOSED: 'closed'>
    """

    def __init__(self) -> None:
        self._breakers: weakref.WeakSet[CircuitBreaker] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._isolated = False
        self._reason: str | None = None

    @property
    def is_isolated(self) -> bool:
        """Whether it was isolated and not reset since."""
        return self._isolated

    def isolate(self, reason: str | None = None) -> None:
        """Hold every breaker open until `reset`; `reason` travels with their refusals."""
        for breaker in self._turn(isolated=True, reason=reason):
            breaker.isolate(reason)

    def reset(self) -> None:
        """Close every breaker and forget its window."""
        for breaker in self._turn(isolated=False, reason=None):
            breaker.reset()

    def _turn(self, *, isolated: bool, reason: str | None) -> list[CircuitBreaker]:
        # What the breakers' listeners do is none of the lock's business, so they are told outside it.
        with self._lock:
            self._isolated = isolated
            self._reason = reason
            return list(self._breakers)

    def _attach(self, breaker: CircuitBreaker) -> None:
        with self._lock:
            self._breakers.add(breaker)
            isolated, reason = self._isolated, self._reason
        if isolated:
            breaker.isolate(reason)
            if not self._isolated:
                breaker.reset()
