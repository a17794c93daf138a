"""The local limit, pulled down by what the far side announces: never up, and to nothing while it says 0."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from sluicegate import RateLimiter, RateLimiterConfig

from ._announced import Announcement
from ._log import LOG

OVERTAKING = Fraction(1, 10)
"""Seconds by which requests may overtake one another on their way to the far side."""


class Clock(Protocol):
    """What may take the place of the machine's clock: `sluicegate.testing.ManualClock`."""

    def now(self) -> float:
        """Read the clock in seconds."""
        ...

    def now_ns(self) -> int:
        """Read the clock in whole nanoseconds."""
        ...


async def pause(seconds: float, clock: Clock | None = None) -> None:
    """Wait on the clock that limits and retries wait on."""
    reservation = RateLimiter("inf/s", clock=clock).reserve()
    if reservation is not None:
        reservation.delay_execution(seconds)
        await reservation


class Admission:
    """What a request passes before it is sent: a hold, the limit of its stage, and the limit of all.

    Args:
        config: the limit on all requests, of whose burst a little is kept back.
        clock: for tests; the machine's by default.
    """

    def __init__(self, config: RateLimiterConfig, clock: Clock | None = None) -> None:
        self.limiter = RateLimiter(_with_headroom(config), name="requests", clock=clock)
        self.waits = 0
        self._clock = clock
        # Whole nanoseconds, as the clocks have it: the rest of a hold could else be too short to wait for.
        self._now_ns = time.monotonic_ns if clock is None else clock.now_ns
        self._held_until_ns = self._now_ns()

    @property
    def held_for(self) -> float:
        """Seconds for which nothing is sent, because the far side said so."""
        return max(0, self._held_until_ns - self._now_ns()) / 1e9

    @property
    def rate(self) -> float:
        """Requests a second that are allowed, infinity for no limit."""
        return float(per_second(self.limiter.configs[0]))

    @property
    def burst(self) -> int:
        """Requests that are allowed at once."""
        return self.limiter.configs[0].burst

    def hold(self, seconds: float) -> None:
        """Send nothing for `seconds` from now; a hold that lasts longer stays."""
        self._held_until_ns = max(self._held_until_ns, self._now_ns() + math.ceil(seconds * 1e9))

    def heed(self, announcement: Announcement) -> None:
        """Adopt what was announced where it is stricter than what holds.

        `remaining` 0 holds everything until the reset. A smaller limit is adopted only where its period is
        known; what was used is kept.
        """
        if announcement.remaining == 0 and announcement.reset:
            self.hold(announcement.reset)
        if announcement.limit and announcement.period:
            (current,) = self.limiter.configs
            burst = min(announcement.limit, current.burst)
            announced = RateLimiterConfig(announcement.limit, announcement.period, burst=burst)
            if per_second(announced) < per_second(current):
                LOG.info(
                    "the API announces %d a period of %g s: adopted", announcement.limit, announcement.period
                )
                self.limiter.update(announced)

    async def wait(self, stage: RateLimiter | None) -> None:
        """Wait until a request may be sent.

        A hold that came while it waited for its permit is waited for too, and the permit asked for anew:
        what was granted before a hold and sent after it would come on top of what is granted then.
        """
        while True:
            while held := self.held_for:
                await pause(held, self._clock)
            if stage is not None:
                await stage.acquire()
            if not self.limiter.try_acquire():
                self.waits += 1
                await self.limiter.acquire()
            if not self.held_for:
                return


def _with_headroom(config: RateLimiterConfig) -> RateLimiterConfig:
    """Keep back what may arrive early, at most a quarter of the burst.

    The far side counts requests as they arrive. Where the first of a burst was long on its way and a later
    one was not, the far side sees more at once than was granted here.
    """
    if config.rate == math.inf:
        return config
    kept_back = min(math.ceil(per_second(config) * OVERTAKING), config.burst // 4)
    return replace(config, burst=config.burst - kept_back)


def per_second(config: RateLimiterConfig) -> Fraction | float:
    """Return what a limit admits a second, infinity for no limit."""
    if config.rate == math.inf:
        return math.inf
    return Fraction(config.rate) / Fraction(config.period)  # type: ignore[arg-type]  # never a timedelta here
