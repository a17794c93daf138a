"""How long to wait between attempts: exponential backoff, and jitter, which breaks the step of a crowd.

"full", "equal" and "decorrelated" are those of Marc Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015. The default differs: it centres on the exponential delay, so that the waits one
configures are those one gets on average, and at the cap it spreads below it instead of piling up on it.
"""

from collections.abc import Callable
from typing import Literal

Jitter = bool | Literal["full", "equal", "decorrelated"]

Uniform = Callable[[float, float], float]
"""Draws a number between two, as `random.uniform` does."""


def exponential(attempt: int, initial: float, base: float, cap: float) -> float:
    """Return min(initial · base^attempt, cap), which no attempt number can overflow.

    Example:
        >>> [exponential(attempt, 1.0, 2.0, 60.0) for attempt in (0, 1, 5, 6, 10**6)]
        [1.0, 2.0, 32.0, 60.0, 60.0]
    """
    try:
        return min(initial * base**attempt, cap)
    except OverflowError:
        return cap if initial else 0.0


def spread(delay: float, cap: float, jitter: Jitter, uniform: Uniform) -> float:
    """Return `delay` with a jitter that looks at nothing else; never above `cap`.

    True: uniform in [delay/2, min(3·delay/2, cap)]. "full": in [0, delay]. "equal": in [delay/2, delay].
    """
    if jitter is True:
        return min(uniform(delay / 2, min(delay * 1.5, cap)), cap)
    if jitter == "full":
        return uniform(0.0, delay)
    if jitter == "equal":
        return uniform(delay / 2, delay)
    return delay


def decorrelated(previous: float, initial: float, cap: float, uniform: Uniform) -> float:
    """Return a delay uniform in [initial, 3·previous], cut at `cap`; the first one grows from `initial`."""
    return min(uniform(initial, max(initial, 3 * previous)), cap)
