"""What a server announces of its limits: `Retry-After`, and the dialects of `x-ratelimit-*`.

The dialects differ in names (`x-ratelimit-limit`, `x-ratelimit-limit-requests`, `ratelimit-limit`), and more
so in what *reset* means: seconds from now, a duration such as `1m30s` or `12ms`, seconds or milliseconds
since 1970, or a date. All of them are read; what makes no sense says nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT = 7 * 86_400.0
"""The longest wait that is believed, in seconds: a week. Anything beyond is taken for nonsense."""

_DIALECTS = tuple(
    (prefix.format("limit"), prefix.format("remaining"), prefix.format("reset"))
    for prefix in ("x-ratelimit-{}", "x-ratelimit-{}-requests", "ratelimit-{}")
)
_PERIODS = ("x-ratelimit-period", "x-ratelimit-window", "x-ratelimit-interval-seconds")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,12})?", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|us|µs|ns|h|m|s|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)", re.ASCII)
_WINDOW = re.compile(r"(?:^|[;,\s])(?:w|window)=(\d{1,9})(?:$|[;,\s])", re.ASCII)
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e11


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a response said of the far side's limit; None where it did not say.

    Attributes:
        limit: requests per period.
        period: seconds the limit counts over.
        remaining: requests left.
        reset: seconds from now until there are some again.
    """

    limit: int | None = None
    period: float | None = None
    remaining: int | None = None
    reset: float | None = None


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return the seconds a `Retry-After` (or `retry-after-ms`) header asks to wait, None where there is none.

    Args:
        headers: by their name in lower case.
        now: seconds since 1970, against which a date is read; the system's time by default.

    Examples:
        >>> retry_after({"retry-after": "7"})
        7.0
        >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:30 GMT"}, now=60.0)
        30.0
    """
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None and (number := _number(milliseconds)) is not None:
        return _believed(number / 1000)
    text = headers.get("retry-after")
    return None if text is None else _seconds_from_now(text, now)


def read_announcement(headers: Mapping[str, str], *, now: float | None = None) -> Announcement | None:
    """Return what the rate limit headers say, None where there are none.

    Args:
        headers: by their name in lower case.
        now: seconds since 1970, against which dates are read; the system's time by default.

    Examples:
        >>> read_announcement({"x-ratelimit-limit": "60;w=60", "x-ratelimit-remaining": "0",
        ...                    "x-ratelimit-reset": "1m30s"})
        Announcement(limit=60, period=60.0, remaining=0, reset=90.0)
    """
    for limit, remaining, reset in _DIALECTS:
        remaining_text = headers.get(remaining)
        limit_text = headers.get(limit)
        if remaining_text is None and limit_text is None:
            continue
        reset_text = headers.get(reset)
        return Announcement(
            limit=_count(limit_text),
            period=None if limit_text is None else _period(limit_text, headers),
            remaining=_count(remaining_text),
            reset=None if reset_text is None else _seconds_from_now(reset_text, now),
        )
    return None


def _seconds_from_now(text: str, now: float | None) -> float | None:
    text = text.strip()
    number = _number(text)
    if number is not None and number < _EPOCH_SECONDS:
        return _believed(number)
    if number is None and len(text) < 64 and _DURATION.fullmatch(text):
        return _believed(sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION_PART.findall(text)))
    if number is not None and number >= _EPOCH_MILLISECONDS:
        number /= 1000
    moment = _date(text) if number is None else number
    return None if moment is None else _believed(moment - (time.time() if now is None else now))


def _believed(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds <= MAX_WAIT else None


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> float | None:
    """Return an HTTP-date or an ISO date as seconds since 1970; a date without a zone is in UTC."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _count(text: str | None) -> int | None:
    """Return the number a header begins with: `60`, `60;w=60` and `60, 60;w=60` alike."""
    match = _NUMBER.match(text.strip()) if text is not None else None
    return int(float(match[0])) if match else None


def _period(limit: str, headers: Mapping[str, str]) -> float | None:
    policy = headers.get("ratelimit-policy") if ";" not in limit else limit
    match = _WINDOW.search(policy) if policy else None
    if match:
        return float(match[1]) or None
    for name in _PERIODS:
        text = headers.get(name)
        if text is not None:
            return _seconds_from_now(text, 0.0) or None
    return None
