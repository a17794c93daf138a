"""What the children of these tests do: importable, so that a spawned process finds it."""

from sluicegate import RateLimiter


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
