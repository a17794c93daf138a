"""Quotas in the integers that a script can hold exactly, and keys in the bytes that a cluster hashes."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from sluicegate._errors import ConfigurationError
from sluicegate._keyed_rate_limiter import Key
from sluicegate._rate_limiter_config import RateLimiterConfig, exact_period, exact_rate

LARGEST = 2**53 - 1
"""The last integer up to which every one is a double, which is what Lua counts in."""

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Units:
    """A quota in integers: a permit costs `cost` units, a microsecond earns `earn` of them."""

    cost: int
    earn: int
    burst: int


def units(config: RateLimiterConfig) -> Units:
    """Find the units of a finite quota.

    Raises:
        ConfigurationError: Its burst does not fit into 53 bits of units.

    Example:
        >>> units(RateLimiterConfig.parse("3/2s"))
        Units(cost=2000000, earn=3, burst=3)
    """
    per_micro = exact_rate(config.rate) / exact_period(config.period) / MICROS
    found = Units(per_micro.denominator, per_micro.numerator, config.burst)
    if max(found.burst, 1) * found.cost > LARGEST or found.earn > LARGEST:
        message = (
            f"rate of {config.rate} per {config.period} s with a burst of {config.burst} does not fit into "
            "the 53 bits of a script: choose a rate with fewer digits, or a smaller burst"
        )
        raise ConfigurationError(message, field="rate", value=config.rate)
    return found


def decoded(quota: Units | None, count: int, answer: Any) -> list[int]:
    """Read what the script decided: granted, wait or -1, deciding quota, remaining, reset or -1, leased.

    An integer is the debt of the only quota, or -1 minus the debt that refuses; times are rounded up.

    Raises:
        ValueError: No script of ours answers so; also where it is another type.

    Example:
        >>> decoded(Units(cost=2000000, earn=3, burst=3), 1, -1 - 6000000)
        [0, 666667, 1, 0, 2000000, 0]
    """
    if quota is not None and type(answer) is int:
        debt = answer if answer >= 0 else -1 - answer
        room = quota.burst * quota.cost - debt
        wait = 0 if answer >= 0 else -((room - count * quota.cost) // quota.earn)
        reply = [int(answer >= 0), wait, 1, max(0, room // quota.cost), -(-debt // quota.earn), 0]
    else:
        reply = integers(answer)
    granted, wait, which, remaining, reset, leased = reply
    in_range = min(granted, wait + 1, which - 1, remaining, reset + 1, leased) >= 0
    in_range = in_range and max(reply) <= LARGEST + 1
    if not in_range or granted > 1 or (wait < 0 if granted else wait == 0):
        raise ValueError(f"no answer of the script: {answer!r}")
    return reply


def integers(answer: Any) -> list[int]:
    """Read integers that are written one after the other.

    Raises:
        ValueError: It is something else.

    Example:
        >>> integers(b"1 -1 20")
        [1, -1, 20]
    """
    if not isinstance(answer, bytes | str):
        raise ValueError(f"no answer of the script: {answer!r}")  # noqa: TRY004  # what was read, not what was passed
    return list(map(int, answer.split()))


def share_of(config: RateLimiterConfig, share: Fraction) -> RateLimiterConfig:
    """Return the part of a quota that a process may spend alone; its burst is rounded down.

    Example:
        >>> share_of(RateLimiterConfig(100, burst=25), Fraction("0.1"))
        RateLimiterConfig(rate=Fraction(10, 1), period=1.0, burst=2)
    """
    return replace(config, rate=exact_rate(config.rate) * share, burst=math.floor(config.burst * share))


def key_bytes(key: Key) -> bytes:
    """Tell keys apart: a str equals the bytes of its UTF-8, an int equals neither.

    Raises:
        TypeError: It is no key.

    Example:
        >>> key_bytes("a"), key_bytes(b"a"), key_bytes(5), key_bytes(("a", 5))
        (b'sa', b'sa', b'i5', b't2:sa2:i5')
    """
    if isinstance(key, str):
        return b"s" + key.encode()
    if isinstance(key, bytes):
        return b"s" + key
    if isinstance(key, int) and not isinstance(key, bool):
        return b"i%d" % key
    if isinstance(key, tuple):
        return b"t" + b"".join(b"%d:%b" % (len(part), part) for part in map(key_bytes, key))
    raise TypeError(f"a key is a str, bytes, int or a tuple of these, not {type(key).__name__}")


def key_head(prefix: str, name: str) -> bytes:
    """Begin every key of a limit: the prefix, and a hash tag that what follows is part of.

    Raises:
        ConfigurationError: `name` is empty, or a brace would end the tag.
    """
    for field, value in (("prefix", prefix), ("name", name)):
        if "{" in value or "}" in value:
            raise ConfigurationError(f"{field} must have no braces, not {value!r}", field=field, value=value)
    if not name:
        message = "name must say which limit or breaker of the server this is"
        raise ConfigurationError(message, field="name", value=name)
    quoted = name.replace("%", "%25").replace(":", "%3A")
    return f"{prefix}{{{quoted}:".encode()
