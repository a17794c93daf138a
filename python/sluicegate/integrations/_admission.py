"""What all servers share: asking the limiter about a request, and saying on the wire how things stand.

The fields are those of draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` says what the limit is,
`RateLimit` what is left of it. The quota `q` is the burst, and the window `w` the time in which all of it is
earned again, so that q / w is the rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from sluicegate._durations import seconds
from sluicegate._native import RateLimitResult
from sluicegate._rate_limiter import RateLimiter
from sluicegate.integrations.keys import ClientAddress, KeyFunction

Fields: TypeAlias = list[tuple[str, str]]

_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The problem type that the draft registers for a request over its quota."""

_LONGEST = 2**31
"""Seconds: the longest time that is told, which is already 68 years."""


class Attempting(Protocol):
    """A limiter as a server needs it: `attempt(count)` or `attempt(key, count)`, which may be awaitable."""

    @property
    def name(self) -> str:
        """What the limit is called on the wire, "default" where it has none."""
        ...

    @property
    def attempt(self) -> Any:
        """Draw permits and say how things stand."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response to a request that is over the limit."""

    fields: Fields
    problem: dict[str, Any]

    @property
    def body(self) -> bytes:
        """The problem details as JSON."""
        return json.dumps(self.problem).encode()


class Admission:
    """Asks a limiter about requests, each by its key, and words the answers.

    Args:
        limiter: One limit for all, or a keyed one for each of them.
        key: Makes the key of a request, or None for one that is not limited; for a keyed limiter the client's
            address by default. A limiter without keys takes it only to leave requests alone.
        cost: Permits a request takes.

    Raises:
        TypeError: `limiter` has no `attempt`, or `key` cannot be called.
        ValueError: `cost` is negative.
    """

    def __init__(self, limiter: Attempting, key: KeyFunction | None, cost: int) -> None:
        if not callable(getattr(limiter, "attempt", None)):
            raise TypeError(f"limiter must be a limiter, keyed or not; not {limiter!r}")
        if key is not None and not callable(key):
            raise TypeError(f"key must be a function of a request, not {key!r}")
        if cost < 0:
            raise ValueError(f"cost must be at least 0 permits, not {cost}")
        self._attempt = limiter.attempt
        self._limiter = limiter
        self._is_keyed = not isinstance(limiter, RateLimiter)
        self._key = ClientAddress() if key is None and self._is_keyed else key
        self._cost = cost
        self._name = _quoted(limiter.name or "default")
        self._policies: tuple[Sequence[Any], str] = ((), "")

    def ask(self, request: Mapping[str, Any]) -> RateLimitResult | Awaitable[RateLimitResult] | None:
        """Draw for a request; None where it is not limited."""
        if self._key is None:
            return cast(RateLimitResult, self._attempt(self._cost))
        key = self._key(request)
        if key is None:
            return None
        if self._is_keyed:
            return cast(RateLimitResult, self._attempt(key, self._cost))
        return cast(RateLimitResult, self._attempt(self._cost))

    def fields(self, result: RateLimitResult) -> Fields:
        """Return the header fields that go with any response."""
        reset = min(math.ceil(result.reset_after), _LONGEST) if result.reset_after < _LONGEST else _LONGEST
        fields = [("ratelimit", f"{self._name};r={result.remaining};t={reset}")]
        if policy := self._policy():
            fields.append(("ratelimit-policy", policy))
        return fields

    def refusal(self, result: RateLimitResult) -> Refusal:
        """Return the response to a refused request: 429, when to come back, and why, as RFC 9457 has it."""
        problem: dict[str, Any] = {
            "type": _QUOTA_EXCEEDED,
            "title": "Too Many Requests",
            "status": 429,
            "detail": "More requests than the limit allows; this many will never be granted at once.",
            "violated-policies": [self._limiter.name or "default"],
        }
        fields = self.fields(result)
        if not math.isinf(result.retry_after):
            # Rounded up: who comes back in time is served.
            wait = max(1, math.ceil(result.retry_after))
            fields.append(("retry-after", str(wait)))
            problem["detail"] = f"More requests than the limit allows; try again in {wait} s."
            problem["retry_after"] = wait
        return Refusal(fields, problem)

    def _policy(self) -> str:
        configs = getattr(self._limiter, "configs", ())
        known, policy = self._policies
        if configs != known:
            # `update` has changed them since the last request.
            policy = ", ".join(filter(None, map(self._worded, configs)))
            self._policies = configs, policy
        return policy

    def _worded(self, config: Any) -> str:
        if math.isinf(config.rate):
            return ""
        if not config.rate:
            return f"{self._name};q={config.burst}"
        window = config.burst * seconds(config.period, "period") / float(config.rate)
        return f"{self._name};q={config.burst};w={max(1, math.ceil(min(window, _LONGEST)))}"


def _quoted(name: str) -> str:
    """Return a name as a string of structured fields (RFC 9651), with what it cannot hold left out."""
    plain = "".join(char for char in name if " " <= char <= "~")
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped or "default"}"'
