"""What the children of these tests do: importable, so that a spawned process finds it."""

import threading

from sluicegate import CircuitBreaker, KeyedRateLimiter, RateLimiter


def draw(granted, count):
    """Draw from the limiter of that name."""
    draw_from(RateLimiter("0/s;burst=1000", shared="api"), granted, count)


def draw_from(limiter, granted, count):
    """Draw from a limiter that was handed over."""
    granted.put(sum(limiter.try_acquire() for _ in range(count)))


def work(limiter):
    """Draw, wait, give back and change until killed."""
    for step in range(1 << 60):
        limiter.try_acquire(1 + step % 3)
        reservation = limiter.reserve(max_wait=0.001)
        if reservation is not None and step % 2:
            reservation.cancel()
        if step % 64 == 0:
            limiter.update("20000/s;burst=50")


def draw_keys(granted):
    """Draw from twenty keys more than they have."""
    limiter = KeyedRateLimiter("0/s;burst=5", max_keys=100, shared="users")
    granted.put(sum(limiter.try_acquire(key) for _ in range(10) for key in range(20)))


def work_on_keys(limiter, seed):
    """Draw from keys until killed."""
    while True:
        seed = (seed * 31 + 7) % 1009
        limiter.try_acquire(seed % 40)


def fail_calls(failed):
    """Fail calls through the breaker of that name until it refuses."""
    breaker = CircuitBreaker(failure_ratio=1.0, min_throughput=8, break_duration=60.0, shared="search")
    for _ in range(4):
        permit = breaker.try_enter()
        if permit is not None:
            permit.failure()
    failed.put(str(breaker.state))


def probe_and_hang(breaker, entered):
    """Take the probe's place, and never give it back."""
    permit = breaker.try_enter()
    entered.put(permit is not None)
    threading.Event().wait()


def call_and_fail(breaker, seed):
    """Call through a breaker, now well, now ill, until killed."""
    while True:
        seed = (seed * 31 + 7) % 1009
        permit = breaker.try_enter()
        if permit is None:
            continue
        if seed % 3:
            permit.failure()
        elif seed % 5:
            permit.success()
        else:
            permit.ignore()
