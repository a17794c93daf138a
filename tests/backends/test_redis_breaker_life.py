"""Breakers in Redis live as a slow and obvious one does, whatever is done to them, on the server's clock.

The script is told the time of the tests' clock, and is the shipped one but for that.
"""

import os

import pytest
import redis
from breaker_time import BreakerTime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
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

from sluicegate.backends.redis import RedisCircuitBreaker
from sluicegate.testing import ManualClock

BY_HAND = {
    "isolate": (ISOLATED, "isolated"),
    "reset": (CLOSED, "closed"),
    "metrics_only": (METRICS_ONLY, "metrics_only"),
    "disable": (DISABLED, "disabled"),
}


class Lives(RuleBasedStateMachine):
    """Workers that share a breaker, and the obvious one, side by side."""

    client: redis.Redis
    workers: int
    refresh: float

    @initialize(options=options)
    def build(self, options):
        self.client.flushdb()
        self.now, self.clock, self.events, self.permits = 0, ManualClock(), [], []
        self.time = BreakerTime(self.client)
        self.obvious = obvious_of(options)
        self.breakers = [self.make(options) for _ in range(self.workers)]
        self.observer = self.make(options)
        self.breakers[0].reset()  # it begins with the key

    def make(self, options):
        return self.time.put_under(
            RedisCircuitBreaker(
                self.client,
                name="test",
                refresh=self.refresh,
                on_error="raise",
                clock=self.clock,
                listener=lambda event: self.events.append(event.kind),
                **fields_of(options),
            )
        )

    def tell_the_time(self):
        second, tick = divmod(self.now, TICKS_PER_SECOND)
        self.time.set(second, tick * 1_000_000 // TICKS_PER_SECOND)

    @rule(ticks=st.integers(0, 12) | st.sampled_from([10, 20, 30]) | st.sampled_from([63, 64, 65, 300, 2048]))
    def wait(self, ticks):
        self.now += ticks
        self.clock.advance_ns(ticks * 100_000_000)
        self.tell_the_time()

    @rule(worker=st.integers(0, 5), outcomes=st.lists(st.booleans(), min_size=1, max_size=8))
    def call(self, worker, outcomes):
        for failed in outcomes:
            before = len(self.permits)
            self.enter(worker)
            if len(self.permits) > before:
                self.conclude(*self.permits.pop(), failed)

    @rule(worker=st.integers(0, 5))
    def enter(self, worker):
        permit = self.breakers[worker % self.workers].try_enter()
        ticket = self.obvious.enter(self.now)
        assert (permit is None) == (ticket is None)
        if permit is not None:
            self.permits.append((permit, ticket))

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]))
    def settle(self, data, failed):
        self.conclude(*self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1))), failed)

    def conclude(self, permit, ticket, failed):
        self.obvious.settle(ticket, failed, self.now)
        if failed is None:
            permit.ignore()
        elif failed:
            permit.failure()
        else:
            permit.success()

    @rule(worker=st.integers(0, 5), verb=st.sampled_from([None] * 8 + sorted(BY_HAND)))
    def force(self, worker, verb):
        if verb is None:
            return
        state, kind = BY_HAND[verb]
        getattr(self.breakers[worker % self.workers], verb)()
        if self.obvious.state is not state:
            self.obvious.turn(state, kind, self.now)
        elif state is CLOSED:
            self.obvious.turn(state, None, self.now)

    @rule()
    def tell_what_was_kept_back(self):
        for breaker in self.breakers:
            seen = breaker.snapshot()
            assert breaker.state is seen.state
        assert_same(seen, self.obvious, self.now)

    @invariant()
    def is_the_same(self):
        if not hasattr(self, "breakers"):
            return
        assert_same(self.observer.snapshot(), self.obvious, self.now, with_totals=False)
        assert self.events == self.obvious.events
        assert self.client.pttl("sluicegate:{test:}breaker") > 0
        if self.workers == 1:
            (breaker,) = self.breakers
            assert breaker.state is self.obvious.seen_state(self.now)
            if breaker.state is OPEN:
                assert round(breaker.retry_after * TICKS_PER_SECOND) == self.obvious.until - self.now

    def teardown(self):
        for breaker in getattr(self, "breakers", ()):
            breaker.close()


@pytest.mark.parametrize(("workers", "refresh"), [(1, 0.5), (3, 0.0)], ids=["one that remembers", "three"])
def test_they_live_as_the_obvious_one_does(server, workers, refresh):
    here = {"client": server.client, "workers": workers, "refresh": refresh}
    examples = int(os.environ.get("SLUICEGATE_EXAMPLES", "20"))
    run_state_machine_as_test(
        type("LivesHere", (Lives,), here), settings=settings(max_examples=examples, deadline=None)
    )
