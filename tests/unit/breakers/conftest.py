"""A breaker to try, and the events it told."""

import sys

import pytest

from sluicegate import CircuitBreaker, CircuitBreakerConfig, CircuitOpenError


class DownError(Exception):
    """What the far side fails with."""


class TriedBreaker(CircuitBreaker):
    """A breaker with words for what is done to it over and over."""

    __slots__ = ()

    def fail(self, times=1, error=None):
        for _ in range(times):
            failure = error or DownError("down")
            with pytest.raises(type(failure)) as raised:
                self.call(self._raise, failure)
            assert raised.value is failure

    def succeed(self, times=1):
        for _ in range(times):
            assert self.call(lambda: "fine") == "fine"

    def rejection(self):
        with pytest.raises(CircuitOpenError) as raised:
            self.call(lambda: "unreachable")
        return raised.value

    @staticmethod
    def _raise(error):
        raise error


@pytest.fixture
def switch_often():
    """Lets threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def events():
    return []


@pytest.fixture
def build(clock, events):
    """Builds breakers of ratio 0.5, at least 10 calls, a window of 10 s and a break of 1 s."""
    config = CircuitBreakerConfig(failure_ratio=0.5, min_throughput=10, break_duration=1.0)

    def build(**fields):
        listener = fields.pop("listener", lambda event: events.append(event.kind))
        return TriedBreaker(config, clock=clock, listener=listener, name="far", **fields)

    return build


@pytest.fixture
def breaker(build):
    return build()


@pytest.fixture
def half_open(build, clock):
    """Builds breakers that have been opened by ten failures, and whose break is over."""

    def half_open(**fields):
        breaker = build(**fields)
        breaker.fail(10)
        clock.advance(1.0)
        return breaker

    return half_open
