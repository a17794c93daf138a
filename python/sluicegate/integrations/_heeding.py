"""Pulling a limiter of ours down to what the far side announces, and never up."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

from sluicegate._composite_rate_limiter import CompositeRateLimiter
from sluicegate._durations import seconds
from sluicegate._keyed_rate_limiter import KeyedRateLimiter
from sluicegate._rate_limiter import RateLimiter
from sluicegate.integrations._announced import Announced, announced, retry_after

_REFUSALS = frozenset({429, 503})
"""Statuses whose `Retry-After` is about the limit: nothing more is let through until then."""

_Single: TypeAlias = "RateLimiter | KeyedRateLimiter"


def heed(limiter: _Single | CompositeRateLimiter, key: tuple[Any, ...], response: Any) -> None:
    """Let `limiter` know what a response announces: of requests, and of tokens where it has such a unit.

    What we think is left beyond what is announced is drawn. Where nothing is left, the next permit comes no
    sooner than the far side's next; by at most a burst, since more than that cannot be owed. An announcement
    that is heard twice pulls once: only the difference to how things stand is charged.

    Args:
        limiter: Whose permits to draw; of a composite one those of the units `requests` and `tokens`.
        key: Its key, or an empty tuple for one without keys.
        response: What has just arrived.
    """
    headers: Mapping[str, str] = response.headers
    now = time.time()
    units = limiter.limiters if isinstance(limiter, CompositeRateLimiter) else {"requests": limiter}
    for limit in announced(headers, now):
        if (unit := units.get(limit.unit)) is not None:
            _pull(unit, key, limit)
    if response.status_code in _REFUSALS and (wait := retry_after(headers, now)):
        # One unit that waits makes all of them wait.
        _pull(units.get("requests", next(iter(units.values()))), key, Announced(0, wait))


def _pull(limiter: _Single, key: tuple[Any, ...], limit: Announced) -> None:
    # The verbs of both kinds, the key first where there is one.
    verbs: Any = limiter
    surplus = verbs.peek(*key, 0).remaining - limit.remaining
    if surplus > 0:
        verbs.try_acquire(*key, surplus)
    if limit.remaining > 0 or limit.reset_after <= 0:
        return
    rate = min(float(config.rate) / seconds(config.period, "period") for config in limiter.configs)
    sooner = limit.reset_after - verbs.peek(*key, 1).retry_after
    if not 0 < rate < math.inf or not sooner > 0:
        return
    if debt := min(math.ceil(sooner * rate), *(config.burst for config in limiter.configs), 2**62):
        verbs.reserve(*key, debt)
