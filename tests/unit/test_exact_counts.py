"""Many threads at once: what they were granted together is what there was, to the last permit."""

import functools
import sys
import threading

import pytest

from sluicegate import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitState,
    CompositeRateLimiter,
    KeyedRateLimiter,
    RateLimiter,
    RateLimiterConfig,
    ShardedRateLimiter,
)

THREADS = 8
BURST = 6_007
QUOTA = RateLimiterConfig(1, burst=BURST)
ROOMY = RateLimiterConfig(1, burst=3 * BURST)


@pytest.fixture(autouse=True)
def switch_often():
    """Lets threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(work):
    """Run `work(index)` in all threads at once; gives what they returned."""
    barrier, answers = threading.Barrier(THREADS), [None] * THREADS

    def run(index):
        barrier.wait()
        answers[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in answers
    return answers


def drained(draw):
    """How often a lone caller is still granted one: a draw is refused beside another's that is under way."""
    granted = 0
    while draw():
        granted += 1
    return granted


@pytest.mark.parametrize(
    "build",
    [
        lambda clock: RateLimiter(QUOTA, clock=clock).try_acquire,
        lambda clock: RateLimiter(ROOMY, QUOTA, clock=clock).try_acquire,
        lambda clock: functools.partial(KeyedRateLimiter(QUOTA, clock=clock).try_acquire, "one"),
        lambda clock: CompositeRateLimiter(requests=ROOMY, tokens=QUOTA, clock=clock).try_acquire,
    ],
    ids=["direct", "two quotas", "keyed", "composite"],
)
def test_draws_of_all_threads_are_the_burst(clock, build):
    draw = build(clock)
    granted = sum(at_once(lambda index: sum(draw() for _ in range(1_500))))
    assert granted <= BURST
    assert granted + drained(draw) == BURST


def test_draws_of_all_threads_under_keys_of_their_own_are_the_burst_of_a_sharded_limiter(clock):
    limiter = ShardedRateLimiter(QUOTA, 4, clock=clock)
    granted = sum(at_once(lambda index: sum(limiter.try_acquire(index) for _ in range(1_500))))
    assert granted + drained(lambda: limiter.try_acquire(0)) == BURST


def test_what_one_unit_of_a_composite_refuses_is_charged_to_none(clock):
    small, large = RateLimiter(QUOTA, clock=clock), RateLimiter(ROOMY, clock=clock)
    limiter = CompositeRateLimiter(small=small, large=large)
    granted = sum(at_once(lambda index: sum(limiter.try_acquire(small=1, large=2) for _ in range(1_500))))
    granted += drained(lambda: limiter.try_acquire(small=1, large=2))
    assert granted == BURST
    assert (small.peek(0).remaining, large.peek(0).remaining) == (0, BURST)


@pytest.mark.parametrize("is_keyed", [False, True])
def test_reservations_that_are_given_back_beside_draws_lose_and_make_no_permit(clock, is_keyed):
    limiter = KeyedRateLimiter(QUOTA, clock=clock) if is_keyed else RateLimiter(QUOTA, clock=clock)
    key = ("one",) if is_keyed else ()

    def work(index):
        kept = told = cut = 0
        for number in range(300):
            reservation = limiter.reserve(*key, 3, max_wait=0)
            if reservation is not None:
                keep = (index + number) % 4
                back = reservation.commit(keep)
                kept, told, cut = kept + keep, told + 3 - back, cut + (back < 3 - keep)
        return kept, told, cut

    kept, told, cut = map(sum, zip(*at_once(work), strict=True))
    left = drained(lambda: limiter.try_acquire(*key))
    assert kept + left <= BURST
    # Told in whole permits: what was cut short by the refunds of others hides less than one each.
    assert BURST <= told + left <= BURST + cut


def test_as_many_probes_are_let_in_as_there_are_places(clock):
    breaker = CircuitBreaker(consecutive_failures=1, half_open_max_calls=5, break_duration=1.0, clock=clock)
    for _ in range(50):
        breaker.try_enter().failure()
        clock.advance(1.0)
        assert breaker.state is CircuitState.HALF_OPEN
        permits = [
            permit for found in at_once(lambda index: [breaker.try_enter()]) for permit in found if permit
        ]
        assert len(permits) == 5
        for permit in permits:
            permit.success()
        assert breaker.state is CircuitState.CLOSED


def test_a_bulkhead_lets_in_as_many_as_it_has_places(clock):
    bulkhead, places = Bulkhead(3, clock=clock), threading.Semaphore(3)
    admitted, refused = [], []

    def guarded():
        # Whoever is in holds a place: a fourth would find none.
        assert places.acquire(blocking=False)
        admitted.append(None)
        places.release()

    def work(index):
        for _ in range(300):
            try:
                bulkhead.call(guarded)
            except BulkheadFullError:
                refused.append(None)
        return True

    at_once(work)
    assert len(admitted) + len(refused) == THREADS * 300
    assert bulkhead.in_use == 0
