"""A breaker lives as a slow and obvious one does, whatever is done to it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from obvious_breaker import (
    CLOSED,
    DISABLED,
    ISOLATED,
    METRICS_ONLY,
    OPEN,
    TICKS_PER_SECOND,
    assert_same,
    fields_of,
    obvious_of,
    options,
)

from sluicegate import CircuitBreaker
from sluicegate.testing import ManualClock


class Lives(RuleBasedStateMachine):
    """The breaker and the obvious one, side by side."""

    @initialize(options=options)
    def build(self, options):
        self.now, self.clock, self.events, self.permits = 0, ManualClock(), [], []
        self.obvious = obvious_of(options)
        self.breaker = CircuitBreaker(
            **fields_of(options), clock=self.clock, listener=lambda event: self.events.append(event.kind)
        )

    @rule(ticks=st.integers(0, 12) | st.sampled_from([63, 64, 65, 300, 2048]))
    def wait(self, ticks):
        self.now += ticks
        self.clock.advance_ns(ticks * 100_000_000)

    @rule()
    def enter(self):
        permit, ticket = self.breaker.try_enter(), self.obvious.enter(self.now)
        assert (permit is None) == (ticket is None)
        if permit is not None:
            self.permits.append((permit, ticket))

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]))
    def settle(self, data, failed):
        permit, ticket = self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1)))
        self.obvious.settle(ticket, failed, self.now)
        if failed is None:
            permit.ignore()
        elif failed:
            permit.failure()
        else:
            permit.success()

    @rule()
    def isolate(self):
        self.force("isolate", ISOLATED, "isolated")

    @rule()
    def reset(self):
        self.force("reset", CLOSED, "closed")

    @rule()
    def metrics_only(self):
        self.force("metrics_only", METRICS_ONLY, "metrics_only")

    @rule()
    def disable(self):
        self.force("disable", DISABLED, "disabled")

    def force(self, verb, state, kind):
        getattr(self.breaker, verb)()
        if self.obvious.state is not state:
            self.obvious.turn(state, kind, self.now)
        elif state is CLOSED:
            self.obvious.turn(state, None, self.now)

    @invariant()
    def tells_the_same(self):
        if not hasattr(self, "breaker"):
            return
        seen, obvious = self.breaker.snapshot(), self.obvious
        assert self.breaker.state is seen.state
        assert_same(seen, obvious, self.now)
        if seen.state is OPEN:
            assert round(self.breaker.retry_after * TICKS_PER_SECOND) == obvious.until - self.now
        assert self.events == obvious.events


Lives.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestLives = Lives.TestCase
