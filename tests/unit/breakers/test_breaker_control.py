"""State providers and manual controls."""

import gc
import weakref

import pytest

from sluicegate import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerManualControl,
    CircuitBreakerStateProvider,
    CircuitIsolatedError,
    CircuitState,
    ConfigurationError,
)


def test_a_provider_without_a_breaker_reads_closed():
    provider = CircuitBreakerStateProvider()
    assert provider.circuit_state is CircuitState.CLOSED
    assert provider.time_in_state == 0.0
    assert provider.snapshot is None


def test_a_provider_reads_its_breaker(clock):
    provider = CircuitBreakerStateProvider()
    breaker = CircuitBreaker(state_provider=provider, clock=clock)
    breaker.isolate()
    clock.advance(2.5)
    assert provider.circuit_state is CircuitState.ISOLATED
    assert provider.time_in_state == 2.5
    assert provider.snapshot == breaker.snapshot()


def test_a_provider_takes_no_second_breaker():
    config = CircuitBreakerConfig(state_provider=CircuitBreakerStateProvider())
    CircuitBreaker(config)
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreaker(config)
    assert raised.value.field == "state_provider"


def test_a_control_isolates_and_frees_all_its_breakers():
    control = CircuitBreakerManualControl()
    breakers = [CircuitBreaker(manual_control=control) for _ in range(2)]
    control.isolate("maintenance")
    assert control.is_isolated
    for breaker in breakers:
        with pytest.raises(CircuitIsolatedError) as raised:
            breaker.call(print)
        assert raised.value.reason == "maintenance"
    control.reset()
    assert not control.is_isolated
    assert [breaker.state for breaker in breakers] == [CircuitState.CLOSED] * 2


def test_a_breaker_built_under_an_isolated_control_starts_isolated():
    control = CircuitBreakerManualControl()
    control.isolate("maintenance")
    breakers = [CircuitBreaker(manual_control=control) for _ in range(2)]
    for breaker in breakers:
        with pytest.raises(CircuitIsolatedError, match="maintenance"):
            breaker.call(print)
    control.reset()
    assert [breaker.state for breaker in breakers] == [CircuitState.CLOSED] * 2


def test_a_control_keeps_no_breaker_alive():
    control = CircuitBreakerManualControl()
    gone = weakref.ref(CircuitBreaker(manual_control=control))
    gc.collect()
    assert gone() is None
    control.isolate()


def test_listeners_may_use_the_control_that_they_are_told_of():
    control = CircuitBreakerManualControl()
    seen = []

    def listener(event):
        seen.append((event.kind, control.is_isolated))
        if event.kind == "isolated":
            control.reset()

    breaker = CircuitBreaker(manual_control=control, listener=listener)
    control.isolate()
    assert seen == [("isolated", True), ("closed", False)]
    assert breaker.state is CircuitState.CLOSED


def test_a_control_that_is_reset_while_it_isolates_a_new_breaker_leaves_it_closed():
    class Slow(CircuitBreaker):
        """Is isolated when its control no longer is, as where another thread resets that meanwhile."""

        def isolate(self, reason=None):
            control.reset()
            super().isolate(reason)

    control = CircuitBreakerManualControl()
    control.isolate("maintenance")
    assert Slow(manual_control=control).state is CircuitState.CLOSED
