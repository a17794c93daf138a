"""Print how many bytes a breaker and a live key take, by what the process grows.

Run it with `uv run python benches/python/memory.py`, on Linux: it reads /proc. Each measurement has a
process of its own, since what one frees another would take.
"""

from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from resource import getpagesize

from sluicegate import CircuitBreaker, CircuitBreakerConfig, CircuitBreakerRegistry, KeyedRateLimiter

BREAKERS = 20_000
REGISTERED = 100_000
LIVE_KEYS = 1_400_000


def breakers() -> tuple[object, int]:
    """Build breakers with a window of time, which has 64 slots, and let each count a call."""
    config = CircuitBreakerConfig()
    made: list[CircuitBreaker | None] = [None] * BREAKERS
    for number in range(BREAKERS):
        made[number] = breaker = CircuitBreaker(config)
        breaker.call(int)
    return made, BREAKERS


def registered() -> tuple[object, int]:
    """Ask a registry for breakers, each of which it makes at the first call for its key."""
    registry = CircuitBreakerRegistry(max_keys=REGISTERED)
    for number in range(REGISTERED):
        registry[f"host:{number}"].call(int)
    return registry, REGISTERED


def live_keys() -> tuple[object, int]:
    """Fill a table with keys that all owe something."""
    limiter = KeyedRateLimiter("10/day", max_keys=LIVE_KEYS)
    for key in range(LIVE_KEYS):
        limiter.try_acquire(key)
    return limiter, LIVE_KEYS


def resident() -> int:
    """Tell how many bytes of this process are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()


def grown(make: Callable[[], tuple[object, int]]) -> float:
    """Tell by how many bytes the process grows for each of what `make` makes."""
    before = resident()
    kept, count = make()
    return (resident() - before) / count if kept else 0.0


def measure(make: Callable[[], tuple[object, int]]) -> float:
    """Tell the same of a process that has just begun."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(grown, (make,))


def main() -> None:
    """Measure and print."""
    print(f"{measure(breakers):6.0f} bytes a breaker, of {BREAKERS:,}")
    print(f"{measure(registered):6.0f} bytes a breaker, of {REGISTERED:,} in a registry, key included")
    print(f"{measure(live_keys):6.1f} bytes a key, of {LIVE_KEYS:,} live ones")


if __name__ == "__main__":
    main()
